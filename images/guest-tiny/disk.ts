/** The test guest as a disk that a PC BIOS boots: one FAT partition with SYSLINUX, made without mounting anything. */
import { open, stat, truncate, utimes, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { epoch } from "../layer.ts";
import { run } from "../process.ts";
import type { Guest } from "./initrd.ts";

const mebibyte = 2 ** 20;
/** Bytes before the partition; SYSLINUX's own code in the boot record reads the rest from the partition. */
const offset = mebibyte;
/** Kernel arguments of the disk's one boot entry. */
const kernelArguments = "console=ttyS0 quiet";

const configuration = `DEFAULT guest
PROMPT 0
LABEL guest
  LINUX /vmlinuz
  INITRD /initrd.gz
  APPEND ${kernelArguments}
`;

/** Bytes of a disk for files of the given sizes: room for FAT's own tables and SYSLINUX, in whole MiB. */
export function diskSize(files: readonly number[]): number {
  const content = files.reduce((sum, size) => sum + size, 0);
  return offset + Math.ceil((content * 1.02) / mebibyte + 2) * mebibyte;
}

/** Writes a raw, bootable disk. */
export async function makeDisk(guest: Guest, file: string): Promise<void> {
  const sizes = await Promise.all([guest.kernel, guest.initrd].map(async (path) => (await stat(path)).size));
  await writeFile(file, "");
  await truncate(file, diskSize(sizes));
  const table = `label: dos\nlabel-id: 0x76697274\nstart=${offset / 512}, type=c, bootable\n`;
  await run("sfdisk", ["--quiet", file], { input: table });

  const partition = `${file}@@${offset}`;
  const env = { SOURCE_DATE_EPOCH: String(epoch.getTime() / 1000), TZ: "UTC" };
  const sectors = String((diskSize(sizes) - offset) / 512);
  // -H: FAT tells SYSLINUX how far into the disk it stands.
  await run("mformat", ["-i", partition, "-T", sectors, "-H", String(offset / 512), "-N", "76697274"], {
    env,
  });
  const config = join(dirname(file), "syslinux.cfg");
  await writeFile(config, configuration);
  for (const path of [guest.kernel, guest.initrd, config]) {
    await utimes(path, epoch, epoch);
    await run("mcopy", ["-m", "-i", partition, path, `::${basename(path)}`], { env });
  }
  await run("syslinux", ["--offset", String(offset), "--install", file], { env });
  await writeBootRecord(file);
}

/** Puts SYSLINUX's boot code before the partition table, which starts at byte 446. */
async function writeBootRecord(file: string): Promise<void> {
  await using code = await open("/usr/lib/SYSLINUX/mbr.bin");
  const { buffer, bytesRead } = await code.read(Buffer.alloc(440), 0, 440, 0);
  await using disk = await open(file, "r+");
  await disk.write(buffer, 0, bytesRead, 0);
}
