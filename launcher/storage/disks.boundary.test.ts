/** With the real qemu-img and qemu-io to look at what was made. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { promisify } from "node:util";
import type { LaunchDisk, LaunchDiskSource } from "../../api/launch-spec.ts";
import { qcow2MaxBytes } from "../../lib/qcow2.ts";
import type { ResolvedDisk } from "../domain/resources.ts";
import { prepareDisks } from "./disks.ts";

const run = promisify(execFile);
const MiB = 1024 * 1024;

interface ImageInfo {
  readonly format: string;
  readonly "virtual-size": number;
  readonly "full-backing-filename"?: string;
  readonly "backing-filename-format"?: string;
}

async function scratch(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "disks-"));
  t.after(() => rm(directory, { recursive: true }));
  await mkdir(join(directory, "image", "disk"), { recursive: true });
  return directory;
}

async function info(path: string): Promise<ImageInfo> {
  const { stdout } = await run("qemu-img", ["info", "--output=json", path]);
  return JSON.parse(stdout) as ImageInfo;
}

function disk(source: LaunchDiskSource, knobs: Partial<LaunchDisk> = {}): LaunchDisk {
  return { name: "root", device: "disk", bus: "virtio", readonly: false, source, ...knobs };
}

function prepare(...disks: LaunchDisk[]): Promise<readonly ResolvedDisk[]> {
  return prepareDisks({ disks }, { at: new Date(0), devicesReady: Promise.resolve() });
}

function containerDisk(directory: string, path?: string): LaunchDisk {
  return disk({
    kind: "containerDisk",
    imageDirectory: join(directory, "image"),
    ...(path !== undefined && { path }),
    overlayPath: join(directory, "overlay.qcow2"),
  });
}

/** Content at an offset as qemu reads it. */
async function readsPattern(path: string, format: string, pattern: number, at = 0): Promise<boolean> {
  const { stdout } = await run("qemu-io", ["-r", "-f", format, "-c", `read -P ${pattern} ${at} 4096`, path]);
  return !stdout.includes("Pattern verification failed");
}

describe("a containerDisk", () => {
  it("gets a qcow2 overlay over its raw or qcow2 image, of the same size and with the format named", async (t) => {
    for (const format of ["raw", "qcow2"]) {
      const directory = await scratch(t);
      const image = join(directory, "image", "disk", "guest.img");
      await run("qemu-img", ["create", "-q", "-f", format, image, "8M"]);
      const [prepared] = await prepare(containerDisk(directory));
      assert.deepEqual(
        [prepared?.name, prepared?.kind, prepared?.path, prepared?.format],
        ["root", "file", join(directory, "overlay.qcow2"), "qcow2"],
      );
      const overlay = await info(join(directory, "overlay.qcow2"));
      assert.equal(overlay.format, "qcow2");
      assert.equal(overlay["virtual-size"], 8 * MiB);
      assert.equal(overlay["full-backing-filename"], image);
      assert.equal(overlay["backing-filename-format"], format);
    }
  });

  it("reads through the overlay what the image holds", async (t) => {
    const directory = await scratch(t);
    await writeFile(join(directory, "image", "disk", "guest.img"), Buffer.alloc(MiB, "virtpod!"));
    await prepare(containerDisk(directory));
    const { stdout } = await run("qemu-io", [
      "-r",
      "-f",
      "qcow2",
      "-c",
      "read -v 0 8",
      join(directory, "overlay.qcow2"),
    ]);
    assert.match(stdout, /76 69 72 74 70 6f 64 21/);
  });

  it("takes the image that its path names", async (t) => {
    const directory = await scratch(t);
    await writeFile(join(directory, "image", "other.img"), Buffer.alloc(4096));
    await prepare(containerDisk(directory, "/other.img"));
    const overlay = await info(join(directory, "overlay.qcow2"));
    assert.equal(overlay["full-backing-filename"], join(directory, "image", "other.img"));
  });

  it("is refused when its image has a backing file or a data file made by qemu-img itself", async (t) => {
    const directory = await scratch(t);
    const secret = join(directory, "secret");
    await writeFile(secret, Buffer.alloc(MiB, "s"));
    const image = join(directory, "image", "disk", "guest.img");
    await run("qemu-img", ["create", "-q", "-f", "qcow2", "-F", "raw", "-b", secret, image]);
    await assert.rejects(prepare(containerDisk(directory)), { code: "ImageBackingFile" });
    await rm(image);
    await run("qemu-img", [
      "create",
      "-q",
      "-f",
      "qcow2",
      "-o",
      `data_file=${secret},data_file_raw=on`,
      image,
      "1M",
    ]);
    await assert.rejects(prepare(containerDisk(directory)), { code: "ImageDataFile" });
    assert.deepEqual((await readdir(directory)).sort(), ["image", "secret"]);
  });

  it("is refused when a link in its image leads out of it", async (t) => {
    const directory = await scratch(t);
    await writeFile(join(directory, "secret"), Buffer.alloc(512));
    await symlink("../../secret", join(directory, "image", "disk", "guest.img"));
    await assert.rejects(prepare(containerDisk(directory)), { code: "ImageOutsideVolume" });
  });

  it("is refused with a sentence when its image holds no disk, several, or a directory", async (t) => {
    const directory = await scratch(t);
    const refused = { code: "ImageNotFound" };
    await assert.rejects(prepare(containerDisk(directory)), refused);
    await assert.rejects(prepare(containerDisk(directory, "/nowhere")), refused);
    await assert.rejects(prepare(containerDisk(directory, "/disk")), refused);
    await writeFile(join(directory, "image", "disk", "a"), "a");
    await writeFile(join(directory, "image", "disk", "b"), "b");
    await assert.rejects(prepare(containerDisk(directory)), { code: "ImageAmbiguous" });
    await rm(join(directory, "image", "disk"), { recursive: true });
    await assert.rejects(prepare(containerDisk(directory)), refused);
  });
});

describe("an emptyDisk", () => {
  it("is a sparse qcow2 file of its capacity", async (t) => {
    const directory = await scratch(t);
    const path = join(directory, "empty.qcow2");
    await prepare(disk({ kind: "emptyDisk", path, capacityBytes: 1024 * MiB }));
    assert.equal((await info(path))["virtual-size"], 1024 * MiB);
    assert((await stat(path)).blocks * 512 < MiB);
    assert.deepEqual((await readdir(directory)).sort(), ["empty.qcow2", "image"]);
  });

  it("keeps what is on it when the container is started again", async (t) => {
    const directory = await scratch(t);
    const path = join(directory, "empty.qcow2");
    const disks = [disk({ kind: "emptyDisk", path, capacityBytes: MiB })];
    await prepare(...disks);
    await run("qemu-io", ["-f", "qcow2", "-c", "write -P 0x42 0 4096", path]);
    await prepare(...disks);
    const { stdout } = await run("qemu-io", ["-f", "qcow2", "-c", "read -P 0x42 0 4096", path]);
    assert.doesNotMatch(stdout, /Pattern verification failed/);
  });

  it("is sound to qemu, full of what was written to it or empty", async (t) => {
    const directory = await scratch(t);
    const path = join(directory, "empty.qcow2");
    await prepare(disk({ kind: "emptyDisk", path, capacityBytes: 8 * MiB }));
    await run("qemu-img", ["check", "-q", path]);
    await run("qemu-io", ["-f", "qcow2", "-c", "write -P 7 0 8M", path]);
    await run("qemu-img", ["check", "-q", path]);
    assert((await stat(path)).size <= qcow2MaxBytes(8 * MiB));
  });

  it("that cannot be made is told with the kernel's reason, and leaves nothing behind", async (t) => {
    const directory = await scratch(t);
    const path = join(directory, "missing", "empty.qcow2");
    await assert.rejects(prepare(disk({ kind: "emptyDisk", path, capacityBytes: MiB })), {
      code: "DiskCreation",
      message: /can't be made \(ENOENT\)/,
    });
  });
});

describe("a claim's file", () => {
  const file = (path: string, capacityBytes?: number, knobs: Partial<LaunchDisk> = {}) =>
    disk({ kind: "file", path, ...(capacityBytes !== undefined && { capacityBytes }) }, knobs);

  it("is made sparse and raw, of its capacity, and kept from then on", async (t) => {
    const directory = await scratch(t);
    const path = join(directory, "disk.img");
    const [prepared] = await prepare(file(path, 64 * MiB));
    assert.deepEqual([prepared?.kind, prepared?.format, prepared?.io], ["file", "raw", "threads"]);
    const { blocks, mode, size } = await stat(path);
    assert.deepEqual([size, blocks, mode & 0o777], [64 * MiB, 0, 0o600]);
    await run("qemu-io", ["-f", "raw", "-c", "write -P 66 0 4096", path]);
    await prepare(file(path, 128 * MiB));
    assert(await readsPattern(path, "raw", 66));
    assert.equal((await stat(path)).size, 64 * MiB);
    assert.deepEqual((await readdir(directory)).sort(), ["disk.img", "image"]);
  });

  it("is made once by launchers that start at the same time", async (t) => {
    const directory = await scratch(t);
    const path = join(directory, "disk.img");
    await Promise.all(Array.from({ length: 8 }, () => prepare(file(path, 64 * MiB))));
    assert.deepEqual((await readdir(directory)).sort(), ["disk.img", "image"]);
  });

  it("is raw even where its guest has written a qcow2 header that names a file of the pod", async (t) => {
    const directory = await scratch(t);
    const [path, secret] = [join(directory, "disk.img"), join(directory, "secret")];
    await writeFile(secret, Buffer.alloc(MiB, "s"));
    await run("qemu-img", ["create", "-q", "-f", "qcow2", "-F", "raw", "-b", secret, path]);
    const [prepared] = await prepare(file(path));
    assert.equal(prepared?.format, "raw");
  });

  it("that has a block for each byte is written by native AIO where O_DIRECT can be had", async (t) => {
    const directory = await scratch(t);
    const path = join(directory, "disk.img");
    await writeFile(path, Buffer.alloc(MiB, 1));
    const [prepared] = await prepare(file(path));
    assert.equal(prepared?.io, prepared?.cache === "none" ? "native" : "threads");
    const [told] = await prepare(file(path, undefined, { cache: "writeback", io: "threads" }));
    assert.deepEqual([told?.cache, told?.io], ["writeback", "threads"]);
  });

  it("matches its volume's block size", async (t) => {
    const directory = await scratch(t);
    const path = join(directory, "disk.img");
    const [prepared] = await prepare(file(path, MiB, { blockSize: "matchVolume" }));
    assert.deepEqual(prepared?.blockSize, { logical: 4096, physical: 4096 });
  });

  it("is refused with a sentence where it is missing, empty, no file, a link out of the claim, or out of reach", async (t) => {
    const directory = await scratch(t);
    const path = join(directory, "disk.img");
    await assert.rejects(prepare(file(path)), { code: "DiskNotFound", message: /ENOENT/ });
    await assert.rejects(prepare(file(path, MiB, { readonly: true })), { code: "DiskNotFound" });
    await writeFile(path, "");
    await assert.rejects(prepare(file(path, MiB)), { code: "DiskNotFound", message: /empty/ });
    await rm(path);
    await mkdir(path);
    await assert.rejects(prepare(file(path)), { code: "DiskNotFound", message: /not a regular file/ });
    await rm(path, { recursive: true });
    await symlink("../../etc/passwd", path);
    await symlink("/etc/passwd", join(directory, "other.img"));
    await assert.rejects(prepare(file(join(directory, "other.img"))), { code: "ImageOutsideVolume" });
  });

  it("is refused with both sizes where there is too little room for it", async (t) => {
    const directory = await scratch(t);
    const path = join(directory, "disk.img");
    const tebibytes = 1000 * 1024 ** 4;
    await assert.rejects(prepare(file(path, tebibytes)), {
      code: "DiskNoRoom",
      message: new RegExp(`${tebibytes} bytes, but only \\d+ are free`),
    });
    assert.deepEqual(await readdir(directory), ["image"]);
  });
});

describe("an ephemeral disk", () => {
  it("takes writes into its overlay and leaves the claim as it was", async (t) => {
    const directory = await scratch(t);
    const [path, overlayPath] = [join(directory, "disk.img"), join(directory, "overlay.qcow2")];
    await writeFile(path, Buffer.alloc(MiB, 1));
    await prepare(disk({ kind: "ephemeral", backing: { kind: "file", path }, overlayPath }));
    assert(await readsPattern(overlayPath, "qcow2", 1));
    await run("qemu-io", ["-f", "qcow2", "-c", "write -P 2 0 4096", overlayPath]);
    assert(await readsPattern(overlayPath, "qcow2", 2));
    assert(await readsPattern(path, "raw", 1));
  });
});

const isRoot = process.getuid?.() === 0;

describe("a claim's block device", { skip: !isRoot && "loop devices need root" }, () => {
  async function loopDevice(t: TestContext): Promise<string> {
    const directory = await scratch(t);
    const path = join(directory, "backing.img");
    await writeFile(path, Buffer.alloc(2 * MiB, 1));
    const { stdout } = await run("losetup", ["--find", "--show", "--sector-size", "4096", path]);
    const device = stdout.trim();
    t.after(() => run("losetup", ["--detach", device]));
    return device;
  }

  it("is opened as it is, by native AIO, with its own block size", async (t) => {
    const path = await loopDevice(t);
    const [prepared] = await prepare(disk({ kind: "block", path }, { blockSize: "matchVolume" }));
    assert.deepEqual(prepared, {
      name: "root",
      kind: "block",
      path,
      format: "raw",
      cache: "none",
      io: "native",
      blockSize: { logical: 4096, physical: 4096 },
    });
  });

  it("is not touched before the agent has handed it over", async (t) => {
    const path = await loopDevice(t);
    const handedOver = Promise.withResolvers<void>();
    const stuck = disk({ kind: "block", path: "/dev/null" });
    const refused = prepareDisks({ disks: [stuck] }, { at: new Date(0), devicesReady: handedOver.promise });
    const first = await Promise.race([
      refused.catch(() => "touched"),
      prepare(disk({ kind: "block", path })),
    ]);
    assert.notEqual(first, "touched");
    handedOver.resolve();
    await assert.rejects(refused, { code: "DiskNotFound" });
  });

  it("lies below an ephemeral disk of its size", async (t) => {
    const path = await loopDevice(t);
    const overlayPath = join(await scratch(t), "overlay.qcow2");
    await prepare(disk({ kind: "ephemeral", backing: { kind: "block", path }, overlayPath }));
    assert.equal((await info(overlayPath))["virtual-size"], 2 * MiB);
    assert(await readsPattern(overlayPath, "qcow2", 1));
  });

  it("is refused where it is missing or a file", async (t) => {
    const directory = await scratch(t);
    const path = join(directory, "device");
    await assert.rejects(prepare(disk({ kind: "block", path })), { code: "DiskNotFound" });
    await writeFile(path, "x");
    await assert.rejects(prepare(disk({ kind: "block", path })), {
      code: "DiskNotFound",
      message: /not a block device/,
    });
  });
});
