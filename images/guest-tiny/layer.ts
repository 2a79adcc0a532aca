/** The one layer of the test guest's image: /boot for direct kernel boot, /disk for a containerDisk. */
import { createHash } from "node:crypto";
import { copyFile, glob, mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Debian } from "../debian.ts";
import { type LayerFile, layer } from "../layer.ts";
import { needTools } from "../tools.ts";
import { makeDisk } from "./disk.ts";
import { makeGuest } from "./initrd.ts";

/** Everything in this folder decides the guest. */
async function sourceHash(): Promise<string> {
  const hash = createHash("sha256");
  const names: string[] = [];
  for await (const name of glob("*", { cwd: import.meta.dirname, exclude: ["*.test.ts", "boot.ts"] })) {
    names.push(name);
  }
  for (const name of names.sort()) hash.update(name).update(await readFile(join(import.meta.dirname, name)));
  return hash.digest("hex");
}

/** @param options `fresh` takes in a newer kernel from Debian */
export async function guestLayer(debian: Debian, options: { readonly fresh?: boolean }): Promise<LayerFile> {
  const recipe = { sources: await sourceHash() };
  return layer(
    "guest-tiny",
    "virtpod test guest",
    recipe,
    async (root) => {
      await needTools([
        "musl-gcc",
        "cpio",
        "modinfo",
        "xz",
        "strip",
        "sfdisk",
        "mformat",
        "mcopy",
        "syslinux",
      ]);
      await mkdir(join(root, "boot"));
      await mkdir(join(root, "disk"));
      const guest = await makeGuest(debian, join(root, "boot"), join(root, "licences"));
      // Of the machine that builds: syslinux is in the disk, musl's C library in init.
      for (const name of ["syslinux", "musl-dev"]) {
        await copyFile(join("/usr/share/doc", name, "copyright"), join(root, "licences", name));
      }
      await makeDisk(guest, join(root, "disk/disk.img"));
      await rm(join(root, "disk/syslinux.cfg"));
    },
    options,
  );
}
