/** The uncompressed kernel inside a bzImage: qemu starts it by PVH, without a BIOS and without decompressing. */
import { zstdDecompressSync } from "node:zlib";

/** Offsets in the kernel's setup header; Documentation/arch/x86/boot.rst of Linux. */
const MAGIC_AT = 0x202;
const SETUP_SECTORS_AT = 0x1f1;
const PAYLOAD_OFFSET_AT = 0x248;
const PAYLOAD_LENGTH_AT = 0x24c;
const SECTOR = 512;
/** The payload ends with its uncompressed size, which is no part of the zstd frame. */
const SIZE_TRAILER = 4;
const ZSTD_MAGIC = 0xfd2fb528;
const ELF_MAGIC = 0x464c457f;

/** @throws Error when the image is no bzImage with a zstd payload that holds an ELF file */
export function extractVmlinux(bzImage: Buffer): Buffer {
  if (bzImage.length < SECTOR * 2 || bzImage.toString("latin1", MAGIC_AT, MAGIC_AT + 4) !== "HdrS") {
    throw new Error("the kernel is no bzImage: its setup header is missing");
  }
  const start = ((bzImage[SETUP_SECTORS_AT] || 4) + 1) * SECTOR + bzImage.readUInt32LE(PAYLOAD_OFFSET_AT);
  const end = start + bzImage.readUInt32LE(PAYLOAD_LENGTH_AT) - SIZE_TRAILER;
  if (end > bzImage.length || end - start < 4 || bzImage.readUInt32LE(start) !== ZSTD_MAGIC) {
    throw new Error("the kernel's payload is not compressed by zstd, as Debian's is");
  }
  const kernel = zstdDecompressSync(bzImage.subarray(start, end));
  if (kernel.length < 4 || kernel.readUInt32LE(0) !== ELF_MAGIC)
    throw new Error("the kernel's payload is no ELF file");
  return kernel;
}
