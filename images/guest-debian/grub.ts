/** GRUB on the disk: its core image for a BIOS, embedded without grub-install, and its configuration for both. */
import { kernelArguments, rootFilesystem } from "./recipe.ts";

/** Bytes per sector, for GRUB, the partition table and int 13h. */
export const sectorSize = 512;

/** Bytes of boot code before the disk's signature and its protective partition table. */
const bootCodeSize = 440;
/** Where boot.img keeps the sector of the core image: GRUB_BOOT_MACHINE_KERNEL_SECTOR in grub's boot.h. */
const coreSectorAt = 0x5c;
/** Where the core's first sector keeps its block list: start (8 bytes), sectors (2), segment (2), at its very end. */
const blockListAt = sectorSize - 12;

/** Modules in the core image: all that it takes to read the root file system and to start Linux. */
export const coreModules = ["biosdisk", "part_gpt", "ext2", "normal", "linux", "test"] as const;

export class GrubError extends Error {
  readonly code = "GRUB_CORE";
}

/**
 * Does what grub-bios-setup does, with a partition that lies where it is said to lie.
 *
 * @param boot boot.img, 512 bytes
 * @param core the core image of grub-mkimage
 * @param partition bytes from the beginning of the disk, and size
 * @returns boot code for the disk's first 440 bytes, and the core to write at the partition's start
 * @throws GrubError when an image is not what it should be, or the core does not fit
 */
export function embed(
  boot: Buffer,
  core: Buffer,
  partition: { readonly start: number; readonly size: number },
): { readonly bootCode: Buffer; readonly core: Buffer } {
  if (boot.length !== sectorSize) throw new GrubError(`GRUB's boot.img has ${boot.length} bytes, not 512`);
  if (core.length > partition.size) {
    throw new GrubError(`GRUB's core of ${core.length} bytes does not fit into ${partition.size}`);
  }
  const sectors = Math.ceil(core.length / sectorSize) - 1;
  if (core.length < 2 * sectorSize || core.readUInt16LE(blockListAt + 8) !== sectors) {
    throw new GrubError("GRUB's core image has no list of its own sectors: is it one for i386-pc?");
  }
  const first = BigInt(partition.start / sectorSize);
  const bootCode = Buffer.from(boot.subarray(0, bootCodeSize));
  bootCode.writeBigUInt64LE(first, coreSectorAt);
  const placed = Buffer.from(core);
  // The core's first sector loads the others.
  placed.writeBigUInt64LE(first + 1n, blockListAt);
  return { bootCode, core: placed };
}

/** `/boot/grub/grub.cfg`. Debian keeps both links at the newest kernel, so a new one needs no change here. */
export const configuration = `set timeout=0
menuentry "Debian" {
  linux /vmlinuz ${kernelArguments.join(" ")}
  initrd /initrd.img
}
`;

/** `/EFI/debian/grub.cfg` on the EFI system partition, where Debian's signed GRUB looks. */
export const efiConfiguration = `search.fs_uuid ${rootFilesystem} root hd0,gpt3
set prefix=($root)/boot/grub
configfile $prefix/grub.cfg
`;
