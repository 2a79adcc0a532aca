/**
 * An ISO 9660 image (ECMA-119) with Rock Ridge (IEEE P1282) for Linux and Joliet for Windows, as bytes. Pure.
 *
 * Written here rather than by a program: the image holds a few small files, some of them secret, which this way are
 * never staged anywhere. No disk waits for a process, and the launcher's image is spared one of 2 MB.
 *
 *   16 primary volume descriptor · 17 Joliet's · 18 terminator · path tables · directories of both trees · files
 */

import { LauncherError } from "../errors.ts";
import { bothEndian16, bothEndian32, descriptorTime, paddedText, recordTime, utf16be } from "./iso-fields.ts";
import {
  type Directory,
  type IsoFile,
  type IsoName,
  jolietName,
  levelByLevel,
  plainName,
  rootOf,
} from "./iso-tree.ts";
import { rockRidge, rootEntries } from "./rock-ridge.ts";

export const SECTOR_BYTES = 2048;
/** A ConfigMap and a Secret hold 1 MiB; what is larger comes from nowhere that the kubelet mounts. */
export const MAX_ISO_BYTES = 32 * 1024 * 1024;

/** Whole pages, which O_DIRECT asks of a file that a guest may write to. */
const SECTORS_PER_PAGE = 2;
const SYSTEM_SECTORS = 16;
const DESCRIPTORS = 3;
/** Without its identifier (9.1). */
const RECORD_BYTES = 33;
const FLAG_DIRECTORY = 2;

export interface IsoOptions {
  /** Up to 32 characters of ASCII; Joliet keeps 16 of them. */
  readonly label: string;
  readonly files: readonly IsoFile[];
  /** Every timestamp in the image. */
  readonly at: Date;
}

/** One of the two trees over the same files. */
interface Tree {
  readonly directories: readonly Placed[];
  readonly nameOf: (name: IsoName) => Buffer;
  readonly hasRockRidge: boolean;
}

/** A directory with its first sector and its length in bytes. */
interface Placed {
  readonly directory: Directory;
  sector: number;
  bytes: number;
}

/** @throws LauncherError DiskTooLarge, DiskCreation for names that no reader would find */
export function isoImage({ label, files, at }: IsoOptions): Buffer {
  const root = rootOf(files);
  const primary = treeOf(root, plainName, true);
  const joliet = treeOf(root, jolietName, false);
  const contents = new Map(files.map((file) => [file, 0]));

  let sector = SYSTEM_SECTORS + DESCRIPTORS;
  const pathTables = [primary, joliet].map((tree) => {
    const table = { tree, bytes: pathTable(tree, false).length, little: sector, big: 0 };
    table.big = table.little + sectors(table.bytes);
    sector = table.big + sectors(table.bytes);
    return table;
  });
  for (const tree of [primary, joliet]) {
    for (const placed of tree.directories) {
      placed.bytes = directoryExtent(placed, tree, contents, at).length;
      placed.sector = sector;
      sector += sectors(placed.bytes);
    }
  }
  for (const file of files) {
    contents.set(file, sector);
    sector += Math.max(1, sectors(file.content.length));
  }
  sector += sector % SECTORS_PER_PAGE;
  if (sector * SECTOR_BYTES > MAX_ISO_BYTES) {
    throw new LauncherError(
      "DiskTooLarge",
      `the files of volume label ${label} make an image of ${sector * SECTOR_BYTES} bytes, more than ${MAX_ISO_BYTES}`,
    );
  }

  const image = Buffer.alloc(sector * SECTOR_BYTES);
  const put = (at: number, bytes: Buffer) => bytes.copy(image, at * SECTOR_BYTES);
  for (const [index, { tree, bytes, little, big }] of pathTables.entries()) {
    put(
      SYSTEM_SECTORS + index,
      volumeDescriptor(tree, { label, at, sectors: sector, pathTableBytes: bytes, little, big }),
    );
    put(little, pathTable(tree, false));
    put(big, pathTable(tree, true));
    for (const placed of tree.directories) put(placed.sector, directoryExtent(placed, tree, contents, at));
  }
  put(SYSTEM_SECTORS + 2, Buffer.from("\xffCD001\x01", "latin1"));
  for (const [file, first] of contents) put(first, file.content);
  return image;
}

function treeOf(root: Directory, nameOf: (name: IsoName) => Buffer, hasRockRidge: boolean): Tree {
  const directories = levelByLevel(root, nameOf).map((directory) => ({ directory, sector: 0, bytes: 0 }));
  return { directories, nameOf, hasRockRidge };
}

/** 8.4 and, with the escape sequence of UCS-2 level 3, Joliet's supplementary descriptor (8.5). */
function volumeDescriptor(
  tree: Tree,
  own: {
    readonly label: string;
    readonly at: Date;
    readonly sectors: number;
    readonly pathTableBytes: number;
    readonly little: number;
    readonly big: number;
  },
): Buffer {
  const isJoliet = !tree.hasRockRidge;
  const text = (value: string, bytes: number) =>
    isJoliet
      ? paddedText(utf16be(value), bytes, utf16be(" "))
      : paddedText(Buffer.from(value, "latin1"), bytes);
  const descriptor = Buffer.alloc(SECTOR_BYTES);
  descriptor[0] = isJoliet ? 2 : 1;
  descriptor.write("CD001", 1, "latin1");
  descriptor[6] = 1;
  text("", 32).copy(descriptor, 8);
  text(own.label, 32).copy(descriptor, 40);
  bothEndian32(own.sectors).copy(descriptor, 80);
  if (isJoliet) descriptor.write("%/E", 88, "latin1");
  bothEndian16(1).copy(descriptor, 120); // volumes in the set
  bothEndian16(1).copy(descriptor, 124); // number of this one
  bothEndian16(SECTOR_BYTES).copy(descriptor, 128);
  bothEndian32(own.pathTableBytes).copy(descriptor, 132);
  descriptor.writeUInt32LE(own.little, 140);
  descriptor.writeUInt32BE(own.big, 148);
  const [root] = tree.directories;
  if (root !== undefined) record(SELF, root.sector, root.bytes, FLAG_DIRECTORY, own.at).copy(descriptor, 156);
  // Identifiers of the set, publisher, preparer and application, and three files' names: none.
  for (const offset of [190, 318, 446, 574]) text("", 128).copy(descriptor, offset);
  for (const offset of [702, 739, 776]) text("", 37).copy(descriptor, offset);
  for (const offset of [813, 830]) descriptorTime(own.at).copy(descriptor, offset);
  for (const offset of [847, 864]) Buffer.from(`${"0".repeat(16)}\0`).copy(descriptor, offset);
  descriptor[881] = 1;
  return descriptor;
}

/** 9.4: directories by level and parent, each with its parent's number in this table. */
function pathTable(tree: Tree, isBigEndian: boolean): Buffer {
  const numbers = new Map(tree.directories.map(({ directory }, index) => [directory, index + 1]));
  const entries = tree.directories.map(({ directory, sector }) => {
    const name = directory.name === undefined ? SELF : tree.nameOf(directory.name);
    const entry = Buffer.alloc(8 + name.length + (name.length % 2));
    const parent = numbers.get(directory.parent ?? directory) ?? 1;
    entry[0] = name.length;
    if (isBigEndian) {
      entry.writeUInt32BE(sector, 2);
      entry.writeUInt16BE(parent, 6);
    } else {
      entry.writeUInt32LE(sector, 2);
      entry.writeUInt16LE(parent, 6);
    }
    name.copy(entry, 8);
    return entry;
  });
  return Buffer.concat(entries);
}

const SELF = Buffer.from([0]);
const PARENT = Buffer.from([1]);

/** 9.1: the directory's records, itself and its parent first; no record crosses a sector. */
function directoryExtent(
  placed: Placed,
  tree: Tree,
  contents: ReadonlyMap<IsoFile, number>,
  at: Date,
): Buffer {
  const { directory } = placed;
  const place = (wanted: Directory) => tree.directories.find((one) => one.directory === wanted) ?? placed;
  const up = place(directory.parent ?? directory);
  const ridge = (entries: Buffer) => (tree.hasRockRidge ? entries : Buffer.alloc(0));
  const isRoot = directory.parent === undefined;
  const fixed = [
    record(SELF, placed.sector, placed.bytes, FLAG_DIRECTORY, at, ridge(rootEntries(isRoot, at))),
    record(PARENT, up.sector, up.bytes, FLAG_DIRECTORY, at, ridge(rootEntries(false, at))),
  ];
  const named = [
    ...directory.directories.map((child) => {
      const { bytes, sector } = place(child);
      const name = child.name ?? { plain: "", text: "" };
      const use = ridge(rockRidge({ name: name.text, isDirectory: true, mode: 0o555, at }));
      return { name: tree.nameOf(name), sector, bytes, flags: FLAG_DIRECTORY, use };
    }),
    ...directory.files.map(({ file, name }) => {
      const use = ridge(rockRidge({ name: name.text, isDirectory: false, mode: 0o444, at }));
      return {
        name: tree.nameOf(name),
        sector: contents.get(file) ?? 0,
        bytes: file.content.length,
        flags: 0,
        use,
      };
    }),
  ].sort((a, b) => Buffer.compare(a.name, b.name));
  const records = [
    ...fixed,
    ...named.map(({ name, sector, bytes, flags, use }) => record(name, sector, bytes, flags, at, use)),
  ];
  return inSectors(records);
}

function record(
  name: Buffer,
  sector: number,
  bytes: number,
  flags: number,
  at: Date,
  systemUse: Buffer = Buffer.alloc(0),
): Buffer {
  const fixed = RECORD_BYTES + name.length + ((RECORD_BYTES + name.length) % 2);
  const entry = Buffer.alloc(fixed + systemUse.length + (systemUse.length % 2));
  entry[0] = entry.length;
  bothEndian32(sector).copy(entry, 2);
  bothEndian32(bytes).copy(entry, 10);
  recordTime(at).copy(entry, 18);
  entry[25] = flags;
  bothEndian16(1).copy(entry, 28); // volume
  entry[32] = name.length;
  name.copy(entry, RECORD_BYTES);
  systemUse.copy(entry, fixed);
  return entry;
}

function inSectors(records: readonly Buffer[]): Buffer {
  const parts: Buffer[] = [];
  let length = 0;
  for (const part of records) {
    const rest = SECTOR_BYTES - (length % SECTOR_BYTES);
    if (part.length > rest) {
      parts.push(Buffer.alloc(rest));
      length += rest;
    }
    parts.push(part);
    length += part.length;
  }
  return Buffer.concat([...parts, Buffer.alloc(sectors(length) * SECTOR_BYTES - length)]);
}

function sectors(bytes: number): number {
  return Math.ceil(bytes / SECTOR_BYTES);
}
