/**
 * What a disk image inside a user's container image is, told from its first bytes (QEMU's docs/interop/qcow2.rst).
 * The header is all that is trusted to be looked at: an image that points at another file (backing file, external
 * data file) would have qemu open any file of the pod as the guest's disk, so it is refused.
 */
import { LauncherError } from "../errors.ts";

/** Enough for every field looked at. */
export const HEADER_BYTES = 112;

export interface ImageFormat {
  readonly format: "qcow2" | "raw";
  readonly virtualSizeBytes: number;
}

const QCOW2_MAGIC = 0x514649fb;
/** incompatible_features, bit 2: the guest's data is in another file. */
const FEATURE_DATA_FILE = 1n << 2n;

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
  if (header.length >= 8 && header.readUInt32BE(0) === QCOW2_MAGIC) return qcow2Format(path, header);
  for (const [name, offset, magic] of FOREIGN_MAGICS) {
    if (header.toString("latin1", offset, offset + magic.length) === magic) {
      throw new LauncherError(
        "ImageFormat",
        `disk image ${path} is in the ${name} format: a containerDisk holds qcow2 or raw; convert it with qemu-img`,
      );
    }
  }
  if (fileBytes === 0) throw new LauncherError("ImageFormat", `disk image ${path} is empty`);
  return { format: "raw", virtualSizeBytes: roundUpToSector(fileBytes) };
}

function qcow2Format(path: string, header: Buffer): ImageFormat {
  const version = header.readUInt32BE(4);
  if ((version !== 2 && version !== 3) || header.length < (version === 2 ? 72 : 104)) {
    throw new LauncherError(
      "ImageFormat",
      `disk image ${path} has a qcow2 header of unknown version ${version}`,
    );
  }
  if (header.readBigUInt64BE(8) !== 0n) {
    throw new LauncherError(
      "ImageBackingFile",
      `disk image ${path} has a backing file: flatten it with qemu-img convert before it is put into an image`,
    );
  }
  if (version === 3 && (header.readBigUInt64BE(72) & FEATURE_DATA_FILE) !== 0n) {
    throw new LauncherError(
      "ImageDataFile",
      `disk image ${path} keeps its data in another file: flatten it with qemu-img convert before it is put into an image`,
    );
  }
  if (header.readUInt32BE(32) !== 0) {
    throw new LauncherError(
      "ImageEncrypted",
      `disk image ${path} is encrypted, and a containerDisk has no key`,
    );
  }
  const virtualSize = header.readBigUInt64BE(24);
  if (virtualSize === 0n || virtualSize > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new LauncherError("ImageFormat", `disk image ${path} says that it holds ${virtualSize} bytes`);
  }
  return { format: "qcow2", virtualSizeBytes: Number(virtualSize) };
}

/** qemu rounds a raw image up to whole sectors of 512 bytes. */
function roundUpToSector(bytes: number): number {
  return Math.ceil(bytes / 512) * 512;
}
