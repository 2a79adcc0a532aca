/** Finds out what a disk's files can do. */
import { constants } from "node:fs";
import { open, readFile, realpath, stat, statfs } from "node:fs/promises";
import { join } from "node:path";
import type { DiskBlockSize } from "../../api/launch-spec.ts";
import type { ResolvedDisk } from "../domain/resources.ts";

const SECTOR_BYTES = 512;
/** qemu writes no raw file by O_DIRECT whose end lies within a block; the largest block is a page. */
const DIRECT_BYTES = 4096;
/** A larger block than a page is more than Linux takes of a disk; network file systems tell a megabyte. */
const MAX_FILE_BLOCK_BYTES = 4096;

/**
 * True where every file of a chain can be opened with O_DIRECT, and has whole blocks.
 * @param chain the disk's file, and those below it
 */
export async function canDirect(
  format: "raw" | "qcow2",
  chain: readonly [string, ...string[]],
): Promise<boolean> {
  const [stats, direct] = await Promise.all([stat(chain[0]), Promise.all(chain.map(takesDirect))]);
  return direct.every((takes) => takes) && (format !== "raw" || stats.size % DIRECT_BYTES === 0);
}

/** The block size of the device, or of the file's file system. */
export async function blockSizeOf(kind: ResolvedDisk["kind"], path: string): Promise<DiskBlockSize> {
  return kind === "block" ? deviceBlockSize((await stat(path)).rdev) : fileBlockSize(path);
}

/** Bytes of a raw disk. */
export async function lengthOf(kind: ResolvedDisk["kind"], path: string): Promise<number> {
  const { rdev, size } = await stat(path);
  if (kind === "file") return size;
  return Number(await readFile(join(sysfsFolder(rdev), "size"), "utf8")) * SECTOR_BYTES;
}

/** The kernel refuses O_DIRECT at open(2) where the file system lacks it. */
async function takesDirect(path: string): Promise<boolean> {
  try {
    await (await open(path, constants.O_RDONLY | constants.O_DIRECT)).close();
    return true;
  } catch {
    return false;
  }
}

async function fileBlockSize(path: string): Promise<DiskBlockSize> {
  const { bsize } = await statfs(path);
  const size = Math.min(Math.max(bsize, SECTOR_BYTES), MAX_FILE_BLOCK_BYTES);
  return { logical: size, physical: size };
}

/** From sysfs: Node has no ioctl for BLKSSZGET. A partition's queue is its disk's. */
async function deviceBlockSize(device: number): Promise<DiskBlockSize> {
  const folder = await realpath(sysfsFolder(device));
  const queue = await stat(join(folder, "queue")).then(
    () => join(folder, "queue"),
    () => join(folder, "..", "queue"),
  );
  const read = async (name: string) => Number(await readFile(join(queue, name), "utf8"));
  const [logical, physical] = await Promise.all([read("logical_block_size"), read("physical_block_size")]);
  return { logical, physical };
}

function sysfsFolder(device: number): string {
  return `/sys/dev/block/${major(device)}:${minor(device)}`;
}

/** As glibc's gnu_dev_major and gnu_dev_minor take st_rdev apart. */
function major(device: number): number {
  return Number(((BigInt(device) >> 8n) & 0xfffn) | ((BigInt(device) >> 32n) & ~0xfffn));
}

function minor(device: number): number {
  return Number((BigInt(device) & 0xffn) | ((BigInt(device) >> 12n) & ~0xffn & 0xffffffffn));
}
