/** How qemu opens a disk: what the spec leaves open, decided from what the disk's files are. */
import type { DiskCache, DiskIo } from "../../api/launch-spec.ts";

/** What was found out about a disk's files. */
export interface DiskFacts {
  readonly kind: "file" | "block";
  readonly format: "raw" | "qcow2";
  /** Every file of the chain can be opened with O_DIRECT (open(2)), and has whole blocks. */
  readonly canDirect: boolean;
  /** The file has a block for each of its bytes; a block device always has. */
  readonly isAllocated: boolean;
}

export interface DiskTuning {
  readonly cache: DiskCache;
  readonly io: DiskIo;
}

/**
 * cache: `none` leaves caching to the guest and is safe on a crash of the node; where O_DIRECT can't be had,
 * `writethrough` is as safe. io: the kernel's native AIO needs O_DIRECT, and blocks the submitting thread where a
 * block has to be allocated first, so that files with holes are written by qemu's thread pool. (KubeVirt's rules.)
 */
export function tune(
  { cache, io }: { readonly cache: DiskCache | undefined; readonly io?: DiskIo },
  facts: DiskFacts,
): DiskTuning {
  const chosen = cache ?? (facts.canDirect ? "none" : "writethrough");
  const isNative = chosen === "none" && facts.format === "raw" && facts.isAllocated;
  return { cache: chosen, io: io ?? (isNative ? "native" : "threads") };
}
