/** Builds bench/kube-go, client-go's side of the comparison, into the cache outside the checkout. */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync } from "node:fs";
import { join } from "node:path";
import { cacheFolder } from "../images/layer.ts";
import type { Progress } from "./progress.ts";

const SOURCE = join(import.meta.dirname, "kube-go");
const FILES = ["go.mod", "go.sum", "main.go"];

/** The program's path, named by its content; undefined, after one sentence of why, where it cannot be built. */
export function goInformer(progress: Progress): string | undefined {
  const hash = createHash("sha256");
  for (const file of FILES) hash.update(readFileSync(join(SOURCE, file)));
  const folder = join(cacheFolder(), "bin");
  const program = join(folder, `bench-kube-go-${hash.digest("hex").slice(0, 12)}`);
  if (existsSync(program)) return program;
  progress("building the program with client-go (first time only)");
  mkdirSync(folder, { recursive: true });
  const half = `${program}.${process.pid}`;
  const args = ["build", "-p", "2", "-trimpath", "-ldflags", "-s -w", "-o", half, "."];
  const env = { ...process.env, CGO_ENABLED: "0" };
  const { error, status, stderr } = spawnSync("go", args, { cwd: SOURCE, env, encoding: "utf8" });
  if (error !== undefined) {
    progress("Go is missing, so client-go's figures are: install Go 1.26 and put it on the PATH.");
    return undefined;
  }
  if (status !== 0) {
    const reason = stderr.trim().split("\n").at(-1);
    progress(`client-go's figures are missing, because bench/kube-go does not build: ${reason}`);
    return undefined;
  }
  renameSync(half, program);
  return program;
}
