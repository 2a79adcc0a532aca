/** The qcow2 format's arithmetic (QEMU's docs/interop/qcow2.rst), for files with qemu's default geometry. */

/** Bytes of a cluster, the unit that a file grows by. */
export const QCOW2_CLUSTER_BYTES = 64 * 1024;
/** Above this an L1 table is read that is larger than many guests; no file system of a node holds such a disk. */
export const QCOW2_MAX_VIRTUAL_BYTES = 64 * 1024 ** 4;

/** An L2 table fills a cluster with 8-byte entries; so does an L1 or refcount table. */
const ENTRIES_PER_CLUSTER = QCOW2_CLUSTER_BYTES / 8;
/** A refcount block fills a cluster with 16-bit counts. */
const REFCOUNTS_PER_CLUSTER = QCOW2_CLUSTER_BYTES / 2;

/** Entries of the L1 table: one per L2 table, which maps 512 MiB. */
export function qcow2L1Entries(virtualSizeBytes: number): number {
  return Math.ceil(Math.ceil(virtualSizeBytes / QCOW2_CLUSTER_BYTES) / ENTRIES_PER_CLUSTER);
}

/**
 * The largest that the file of a disk without snapshots can become, in bytes: all of its data and everything that
 * maps it. What holds the file needs so much room before the guest can fill its disk.
 */
export function qcow2MaxBytes(virtualSizeBytes: number): number {
  const data = Math.ceil(virtualSizeBytes / QCOW2_CLUSTER_BYTES);
  const l2 = qcow2L1Entries(virtualSizeBytes);
  const header = 1;
  const mapped = header + data + l2 + Math.ceil(l2 / ENTRIES_PER_CLUSTER);
  // Refcount blocks count themselves, and their table lies twice while it grows.
  const blocks = Math.ceil(mapped / (REFCOUNTS_PER_CLUSTER - 1)) + 1;
  const table = 2 * Math.ceil(blocks / ENTRIES_PER_CLUSTER);
  return (mapped + blocks + table) * QCOW2_CLUSTER_BYTES;
}
