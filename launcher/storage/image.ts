/**
 * What a disk image inside a user's container image is, told from its first bytes (QEMU's docs/interop/qcow2.rst).
 * The header is all that is trusted to be looked at: an image that points at another file (backing file, external
 * data file) would have qemu open any file of the pod as the guest's disk, so it is refused. So is one whose tables
 * are larger than its disk needs, for qemu reads them into the pod's memory, or lie behind the file's end.
 */
import { QCOW2_MAX_VIRTUAL_BYTES } from "../../lib/qcow2.ts";
import { LauncherError } from "../errors.ts";
import { QCOW2_MAGIC } from "./qcow2.ts";

/** Enough for every field looked at. */
export const HEADER_BYTES = 112;

export interface ImageFormat {
  readonly format: "qcow2" | "raw";
  readonly virtualSizeBytes: number;
}

/** incompatible_features, by bit. */
const FEATURE_CORRUPT = 1n << 1n;
/** The guest's data is in another file. */
const FEATURE_DATA_FILE = 1n << 2n;
const FEATURE_EXTENDED_L2 = 1n << 4n;
/** dirty, corrupt, data file, compression type, extended L2: what qemu 10 knows. */
const KNOWN_FEATURES = 0x1fn;
/** qemu's MIN_CLUSTER_BITS, MAX_CLUSTER_BITS: 512 bytes to 2 MiB. */
const MIN_CLUSTER_BITS = 9;
const MAX_CLUSTER_BITS = 21;
/** qemu's QCOW_MAX_REFTABLE_SIZE is 8 MiB, far above what a disk of any node needs. */
const MAX_TABLE_BYTES = 1024 * 1024;
/** Each is a table of its own that qemu reads; the guest is given none of them. */
const MAX_SNAPSHOTS = 16;

/** Formats that qemu reads but KubeVirt's containerDisks don't hold: a raw reading would give the guest garbage. */
const FOREIGN_MAGICS: readonly (readonly [name: string, offset: number, magic: string])[] = [
  ["VMDK", 0, "KDMV"],
  ["VMDK", 0, "COWD"],
  ["VMDK", 0, "# Disk DescriptorFile"],
  ["VHDX", 0, "vhdxfile"],
  ["VHD", 0, "conectix"],
  ["VDI", 0x40, "\x7f\x10\xda\xbe"],
  ["QED", 0, "QED\0"],
];

/**
 * @param header the first HEADER_BYTES of the file, fewer if it is shorter
 * @param fileBytes size of the file
 * @throws LauncherError ImageFormat, ImageBackingFile, ImageDataFile, ImageEncrypted
 */
export function imageFormat(path: string, header: Buffer, fileBytes: number): ImageFormat {
  if (header.length >= 8 && header.readUInt32BE(0) === QCOW2_MAGIC)
    return qcow2Format(path, header, fileBytes);
  for (const [name, offset, magic] of FOREIGN_MAGICS) {
    if (header.toString("latin1", offset, offset + magic.length) === magic) {
      throw new LauncherError(
        "ImageFormat",
        `disk image ${path} is in the ${name} format: a containerDisk holds qcow2 or raw; convert it with qemu-img`,
      );
    }
  }
  if (fileBytes === 0) throw new LauncherError("ImageFormat", `disk image ${path} is empty`);
  return { format: "raw", virtualSizeBytes: roundUpToSector(sizeWithin(path, BigInt(fileBytes))) };
}

function qcow2Format(path: string, header: Buffer, fileBytes: number): ImageFormat {
  const version = header.readUInt32BE(4);
  if ((version !== 2 && version !== 3) || header.length < (version === 2 ? 72 : 104)) {
    throw new LauncherError(
      "ImageFormat",
      `disk image ${path} has a qcow2 header of unknown version ${version}`,
    );
  }
  const fields = readHeader(header, version);
  refuseOtherFiles(path, fields);
  if (fields.cryptMethod !== 0) {
    throw new LauncherError(
      "ImageEncrypted",
      `disk image ${path} is encrypted, and a containerDisk has no key`,
    );
  }
  const virtualSize = sizeWithin(path, fields.virtualSize);
  const defect = defectOf(fields, BigInt(fileBytes));
  if (defect !== undefined) {
    throw new LauncherError(
      "ImageDamaged",
      `disk image ${path} ${defect}: check it with qemu-img check, and the image that holds it`,
    );
  }
  return { format: "qcow2", virtualSizeBytes: roundUpToSector(virtualSize) };
}

interface Qcow2Header {
  readonly backingOffset: bigint;
  readonly clusterBits: number;
  readonly virtualSize: bigint;
  readonly cryptMethod: number;
  readonly l1Entries: number;
  readonly l1Offset: bigint;
  readonly refcountTableOffset: bigint;
  readonly refcountTableClusters: number;
  readonly snapshots: number;
  readonly incompatibleFeatures: bigint;
  readonly refcountOrder: number;
}

function readHeader(header: Buffer, version: 2 | 3): Qcow2Header {
  return {
    backingOffset: header.readBigUInt64BE(8),
    clusterBits: header.readUInt32BE(20),
    virtualSize: header.readBigUInt64BE(24),
    cryptMethod: header.readUInt32BE(32),
    l1Entries: header.readUInt32BE(36),
    l1Offset: header.readBigUInt64BE(40),
    refcountTableOffset: header.readBigUInt64BE(48),
    refcountTableClusters: header.readUInt32BE(56),
    snapshots: header.readUInt32BE(60),
    // Version 2 has no features, and counts of 16 bits.
    incompatibleFeatures: version === 2 ? 0n : header.readBigUInt64BE(72),
    refcountOrder: version === 2 ? 4 : header.readUInt32BE(96),
  };
}

function refuseOtherFiles(path: string, { backingOffset, incompatibleFeatures }: Qcow2Header): void {
  if (backingOffset !== 0n) {
    throw new LauncherError(
      "ImageBackingFile",
      `disk image ${path} has a backing file: flatten it with qemu-img convert before it is put into an image`,
    );
  }
  if ((incompatibleFeatures & FEATURE_DATA_FILE) !== 0n) {
    throw new LauncherError(
      "ImageDataFile",
      `disk image ${path} keeps its data in another file: flatten it with qemu-img convert before it is put into an image`,
    );
  }
}

/** What qemu would stumble over, or read too much memory for. */
function defectOf(header: Qcow2Header, fileBytes: bigint): string | undefined {
  const { clusterBits, incompatibleFeatures, refcountTableClusters, refcountTableOffset } = header;
  if ((incompatibleFeatures & FEATURE_CORRUPT) !== 0n) return "is marked as corrupt";
  if ((incompatibleFeatures & ~KNOWN_FEATURES) !== 0n) {
    return `needs features of qcow2 that qemu lacks (0x${incompatibleFeatures.toString(16)})`;
  }
  if (clusterBits < MIN_CLUSTER_BITS || clusterBits > MAX_CLUSTER_BITS) {
    return `has clusters of 2^${clusterBits} bytes`;
  }
  if (header.refcountOrder > 6) return `has reference counts of 2^${header.refcountOrder} bits`;
  if (header.snapshots > MAX_SNAPSHOTS) {
    return `has ${header.snapshots} internal snapshots, more than ${MAX_SNAPSHOTS}`;
  }
  const cluster = 1n << BigInt(clusterBits);
  const l1Bytes = BigInt(header.l1Entries) * 8n;
  const entryBytes = (incompatibleFeatures & FEATURE_EXTENDED_L2) === 0n ? 8n : 16n;
  const mappedByEntry = (cluster / entryBytes) * cluster;
  const neededBytes = ((header.virtualSize + mappedByEntry - 1n) / mappedByEntry) * 8n;
  // A disk that was resized keeps a larger table, by half at most (qcow2_grow_l1_table).
  if (l1Bytes < neededBytes || l1Bytes > neededBytes * 2n + cluster) {
    return `has an L1 table of ${l1Bytes} bytes where its disk needs ${neededBytes}`;
  }
  const refcountBytes = BigInt(refcountTableClusters) * cluster;
  if (refcountTableClusters === 0 || refcountBytes > BigInt(MAX_TABLE_BYTES) + cluster) {
    return `has a refcount table of ${refcountBytes} bytes`;
  }
  // The last cluster of a file may be cut short after what is used of it.
  const end = fileBytes + cluster - 1n;
  if (header.l1Offset + l1Bytes > end || refcountTableOffset + refcountBytes > end) {
    return `has ${fileBytes} bytes and is cut short: its tables lie behind its end`;
  }
  return undefined;
}

function sizeWithin(path: string, virtualSize: bigint): number {
  if (virtualSize === 0n || virtualSize > BigInt(QCOW2_MAX_VIRTUAL_BYTES)) {
    throw new LauncherError(
      "ImageTooLarge",
      `disk image ${path} holds ${virtualSize} bytes; a disk has 1 to ${QCOW2_MAX_VIRTUAL_BYTES}`,
    );
  }
  return Number(virtualSize);
}

/** qemu rounds a raw image up to whole sectors of 512 bytes. */
function roundUpToSector(bytes: number): number {
  return Math.ceil(bytes / 512) * 512;
}
