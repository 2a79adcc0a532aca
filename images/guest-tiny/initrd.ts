/** The test guest's kernel and initial RAM disk. */
import { chmod, copyFile, glob, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import type { Debian, Package } from "../debian.ts";
import { cacheFolder, epoch } from "../layer.ts";
import { run } from "../process.ts";
import { extractVmlinux } from "./vmlinux.ts";

const sources = import.meta.dirname;

/** Drivers that the guest loads before its network, and those that can wait. */
const drivers = {
  first: ["virtio_net", "button", "evdev"],
  later: [
    "virtio_blk",
    "pvpanic-mmio",
    "pvpanic-pci",
    "virtio-rng",
    "virtio_balloon",
    "virtio_scsi",
    "sd_mod",
    "ahci",
  ],
};

/** Busybox commands of the guest's shell. */
const commands = (
  "awk cat chmod chown clear cp cut date dd df dmesg du echo env expr false find free grep halt head hexdump hostname " +
  "id ifconfig insmod ip kill killall less ln ls lsmod mkdir mknod mount mv nc netstat nslookup ping ping6 poweroff ps " +
  "pwd reboot rm rmdir route sed seq setsid sh sleep sort stat stty sync sysctl tail tar tee telnet test time top touch " +
  "tr true udhcpc umount uname uptime vi wc wget which xargs"
).split(" ");

export type Guest = { readonly kernel: string; readonly initrd: string };

/** The package that holds the kernel itself: its metapackage's one dependency of that kind. */
export function kernelPackage(packages: readonly Package[]): Package | undefined {
  return packages.find(({ name }) => /^linux-image-\d.*-cloud-amd64$/.test(name));
}

/**
 * Modules in the order in which they can be loaded.
 *
 * @param names drivers wanted
 * @param dependencies what each module needs, as its own header says
 */
export function loadOrder(
  names: readonly string[],
  dependencies: (name: string) => readonly string[] | undefined,
): string[] {
  const order: string[] = [];
  const visit = (name: string, path: readonly string[]) => {
    const needs = dependencies(name);
    if (needs === undefined)
      throw new Error(`the kernel has no module ${name}, which ${path.at(-1) ?? "the guest"} needs`);
    for (const need of needs) if (!path.includes(need)) visit(need, [...path, name]);
    if (!order.includes(name)) order.push(name);
  };
  for (const name of names) visit(name, []);
  return order;
}

/** Kernel modules differ in `-` and `_` between file names and dependencies; the kernel sees them as equal. */
function canonical(name: string): string {
  return name.replaceAll("-", "_");
}

/**
 * Makes `vmlinuz`, the same kernel uncompressed as `vmlinux`, and `initrd.gz` in a folder.
 *
 * @param licences folder for the licences of what Debian gave
 */
export async function makeGuest(debian: Debian, folder: string, licences: string): Promise<Guest> {
  const work = await mkdtemp(join(cacheFolder(), ".guest-"));
  try {
    const resolved = await debian.resolve(["linux-image-cloud-amd64", "busybox-static"]);
    const kernel = kernelPackage(resolved);
    const busybox = resolved.find(({ name }) => name === "busybox-static");
    if (!kernel || !busybox)
      throw new Error("Debian's linux-image-cloud-amd64 and busybox-static did not resolve");
    const debs = await debian.fetch([kernel, busybox]);
    for (const deb of debs) await run("dpkg-deb", ["--extract", deb, join(work, "debian")]);
    await mkdir(licences, { recursive: true });
    const versions = [kernel, busybox].map(({ name, version }) => `${name} ${version}\n`);
    await writeFile(join(licences, "versions"), versions.join(""));
    for (const { name } of [kernel, busybox]) {
      const licence = join("usr/share/doc", name, "copyright");
      await copyFile(join(work, "debian", licence), join(licences, name));
    }
    const release = kernel.name.replace("linux-image-", "");
    const guest = { kernel: join(folder, "vmlinuz"), initrd: join(folder, "initrd.gz") };
    await copyFile(join(work, "debian/boot", `vmlinuz-${release}`), guest.kernel);
    await writeFile(join(folder, "vmlinux"), extractVmlinux(await readFile(guest.kernel)));

    const root = join(work, "root");
    for (const path of ["bin", "dev", "proc", "sys", "tmp", "etc", "lib/modules"]) {
      await mkdir(join(root, path), { recursive: true });
    }
    await addPrograms(join(work, "debian"), root);
    await addModules(join(work, "debian/usr/lib/modules", release), root);
    await writeFile(guest.initrd, gzipSync(await archive(root), { level: 9 }));
    return guest;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function addPrograms(debian: string, root: string): Promise<void> {
  const headers = ["-idirafter", "/usr/include", "-idirafter", "/usr/include/x86_64-linux-gnu"];
  const flags = ["-static", "-Os", "-s", "-Wall", "-Wextra", "-Werror", "-Wno-format-truncation"];
  const parts = ["init.c", "http.c", "disk.c"].map((name) => join(sources, name));
  await run("musl-gcc", [...flags, ...headers, "-o", join(root, "init"), ...parts]);
  await copyFile(join(debian, "usr/bin/busybox"), join(root, "bin/busybox"));
  for (const command of commands) await symlink("busybox", join(root, "bin", command));
  await writeFile(join(root, "bin/panic"), "#!/bin/sh\necho c >/proc/sysrq-trigger\n");
  await copyFile(join(sources, "udhcpc.script"), join(root, "etc/udhcpc.script"));
  await copyFile(join(sources, "profile"), join(root, "etc/profile"));
  for (const path of ["init", "bin/busybox", "bin/panic", "etc/udhcpc.script"])
    await chmod(join(root, path), 0o755);
  await writeFile(join(root, "etc/passwd"), "root::0:0:root:/:/bin/sh\n");
  await writeFile(join(root, "etc/group"), "root:x:0:\n");
  await writeFile(join(root, "etc/hosts"), "127.0.0.1 localhost\n::1 localhost\n");
}

async function addModules(modules: string, root: string): Promise<void> {
  const files = new Map<string, string>();
  for await (const path of glob("kernel/**/*.ko.xz", { cwd: modules })) {
    files.set(canonical(basename(path, ".ko.xz")), join(modules, path));
  }
  const needs = new Map<string, readonly string[]>();
  const closure = async (name: string): Promise<void> => {
    const file = files.get(name);
    if (file === undefined || needs.has(name)) return;
    const said = (await run("modinfo", ["--field", "depends", file])).trim();
    const names = said === "" ? [] : said.split(",").map(canonical);
    needs.set(name, names);
    for (const need of names) await closure(need);
  };
  const loaded = new Set<string>();
  for (const [moment, names] of Object.entries(drivers)) {
    for (const name of names) await closure(canonical(name));
    const order = loadOrder(names.map(canonical), (name) => needs.get(name)).filter(
      (name) => !loaded.has(name),
    );
    for (const name of order) {
      loaded.add(name);
      const to = join(root, "lib/modules", `${name}.ko.xz`);
      await mkdir(dirname(to), { recursive: true });
      await copyFile(files.get(name) ?? "", to);
      // Unpacked here rather than in the guest: xz is slow under emulation, and the whole disk is gzipped anyway.
      await run("xz", ["--decompress", "--force", to]);
      await run("strip", ["--strip-debug", to.replace(/\.xz$/, "")]);
    }
    await writeFile(
      join(root, `etc/modules.${moment}`),
      order.map((name) => `/lib/modules/${name}.ko\n`).join(""),
    );
  }
}

/** The folder as a cpio archive, the same bytes for the same content. */
async function archive(root: string): Promise<Buffer> {
  const listed: string[] = [];
  for await (const path of glob("**", { cwd: root })) if (path !== "") listed.push(path);
  const time = `@${epoch.getTime() / 1000}`;
  for (const path of listed) await run("touch", ["--no-dereference", `--date=${time}`, join(root, path)]);
  const file = join(dirname(root), "initrd.cpio");
  const input = `${listed.sort().join("\n")}\n`;
  await run(
    "cpio",
    ["--quiet", "--create", "--format=newc", "--reproducible", "--owner=0:0", "--file", file],
    {
      cwd: root,
      input,
    },
  );
  return readFile(file);
}
