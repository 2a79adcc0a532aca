/**
 * An empty qcow2 image, as bytes (QEMU's docs/interop/qcow2.rst): version 3, clusters of 64 KiB, 16-bit refcounts,
 * which is what qemu-img makes. Written here because a process of qemu-img per disk takes longer than all the rest
 * of a disk's preparation, and brings 5 MB of libraries into the image.
 */
import { QCOW2_CLUSTER_BYTES, QCOW2_MAX_VIRTUAL_BYTES, qcow2L1Entries } from "../../lib/qcow2.ts";

export interface Qcow2Options {
  /** Above 0, at most QCOW2_MAX_VIRTUAL_BYTES; rounded up to whole sectors. */
  readonly virtualSizeBytes: number;
  /** The format is written down, so that qemu never guesses it from what a guest wrote. */
  readonly backing?: { readonly path: string; readonly format: "qcow2" | "raw" };
}

/** A sparse file: `bytes` at `offset`, nothing between, `size` bytes in all. */
export interface SparseFile {
  readonly size: number;
  readonly extents: readonly { readonly offset: number; readonly bytes: Buffer }[];
}

export const QCOW2_MAGIC = 0x514649fb;
const CLUSTER_BITS = Math.log2(QCOW2_CLUSTER_BYTES);
const HEADER_BYTES = 112;
const REFCOUNT_ORDER = 4;
/** Header extension: the backing file's format. */
const EXTENSION_BACKING_FORMAT = 0xe2792aca;
/** Limit of the format for the name of a backing file. */
const MAX_BACKING_PATH_BYTES = 1023;
const SECTOR_BYTES = 512;

/** Clusters in their order in the file. */
const REFCOUNT_TABLE = 1;
const REFCOUNT_BLOCK = 2;
const L1_TABLE = 3;

/** @throws RangeError a size or a path that the format can't hold */
export function emptyQcow2({ virtualSizeBytes, backing }: Qcow2Options): SparseFile {
  if (!(virtualSizeBytes > 0 && virtualSizeBytes <= QCOW2_MAX_VIRTUAL_BYTES)) {
    throw new RangeError(`a qcow2 disk of ${virtualSizeBytes} bytes can't be made`);
  }
  const l1Entries = qcow2L1Entries(virtualSizeBytes);
  const clusters = L1_TABLE + Math.ceil((l1Entries * 8) / QCOW2_CLUSTER_BYTES);
  const header = headerOf(Math.ceil(virtualSizeBytes / SECTOR_BYTES) * SECTOR_BYTES, l1Entries, backing);
  const refcountTable = Buffer.alloc(8);
  refcountTable.writeBigUInt64BE(BigInt(REFCOUNT_BLOCK * QCOW2_CLUSTER_BYTES));
  const refcountBlock = Buffer.alloc(clusters * 2);
  for (let cluster = 0; cluster < clusters; cluster += 1) refcountBlock.writeUInt16BE(1, cluster * 2);
  return {
    size: clusters * QCOW2_CLUSTER_BYTES,
    extents: [
      { offset: 0, bytes: header },
      { offset: REFCOUNT_TABLE * QCOW2_CLUSTER_BYTES, bytes: refcountTable },
      { offset: REFCOUNT_BLOCK * QCOW2_CLUSTER_BYTES, bytes: refcountBlock },
    ],
  };
}

function headerOf(virtualSizeBytes: number, l1Entries: number, backing: Qcow2Options["backing"]): Buffer {
  const extensions =
    backing === undefined
      ? endOfExtensions()
      : Buffer.concat([backingFormat(backing.format), endOfExtensions()]);
  const path = Buffer.from(backing?.path ?? "");
  if (path.length > MAX_BACKING_PATH_BYTES) {
    throw new RangeError(
      `the backing file's path has ${path.length} bytes, qcow2 holds ${MAX_BACKING_PATH_BYTES}`,
    );
  }
  const fixed = Buffer.alloc(HEADER_BYTES);
  fixed.writeUInt32BE(QCOW2_MAGIC, 0);
  fixed.writeUInt32BE(3, 4);
  if (path.length > 0) fixed.writeBigUInt64BE(BigInt(HEADER_BYTES + extensions.length), 8);
  fixed.writeUInt32BE(path.length, 16);
  fixed.writeUInt32BE(CLUSTER_BITS, 20);
  fixed.writeBigUInt64BE(BigInt(virtualSizeBytes), 24);
  fixed.writeUInt32BE(l1Entries, 36);
  fixed.writeBigUInt64BE(BigInt(L1_TABLE * QCOW2_CLUSTER_BYTES), 40);
  fixed.writeBigUInt64BE(BigInt(REFCOUNT_TABLE * QCOW2_CLUSTER_BYTES), 48);
  fixed.writeUInt32BE(1, 56); // clusters of the refcount table
  fixed.writeUInt32BE(REFCOUNT_ORDER, 96);
  fixed.writeUInt32BE(HEADER_BYTES, 100);
  return Buffer.concat([fixed, extensions, path]);
}

/** Type, length, data padded to 8 bytes. */
function backingFormat(format: string): Buffer {
  const extension = Buffer.alloc(8 + 8);
  extension.writeUInt32BE(EXTENSION_BACKING_FORMAT, 0);
  extension.writeUInt32BE(format.length, 4);
  extension.write(format, 8, "latin1");
  return extension;
}

function endOfExtensions(): Buffer {
  return Buffer.alloc(8);
}
