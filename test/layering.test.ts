/** The rules of ARCHITECTURE.md on who may import whom, checked on the import graph of every program. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { dirname } from "node:path";
import { describe, it } from "node:test";
import { build, type Metafile } from "esbuild";

const ROOT = dirname(import.meta.dirname);
const IO_MODULES =
  /^(node:)?(fs|net|tls|http|https|http2|dgram|child_process|cluster|worker_threads|dns|os)(\/|$)/;

function sources(): string[] {
  return execFileSync("git", ["ls-files", "-co", "--exclude-standard", "*.ts"], {
    cwd: ROOT,
    encoding: "utf8",
  })
    .split("\n")
    .filter((file) => file !== "");
}

/** Every source file with what it imports, as esbuild resolves it; packages and node modules by their names. */
async function importGraph(files: readonly string[]): Promise<Metafile["inputs"]> {
  const { metafile } = await build({
    absWorkingDir: ROOT,
    entryPoints: [...files],
    bundle: true,
    write: false,
    outdir: "/nonexistent",
    platform: "node",
    format: "esm",
    packages: "external",
    metafile: true,
    logLevel: "error",
  });
  return metafile.inputs;
}

const all = sources();
/** What only tests load: its name says so. */
const isForTests = (file: string) => /\.(test|fixture)\.ts$|\/testing\/|\/fake-[^/]*$|\/fake\//.test(file);
const programs = all.filter((file) => !isForTests(file));
const graph = await importGraph(programs);

function importsOf(file: string): readonly string[] {
  return (graph[file]?.imports ?? []).map((one) => one.path);
}

function folder(file: string): string {
  return file.split("/")[0] ?? "";
}

/** Imports that break `isForbidden`, as readable lines. */
function violations(from: readonly string[], isForbidden: (imported: string) => boolean): string[] {
  return programs
    .filter((file) => from.includes(folder(file)))
    .flatMap((file) =>
      importsOf(file)
        .filter(isForbidden)
        .map((imported) => `${file} imports ${imported}`),
    );
}

describe("the layers", () => {
  it("hold every folder of sources", () => {
    const known = [
      "agent",
      "api",
      "bench",
      "cli",
      "images",
      "kube",
      "launcher",
      "lib",
      "operator",
      "test",
      "transport",
    ];
    assert.deepEqual(
      [...new Set(programs.map(folder))].filter((name) => !known.includes(name)),
      [],
    );
  });

  it("keep api and lib free of input and output", () => {
    const found = violations(["api", "lib"], (imported) => IO_MODULES.test(imported)).filter(
      (line) => !line.startsWith("api/crd/"),
    );
    assert.deepEqual(found, []);
  });

  it("keep Kubernetes out of launcher and agent", () => {
    assert.deepEqual(
      violations(["launcher", "agent"], (imported) => /^(kube|operator|cli)\/|^@kubernetes\//.test(imported)),
      [],
    );
  });

  it("let the programs share only api, lib and transport", () => {
    const isProgram = (name: string) => ["agent", "cli", "launcher", "operator"].includes(name);
    const found = programs
      .filter((file) => isProgram(folder(file)))
      .flatMap((file) =>
        importsOf(file)
          .filter((imported) => isProgram(folder(imported)) && folder(imported) !== folder(file))
          .map((imported) => `${file} imports ${imported}`),
      );
    assert.deepEqual(found, []);
  });

  it("let api and lib import nothing above them, and transport and kube nothing but them", () => {
    const above = (allowed: readonly string[]) => (imported: string) =>
      imported.endsWith(".ts") && !allowed.includes(folder(imported));
    assert.deepEqual(violations(["api", "lib"], above(["api", "lib"])), []);
    assert.deepEqual(violations(["transport"], above(["api", "lib", "transport"])), []);
    assert.deepEqual(violations(["kube"], above(["api", "lib", "kube"])), []);
  });

  it("have no cycles", () => {
    const done = new Set<string>();
    const cycles: string[] = [];
    const visit = (file: string, path: readonly string[]): void => {
      const at = path.indexOf(file);
      if (at !== -1) {
        cycles.push([...path.slice(at), file].join(" → "));
        return;
      }
      if (done.has(file)) return;
      for (const imported of importsOf(file))
        if (graph[imported] !== undefined) visit(imported, [...path, file]);
      done.add(file);
    };
    for (const file of programs) visit(file, []);
    assert.deepEqual(cycles, []);
  });

  it("leave the environment and the exit to main files", async () => {
    const { readFile } = await import("node:fs/promises");
    const found: string[] = [];
    for (const file of programs) {
      if (!["agent", "api", "kube", "launcher", "lib", "operator", "transport"].includes(folder(file)))
        continue;
      if (file.endsWith("/main.ts") || file.startsWith("api/crd/")) continue;
      if (/\bprocess\.(env|exit|exitCode)\b/.test(await readFile(`${ROOT}/${file}`, "utf8")))
        found.push(file);
    }
    assert.deepEqual(found, []);
  });
});
