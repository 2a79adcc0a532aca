/**
 * Picks single programs out of Debian packages, with the shared libraries that the loader says they need.
 * An image made this way holds no package manager and nothing that nobody runs. For scanners, each package that
 * gave a file leaves its control record in /var/lib/dpkg/status.d, and its licence where Debian puts it.
 */
import {
  copyFile,
  glob,
  lstat,
  mkdir,
  mkdtemp,
  open,
  readlink,
  rm,
  symlink,
  writeFile,
} from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import type { Debian, Package } from "./debian.ts";
import { cacheFolder } from "./layer.ts";
import { run } from "./process.ts";

/** What a layer takes from Debian. */
export type Pick = {
  /** Names of packages; what they depend on is at hand too. */
  readonly packages: readonly string[];
  /** Files and globs, relative to the root; each must match something. Their libraries follow by themselves. */
  readonly files: readonly string[];
};

export class RootfsError extends Error {
  readonly code = "ROOTFS";
}

const loader = "usr/lib64/ld-linux-x86-64.so.2";
const libraries = "usr/lib/x86_64-linux-gnu";
/** Where the loader looks: swtpm has a library in a folder of its own, which its RUNPATH names. */
const libraryFolders = [libraries, `${libraries}/swtpm`];

/** Paths within `tree` that the loader's `--list` output names. */
export function parseLibraries(text: string, tree: string): string[] {
  if (text.includes("not found")) throw new RootfsError(`a shared library is missing: ${text.trim()}`);
  const found = text.matchAll(/(?:=> |^\s*)(\/\S+) \(0x/gm);
  return [...found].map(([, path = ""]) => relative(tree, path)).filter((path) => !path.startsWith(".."));
}

/** Paths of the files of a package, from `dpkg-deb --contents`. */
export function parseContents(text: string): string[] {
  const paths = [...text.matchAll(/^[-lh]\S+ +\S+ +\d+ \S+ \S+ \.\/(.+)$/gm)];
  return paths.map(([, path = ""]) => path.replace(/ (?:->|link to) .*$/, ""));
}

/** Debian packages unpacked over one another in a folder of their own, removed at the end of its scope. */
export class Tree {
  readonly folder: string;
  readonly #owners = new Map<string, { entry: Package; deb: string }>();

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async unpack(debian: Debian, names: readonly string[]): Promise<Tree> {
    const packages = await debian.resolve(names);
    const debs = await debian.fetch(packages);
    await mkdir(cacheFolder(), { recursive: true });
    const tree = new Tree(await mkdtemp(join(cacheFolder(), ".tree-")));
    for (const [index, deb] of debs.entries()) {
      await run("dpkg-deb", ["--extract", deb, tree.folder]);
      const entry = packages[index];
      if (!entry) continue;
      for (const path of parseContents(await run("dpkg-deb", ["--contents", deb]))) {
        tree.#owners.set(path, { entry, deb });
      }
    }
    return tree;
  }

  /** Every path that `files` match, plus the libraries of the programs among them. */
  async closure(files: readonly string[]): Promise<Set<string>> {
    const picked = new Set<string>();
    for (const pattern of files) {
      const before = picked.size;
      for await (const path of glob(pattern, { cwd: this.folder })) picked.add(path);
      if (picked.size === before) throw new RootfsError(`no package has a file that matches ${pattern}`);
    }
    for (const path of [...picked]) {
      if (await this.#isElf(path)) for (const library of await this.#libraries(path)) picked.add(library);
    }
    for (const path of [...picked]) {
      for (const target of await this.#targets(path)) picked.add(target);
    }
    return picked;
  }

  /** Copies paths into `root`, with the licence and the control record of each package that gives one. */
  async copy(paths: ReadonlySet<string>, root: string): Promise<void> {
    const givers = new Map<string, { entry: Package; deb: string }>();
    for (const path of [...paths].sort()) {
      await copyNode(this.folder, path, root);
      const owner = this.#owners.get(path);
      if (owner) givers.set(owner.entry.name, owner);
    }
    for (const [name, { deb }] of givers) {
      const licence = join("usr/share/doc", name, "copyright");
      await mkdir(dirname(join(root, licence)), { recursive: true });
      // copyFile follows the links by which packages share a doc folder.
      await copyFile(join(this.folder, licence), join(root, licence));
      const record = join(root, "var/lib/dpkg/status.d", name);
      await mkdir(dirname(record), { recursive: true });
      await writeFile(record, await run("dpkg-deb", ["--field", deb]));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }

  async #isElf(path: string): Promise<boolean> {
    if (!(await lstat(join(this.folder, path))).isFile()) return false;
    await using file = await open(join(this.folder, path));
    const { buffer } = await file.read(Buffer.alloc(4), 0, 4, 0);
    return buffer.toString("latin1") === "\x7fELF";
  }

  async #libraries(path: string): Promise<string[]> {
    const load = join(this.folder, loader);
    const program = join(this.folder, path);
    // Status 1 is a static program (ld.so(8), --verify); 2 is a library, which names no loader of its own.
    const dynamic = await run(load, ["--verify", program], { statuses: [0, 2] }).then(
      () => true,
      () => false,
    );
    if (!dynamic || path === loader) return [];
    const folders = libraryFolders.map((folder) => join(this.folder, folder)).join(":");
    const search = ["--inhibit-cache", "--library-path", folders];
    return [...parseLibraries(await run(load, [...search, "--list", program]), this.folder), loader];
  }

  /** What a chain of links within the tree ends at, and each step. */
  async #targets(path: string): Promise<string[]> {
    const steps: string[] = [];
    for (let at = path; (await lstat(join(this.folder, at))).isSymbolicLink(); ) {
      const target = await readlink(join(this.folder, at));
      at = target.startsWith("/") ? target.slice(1) : join(dirname(at), target);
      const exists = await lstat(join(this.folder, at)).then(
        () => true,
        () => false,
      );
      if (!exists) throw new RootfsError(`${path} links to ${at}, which no package has`);
      steps.push(at);
    }
    return steps;
  }
}

async function copyNode(tree: string, path: string, root: string): Promise<void> {
  const from = join(tree, path);
  const to = join(root, path);
  const status = await lstat(from);
  if (status.isDirectory()) {
    await mkdir(to, { recursive: true, mode: status.mode });
    return;
  }
  await mkdir(dirname(to), { recursive: true });
  if (status.isSymbolicLink()) await symlink(await readlink(from), to);
  else await copyFile(from, to);
}
