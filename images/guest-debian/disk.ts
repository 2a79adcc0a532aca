/** The guest's disk, bootable by BIOS and by EFI, made without mounting anything. */
import { copyFile, mkdir, open, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { run } from "../process.ts";
import { needTools } from "../tools.ts";
import { configuration, coreModules, efiConfiguration, embed, sectorSize } from "./grub.ts";
import * as recipe from "./recipe.ts";

/** Input of sfdisk(8) that makes the partition table. */
export function partitionTable(): string {
  const lines = recipe.partitions.map(({ name, start, size, type, uuid }) =>
    [
      `start=${start / sectorSize}`,
      `size=${size / sectorSize}`,
      `type=${type}`,
      `uuid=${uuid}`,
      `name=${name}`,
    ].join(", "),
  );
  return ["label: gpt", `label-id: ${recipe.diskIdentifier}`, ...lines, ""].join("\n");
}

/** Folder with the unpacked packages that boot loaders are taken from. */
export type Loaders = { readonly folder: string };

/**
 * Writes the disk as qcow2, its clusters compressed.
 *
 * @param root the guest's root file system; gets GRUB's configuration
 * @param work folder for what is needed on the way
 */
export async function makeDisk(root: string, loaders: Loaders, work: string, file: string): Promise<void> {
  await needTools(["sfdisk", "mke2fs", "mformat", "mmd", "mcopy", "qemu-img"]);
  const raw = join(work, "disk.raw");
  await writeFile(raw, "");
  await truncate(raw, recipe.diskSize);
  await run("sfdisk", ["--quiet", raw], { input: partitionTable() });

  await mkdir(join(root, "boot/grub"), { recursive: true });
  await writeFile(join(root, "boot/grub/grub.cfg"), configuration);
  await writeRoot(root, raw);
  await writeEfiSystem(loaders, work, raw);
  await writeBiosBoot(loaders, work, raw);

  const options = ["-c", "-O", "qcow2", "-o", "compression_type=zstd"];
  await run("qemu-img", ["convert", "-f", "raw", ...options, raw, file]);
  await rm(raw);
}

async function writeRoot(root: string, disk: string): Promise<void> {
  const { start, size } = recipe.rootPartition;
  // What the machine's own mke2fs may know and GRUB 2.12 does not.
  const features = "^orphan_file,^metadata_csum_seed";
  // Nothing is left for the guest to initialise behind its user's back.
  const extended = `offset=${start},lazy_itable_init=0,lazy_journal_init=0,hash_seed=${recipe.rootFilesystem}`;
  await run("mke2fs", [
    ...["-q", "-F", "-t", "ext4", "-b", "4096", "-m", "1", "-L", "root", "-U", recipe.rootFilesystem],
    ...["-O", features, "-E", extended, "-d", root, disk, `${size / 1024}k`],
  ]);
}

/** Debian's signed shim where firmware looks when nothing else is set up, and the signed GRUB that it starts. */
async function writeEfiSystem({ folder }: Loaders, work: string, disk: string): Promise<void> {
  const { start, size } = recipe.efiSystem;
  const partition = `${disk}@@${start}`;
  await run("mformat", ["-i", partition, "-T", String(size / sectorSize), "-v", "EFI", "-N", "76697274"]);
  await run("mmd", ["-i", partition, "::/EFI", "::/EFI/BOOT", "::/EFI/debian"]);
  const config = join(work, "grub.cfg");
  await writeFile(config, efiConfiguration);
  for (const [from, to] of [
    [join(folder, "usr/lib/shim/shimx64.efi.signed"), "EFI/BOOT/BOOTX64.EFI"],
    [join(folder, "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed"), "EFI/BOOT/grubx64.efi"],
    [config, "EFI/debian/grub.cfg"],
  ] as const) {
    await run("mcopy", ["-i", partition, from, `::/${to}`]);
  }
}

async function writeBiosBoot({ folder }: Loaders, work: string, disk: string): Promise<void> {
  const images = join(folder, "usr/lib/grub/i386-pc");
  const file = join(work, "core.img");
  const libraries = join(folder, "usr/lib/x86_64-linux-gnu");
  await run(join(folder, "usr/lib64/ld-linux-x86-64.so.2"), [
    ...["--inhibit-cache", "--library-path", libraries, join(folder, "usr/bin/grub-mkimage")],
    ...["--format=i386-pc", `--directory=${images}`, `--output=${file}`],
    // No disk is named: the one that the BIOS booted from.
    ...["--prefix=(,gpt3)/boot/grub", ...coreModules],
  ]);
  const { start } = recipe.biosBoot;
  const { bootCode, core } = embed(
    await readFile(join(images, "boot.img")),
    await readFile(file),
    recipe.biosBoot,
  );
  await using handle = await open(disk, "r+");
  await handle.write(bootCode, 0, bootCode.length, 0);
  await handle.write(core, 0, core.length, start);
}

/** Gives the guest the licences of the boot loaders, which no package of its own has. */
export async function copyLicences({ folder }: Loaders, root: string): Promise<void> {
  for (const name of recipe.loaderPackages) {
    const licence = join("usr/share/doc", name, "copyright");
    await mkdir(dirname(join(root, licence)), { recursive: true });
    await copyFile(join(folder, licence), join(root, licence));
  }
}
