/** Prepares every disk of a LaunchSpec, all at the same time: what is missing is made, what is there is checked. */
import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import type { DiskBlockSize, LaunchDisk, LaunchDiskSource, LaunchSpec } from "../../api/launch-spec.ts";
import type { ResolvedDisk } from "../domain/resources.ts";
import { prepareBlock, prepareFile } from "./claim.ts";
import { findContainerDisk } from "./container-disk.ts";
import { blockSizeOf, canDirect, lengthOf } from "./facts.ts";
import { createSparse } from "./file.ts";
import { makeCloudInit, makeFilesImage } from "./iso-disks.ts";
import { emptyQcow2 } from "./qcow2.ts";
import { tune } from "./tuning.ts";

export type DisksSpec = Pick<LaunchSpec, "disks" | "accessCredentials">;

export interface PrepareOptions {
  /** Timestamp of the files that are made. */
  readonly at: Date;
  /** Resolves when block devices may be opened: until the agent has handed them over they are root's. */
  readonly devicesReady: Promise<unknown>;
}

/** @throws LauncherError the first disk's failure */
export function prepareDisks(spec: DisksSpec, options: PrepareOptions): Promise<readonly ResolvedDisk[]> {
  return Promise.all(spec.disks.map((disk) => prepareDisk(disk, spec, options)));
}

async function prepareDisk(
  disk: LaunchDisk,
  spec: DisksSpec,
  options: PrepareOptions,
): Promise<ResolvedDisk> {
  const { kind, format, chain } = await prepareSource(disk, spec, options);
  const [path] = chain;
  const [direct, blockSize] = await Promise.all([canDirect(format, chain), blockSizeFor(disk, kind, path)]);
  return {
    name: disk.name,
    kind,
    path,
    format,
    ...tune({ ...disk, cache: disk.shareable ? "none" : disk.cache }, direct),
    ...(blockSize !== undefined && { blockSize }),
  };
}

interface Prepared {
  readonly kind: "file" | "block";
  readonly format: "raw" | "qcow2";
  /** The disk's file, and what lies below it. */
  readonly chain: readonly [string, ...string[]];
}

async function prepareSource(disk: LaunchDisk, spec: DisksSpec, options: PrepareOptions): Promise<Prepared> {
  const { name, source } = disk;
  const { at } = options;
  const access = { readonly: disk.readonly || disk.device === "cdrom" };
  if (isOnDevice(source)) await options.devicesReady;
  switch (source.kind) {
    case "containerDisk": {
      const image = await findContainerDisk(name, source.imageDirectory, source.path);
      return overlay(`containerDisk ${name}`, source.overlayPath, image);
    }
    case "emptyDisk": {
      const virtualSizeBytes = source.capacityBytes;
      await createSparse(source.path, `emptyDisk ${name}`, () => emptyQcow2({ virtualSizeBytes }));
      return { kind: "file", format: "qcow2", chain: [source.path] };
    }
    case "file":
      return { kind: "file", format: "raw", chain: [await prepareFile(name, source, access)] };
    case "block":
      return { kind: "block", format: "raw", chain: [await prepareBlock(name, source.path, access)] };
    case "ephemeral": {
      const backing = await prepareBacking(name, source);
      return overlay(`volume ${name}`, source.overlayPath, { ...backing, format: "raw" });
    }
    case "cloudInit":
      await mkdir(dirname(source.path), { recursive: true, mode: 0o700 });
      await makeCloudInit(name, source, spec.accessCredentials ?? [], at);
      return { kind: "file", format: "raw", chain: [source.path] };
    case "files":
      await mkdir(dirname(source.path), { recursive: true, mode: 0o700 });
      await makeFilesImage(name, source, at);
      return { kind: "file", format: "raw", chain: [source.path] };
  }
}

function isOnDevice(source: LaunchDiskSource): boolean {
  return source.kind === "block" || (source.kind === "ephemeral" && source.backing.kind === "block");
}

/** A qcow2 file that takes the guest's writes, over an image that is only read. */
async function overlay(
  what: string,
  path: string,
  below: { readonly path: string; readonly format: "raw" | "qcow2"; readonly virtualSizeBytes: number },
): Promise<Prepared> {
  const { format, virtualSizeBytes } = below;
  await createSparse(path, what, () =>
    emptyQcow2({ virtualSizeBytes, backing: { path: below.path, format } }),
  );
  return { kind: "file", format: "qcow2", chain: [path, below.path] };
}

async function prepareBacking(
  volume: string,
  { backing }: Extract<LaunchDiskSource, { kind: "ephemeral" }>,
): Promise<{ readonly path: string; readonly virtualSizeBytes: number }> {
  const path =
    backing.kind === "file"
      ? await prepareFile(volume, backing, { readonly: true })
      : await prepareBlock(volume, backing.path, { readonly: true });
  return { path, virtualSizeBytes: await lengthOf(backing.kind, path) };
}

async function blockSizeFor(
  { blockSize }: LaunchDisk,
  kind: Prepared["kind"],
  path: string,
): Promise<DiskBlockSize | undefined> {
  return blockSize === "matchVolume" ? blockSizeOf(kind, path) : blockSize;
}
