/** Disks of images and empty ones, with the real qemu-img and qemu-io to look at what was made. */
import assert from "node:assert/strict";
import { readdir, rm, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import type { LaunchDisk } from "../../api/launch-spec.ts";
import { qcow2MaxBytes } from "../../lib/qcow2.ts";
import { disk, info, MiB, prepare, run, scratch } from "./disks.fixture.ts";

function containerDisk(directory: string, path?: string): LaunchDisk {
  return disk({
    kind: "containerDisk",
    imageDirectory: join(directory, "image"),
    ...(path !== undefined && { path }),
    overlayPath: join(directory, "overlay.qcow2"),
  });
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

  it("of an absurd capacity is refused with a sentence", async (t) => {
    const path = join(await scratch(t), "empty.qcow2");
    await assert.rejects(prepare(disk({ kind: "emptyDisk", path, capacityBytes: 2 ** 52 })), {
      code: "DiskTooLarge",
      message: /emptyDisk root: a qcow2 disk of 4503599627370496 bytes can't be made/,
    });
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
