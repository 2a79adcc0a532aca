/** Prepares every disk of a LaunchSpec, all at the same time: what is missing is made, what is there is checked. */
import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import type { DiskBlockSize, LaunchDisk, LaunchDiskSource, LaunchSpec } from "../../api/launch-spec.ts";
import type { ResolvedDisk } from "../domain/resources.ts";
import { prepareBlock, prepareFile } from "./claim.ts";
import { findContainerDisk } from "./container-disk.ts";
import { blockSizeOf, factsOf, lengthOf } from "./facts.ts";
import { createSparse } from "./file.ts";
import { makeCloudInit, makeFilesImage } from "./images.ts";
import { emptyQcow2 } from "./qcow2.ts";
import { tune } from "./tuning.ts";

export type DisksSpec = Pick<LaunchSpec, "disks" | "accessCredentials">;

/**
 * @param at timestamp of the files that are made
 * @throws LauncherError the first disk's failure
 */
export function prepareDisks(spec: DisksSpec, at: Date): Promise<readonly ResolvedDisk[]> {
  return Promise.all(spec.disks.map((disk) => prepareDisk(disk, spec, at)));
}

async function prepareDisk(disk: LaunchDisk, spec: DisksSpec, at: Date): Promise<ResolvedDisk> {
  const { kind, format, chain } = await prepareSource(disk, spec, at);
  const [path] = chain;
  const [facts, blockSize] = await Promise.all([
    factsOf(kind, format, chain),
    blockSizeFor(disk, kind, path),
  ]);
  return {
    name: disk.name,
    kind,
    path,
    format,
    ...tune({ ...disk, cache: disk.shareable ? "none" : disk.cache }, facts),
    ...(blockSize !== undefined && { blockSize }),
  };
}

interface Prepared {
  readonly kind: "file" | "block";
  readonly format: "raw" | "qcow2";
  /** The disk's file, and what lies below it. */
  readonly chain: readonly [string, ...string[]];
}

async function prepareSource(disk: LaunchDisk, spec: DisksSpec, at: Date): Promise<Prepared> {
  const { name, source } = disk;
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
      return { kind: "file", format: "raw", chain: [await prepareFile(name, source, disk)] };
    case "block":
      return { kind: "block", format: "raw", chain: [await prepareBlock(name, source.path, disk)] };
    case "ephemeral": {
      const backing = await prepareBacking(name, source);
      return overlay(`volume ${name}`, source.overlayPath, { ...backing, format: "raw" });
    }
    case "cloudInit":
      await mkdir(dirname(source.path), { recursive: true });
      await makeCloudInit(name, source, spec.accessCredentials ?? [], at);
      return { kind: "file", format: "raw", chain: [source.path] };
    case "files":
      await mkdir(dirname(source.path), { recursive: true });
      await makeFilesImage(name, source, at);
      return { kind: "file", format: "raw", chain: [source.path] };
  }
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
