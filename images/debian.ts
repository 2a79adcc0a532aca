/**
 * Debian packages without installing them: resolved and fetched by the machine's own apt, unpacked by dpkg-deb.
 * apt gets a state of its own, so neither the machine's packages nor its lists matter, and no root is needed.
 */

import { existsSync } from "node:fs";
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { cacheFolder } from "./layer.ts";
import { run } from "./process.ts";

/** The release that every image is made of, whatever release the machine runs. */
export const suite = "trixie";

const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";

export type Package = { readonly name: string; readonly version: string; readonly architecture: string };

/** One archive of Debian as the machine's apt knows it. */
export type Archive = { readonly uri: string; readonly label: string };

export class DebianError extends Error {
  readonly code = "DEBIAN_ARCHIVE";
}

/** Parses the lines `label|uri` that `apt-get indextargets` prints for the machine's sources. */
export function parseArchives(text: string): Archive[] {
  const lines = [...new Set(text.split("\n").filter((line) => line.includes("|")))];
  return lines.map((line) => {
    const [label = "", uri = ""] = line.split("|");
    return { label, uri };
  });
}

/**
 * Sources for {@link suite} on the same mirrors that the machine uses for its own release.
 *
 * @throws DebianError when the machine has no source of Debian itself
 */
export function sourcesList(archives: readonly Archive[]): string {
  const lines = archives.flatMap(({ uri, label }) => {
    if (label === "Debian") return [`${uri} ${suite} main`, `${uri} ${suite}-updates main`];
    if (label === "Debian-Security") return [`${uri} ${suite}-security main`];
    return [];
  });
  if (!lines.some((line) => line.endsWith(` ${suite} main`))) {
    throw new DebianError("apt knows no Debian mirror: add one to its sources and run `apt-get update`");
  }
  return [...new Set(lines)].map((line) => `deb [signed-by=${keyring}] ${line}\n`).join("");
}

/** Parses the `Inst` lines of `apt-get install --simulate`: what would be installed, in order. */
export function parseSimulation(text: string): Package[] {
  const pattern = /^Inst (\S+) (?:\[\S+\] )?\((\S+) .*\[(\w+)\]\)/gm;
  return [...text.matchAll(pattern)].map(([, name = "", version = "", architecture = ""]) => {
    return { name, version, architecture };
  });
}

/** File name under which apt keeps a package: a colon in the version is escaped. */
export function debFile(entry: Package): string {
  return `${entry.name}_${entry.version.replace(":", "%3a")}_${entry.architecture}.deb`;
}

/** Fetches and unpacks packages of {@link suite}. */
export class Debian {
  readonly #root = join(cacheFolder(), "apt", suite);
  readonly #debs = join(cacheFolder(), "debs");
  #ready: Promise<void> | undefined;

  /** File with apt's sources of {@link suite}, as `sources.list(5)` says. */
  async sourcesFile(): Promise<string> {
    await this.#prepare();
    return join(this.#root, "sources.list");
  }

  /** Packages that installing the named ones would bring, with every dependency, but no recommendation. */
  async resolve(names: readonly string[]): Promise<Package[]> {
    await this.#prepare();
    return parseSimulation(await this.#apt(["install", "--simulate", "--", ...names]));
  }

  /** Paths of the packages' files, fetched where they are not there yet. */
  async fetch(packages: readonly Package[]): Promise<string[]> {
    await mkdir(this.#debs, { recursive: true });
    const missing = packages.filter((entry) => !existsSync(join(this.#debs, debFile(entry))));
    if (missing.length > 0) {
      const partial = join(this.#debs, `.partial-${process.pid}`);
      await mkdir(partial, { recursive: true });
      try {
        await this.#apt(
          ["download", "--", ...missing.map(({ name, version }) => `${name}=${version}`)],
          partial,
        );
        for (const entry of missing)
          await rename(join(partial, debFile(entry)), join(this.#debs, debFile(entry)));
      } finally {
        await rm(partial, { recursive: true, force: true });
      }
    }
    return packages.map((entry) => join(this.#debs, debFile(entry)));
  }

  #prepare(): Promise<void> {
    this.#ready ??= this.#update();
    return this.#ready;
  }

  async #update(): Promise<void> {
    const found = await run("apt-get", [
      "indextargets",
      "--format",
      "$(LABEL)|$(REPO_URI)",
      "Origin: Debian",
    ]);
    const sources = sourcesList(parseArchives(found));
    for (const folder of ["lists/partial", "cache/archives/partial"]) {
      await mkdir(join(this.#root, folder), { recursive: true });
    }
    await writeFile(join(this.#root, "sources.list"), sources);
    // No package is installed here: everything that an image needs counts as missing.
    await writeFile(join(this.#root, "status"), "");
    await this.#apt(["update"]);
  }

  async #apt(args: readonly string[], cwd = this.#root): Promise<string> {
    const settings = {
      "Dir::Etc::SourceList": join(this.#root, "sources.list"),
      "Dir::Etc::SourceParts": "/dev/null",
      "Dir::Etc::Preferences": "/dev/null",
      "Dir::Etc::PreferencesParts": "/dev/null",
      "Dir::State::Lists": join(this.#root, "lists"),
      "Dir::State::status": join(this.#root, "status"),
      "Dir::State::extended_states": join(this.#root, "extended_states"),
      "Dir::Cache": join(this.#root, "cache"),
      "APT::Architecture": "amd64",
      "APT::Architectures": "amd64",
      "APT::Install-Recommends": "false",
      "APT::Sandbox::User": "root",
      "APT::Update::Error-Mode": "any",
      "Acquire::Languages": "none",
      "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
      "Acquire::Retries": "3",
    };
    const options = Object.entries(settings).flatMap(([key, value]) => ["-o", `${key}=${value}`]);
    return run("apt-get", ["-q", ...options, ...args], { cwd });
  }
}
