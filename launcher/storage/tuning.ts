/** How qemu opens a disk: what the spec leaves open, decided from what the disk's files allow. */
import type { DiskCache, DiskIo } from "../../api/launch-spec.ts";

export interface DiskTuning {
  readonly cache: DiskCache;
  readonly io: DiskIo;
}

/**
 * cache: `none` leaves caching to the guest and is safe on a crash of the node; where O_DIRECT can't be had,
 * `writethrough` is as safe. io: the kernel's native AIO wherever it can be had, which is with O_DIRECT. qemu's thread
 * pool, KubeVirt's choice for qcow2 and files with holes, costs a fifth of the random reads of an emulated guest; what
 * speaks for it is that native AIO blocks its submitter while a block is being allocated.
 * @param canDirect every file of the chain can be opened with O_DIRECT (open(2)), and has whole blocks
 */
export function tune(
  { cache, io }: { readonly cache: DiskCache | undefined; readonly io?: DiskIo },
  canDirect: boolean,
): DiskTuning {
  const chosen = cache ?? (canDirect ? "none" : "writethrough");
  return { cache: chosen, io: io ?? (chosen === "none" ? "native" : "threads") };
}
