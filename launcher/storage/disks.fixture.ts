/** Disks for tests, and what qemu's own tools say of them. */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { promisify } from "node:util";
import type { LaunchDisk, LaunchDiskSource } from "../../api/launch-spec.ts";
import type { ResolvedDisk } from "../domain/resources.ts";
import { prepareDisks } from "./disks.ts";

export const run = promisify(execFile);
export const MiB = 1024 * 1024;

export interface ImageInfo {
  readonly format: string;
  readonly "virtual-size": number;
  readonly "full-backing-filename"?: string;
  readonly "backing-filename-format"?: string;
}

export async function scratch(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "disks-"));
  t.after(() => rm(directory, { recursive: true }));
  await mkdir(join(directory, "image", "disk"), { recursive: true });
  return directory;
}

export async function info(path: string): Promise<ImageInfo> {
  const { stdout } = await run("qemu-img", ["info", "--output=json", path]);
  return JSON.parse(stdout) as ImageInfo;
}

export function disk(source: LaunchDiskSource, knobs: Partial<LaunchDisk> = {}): LaunchDisk {
  return { name: "root", device: "disk", bus: "virtio", readonly: false, source, ...knobs };
}

export function prepare(...disks: LaunchDisk[]): Promise<readonly ResolvedDisk[]> {
  return prepareDisks({ disks }, { at: new Date(0), devicesReady: Promise.resolve() });
}

/** Content at an offset as qemu reads it. */
export async function readsPattern(path: string, format: string, pattern: number, at = 0): Promise<boolean> {
  const { stdout } = await run("qemu-io", ["-r", "-f", format, "-c", `read -P ${pattern} ${at} 4096`, path]);
  return !stdout.includes("Pattern verification failed");
}
