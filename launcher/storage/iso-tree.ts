/** Files as directories of an ISO 9660 image, each with the names that its readers know. */
import { LauncherError } from "../errors.ts";
import { utf16be } from "./iso-fields.ts";
import { MAX_RIDGE_NAME_BYTES } from "./rock-ridge.ts";

export interface IsoFile {
  /** Relative, with `/` between directories. */
  readonly path: string;
  readonly content: Buffer;
}

export interface IsoName {
  /** As it was given: what Linux and Windows show. */
  readonly text: string;
  /** ISO 9660's own, 8.3 in capitals, unique in its directory; files end in `;1`. */
  readonly plain: string;
}

export interface Directory {
  /** Of the root: none, both. */
  readonly name: IsoName | undefined;
  readonly parent: Directory | undefined;
  readonly directories: readonly Directory[];
  readonly files: readonly { readonly file: IsoFile; readonly name: IsoName }[];
}

/** 6.8.2.1, the root included. */
const MAX_DEPTH = 8;
/** A record of 255 bytes leaves 110; mkisofs's long names and Windows go so far. */
const MAX_JOLIET_CHARACTERS = 103;

interface Growing extends Directory {
  readonly directories: Growing[];
  readonly files: { readonly file: IsoFile; readonly name: IsoName }[];
}

/**
 * The root directory of the files.
 * @throws LauncherError DiskCreation
 */
export function rootOf(files: readonly IsoFile[]): Directory {
  const root: Growing = { name: undefined, parent: undefined, directories: [], files: [] };
  const taken = new Map<Growing, Set<string>>();
  const nameIn = (directory: Growing, text: string, isFile: boolean): IsoName => {
    const used = taken.get(directory) ?? new Set();
    taken.set(directory, used);
    return newName(text, isFile, used);
  };
  for (const file of [...files].sort((a, b) => (a.path < b.path ? -1 : 1))) {
    const parts = file.path.split("/");
    const leaf = parts.pop() ?? "";
    if (parts.length + 1 >= MAX_DEPTH) {
      throw new LauncherError(
        "DiskCreation",
        `file ${file.path} lies deeper than the ${MAX_DEPTH} levels of ISO 9660`,
      );
    }
    let at = root;
    for (const part of parts) {
      let next = at.directories.find(({ name }) => name?.text === part);
      if (next === undefined) {
        next = { name: nameIn(at, part, false), parent: at, directories: [], files: [] };
        at.directories.push(next);
      }
      at = next;
    }
    at.files.push({ file, name: nameIn(at, leaf, true) });
  }
  return root;
}

/** Every directory as path tables list them (6.9.1): by level, then by the parent's number, then by name. */
export function levelByLevel(root: Directory, nameOf: (name: IsoName) => Buffer): readonly Directory[] {
  const all: Directory[] = [root];
  const bytes = ({ name }: Directory) => (name === undefined ? Buffer.alloc(0) : nameOf(name));
  for (const directory of all) {
    all.push(...directory.directories.toSorted((a, b) => Buffer.compare(bytes(a), bytes(b))));
  }
  return all;
}

function newName(text: string, isFile: boolean, used: Set<string>): IsoName {
  if (text === "" || text === "." || text === ".." || text.includes("\0")) {
    throw new LauncherError("DiskCreation", `${JSON.stringify(text)} is no file's name`);
  }
  if (Buffer.byteLength(text) > MAX_RIDGE_NAME_BYTES || text.length > MAX_JOLIET_CHARACTERS) {
    throw new LauncherError(
      "DiskCreation",
      `file name ${text.slice(0, 40)}… has ${text.length} characters; an ISO image that Linux and Windows read has ${MAX_JOLIET_CHARACTERS} at most`,
    );
  }
  const [, stem = "", extension = ""] = /^(.*?)(?:\.([^.]*))?$/s.exec(text) ?? [];
  const clean = (part: string, length: number) =>
    part
      .toUpperCase()
      .replaceAll(/[^A-Z0-9_]/g, "_")
      .slice(0, length);
  for (let number = 0; ; number += 1) {
    const suffix = number === 0 ? "" : String(number);
    const base = `${clean(stem, 8 - suffix.length)}${suffix}` || "_";
    const plain = isFile ? `${base}.${clean(extension, 3)};1` : base;
    if (!used.has(plain)) {
      used.add(plain);
      return { text, plain };
    }
  }
}

export function plainName({ plain }: IsoName): Buffer {
  return Buffer.from(plain, "latin1");
}

/** Joliet's names are UCS-2; files end in `;1` there, too. */
export function jolietName({ text, plain }: IsoName): Buffer {
  return utf16be(plain.endsWith(";1") ? `${text};1` : text);
}
