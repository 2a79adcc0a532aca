/** Claims as files and as block devices, with the real qemu-img and qemu-io to look at what was made. */
import assert from "node:assert/strict";
import { mkdir, readdir, rm, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import type { LaunchDisk } from "../../api/launch-spec.ts";
import { disk, info, MiB, prepare, readsPattern, run, scratch } from "./disks.fixture.ts";
import { prepareDisks } from "./disks.ts";

describe("a claim's file", () => {
  const file = (path: string, capacityBytes?: number, knobs: Partial<LaunchDisk> = {}) =>
    disk({ kind: "file", path, ...(capacityBytes !== undefined && { capacityBytes }) }, knobs);

  it("is made sparse and raw, of its capacity, and kept from then on", async (t) => {
    const directory = await scratch(t);
    const path = join(directory, "disk.img");
    const [prepared] = await prepare(file(path, 64 * MiB));
    assert.deepEqual([prepared?.kind, prepared?.format], ["file", "raw"]);
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

  it("is written by native AIO where O_DIRECT can be had", async (t) => {
    const directory = await scratch(t);
    const path = join(directory, "disk.img");
    await writeFile(path, Buffer.alloc(MiB, 1));
    const [prepared] = await prepare(file(path));
    assert.equal(prepared?.io, prepared?.cache === "none" ? "native" : "threads");
    const [told] = await prepare(file(path, undefined, { cache: "writeback", io: "threads" }));
    assert.deepEqual([told?.cache, told?.io], ["writeback", "threads"]);
  });

  it("of no whole number of blocks is written through the node's cache", async (t) => {
    const directory = await scratch(t);
    const path = join(directory, "disk.img");
    await writeFile(path, Buffer.alloc(MiB + 512, 1));
    const [prepared] = await prepare(file(path));
    assert.deepEqual([prepared?.cache, prepared?.io], ["writethrough", "threads"]);
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
