/** With the real qemu-img. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { promisify } from "node:util";
import type { LaunchDisk, LaunchDiskSource } from "../../api/launch-spec.ts";
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

function disk(source: LaunchDiskSource): LaunchDisk {
  return { name: "root", device: "disk", bus: "virtio", readonly: false, source };
}

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
      const [prepared] = await prepareDisks([containerDisk(directory)]);
      assert.deepEqual(prepared, { name: "root", path: join(directory, "overlay.qcow2"), format: "qcow2" });
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
    await prepareDisks([containerDisk(directory)]);
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
    await prepareDisks([containerDisk(directory, "/other.img")]);
    const overlay = await info(join(directory, "overlay.qcow2"));
    assert.equal(overlay["full-backing-filename"], join(directory, "image", "other.img"));
  });

  it("is refused when its image has a backing file or a data file made by qemu-img itself", async (t) => {
    const directory = await scratch(t);
    const secret = join(directory, "secret");
    await writeFile(secret, Buffer.alloc(MiB, "s"));
    const image = join(directory, "image", "disk", "guest.img");
    await run("qemu-img", ["create", "-q", "-f", "qcow2", "-F", "raw", "-b", secret, image]);
    await assert.rejects(prepareDisks([containerDisk(directory)]), { code: "ImageBackingFile" });
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
    await assert.rejects(prepareDisks([containerDisk(directory)]), { code: "ImageDataFile" });
    assert.deepEqual((await readdir(directory)).sort(), ["image", "secret"]);
  });

  it("is refused when a link in its image leads out of it", async (t) => {
    const directory = await scratch(t);
    await writeFile(join(directory, "secret"), Buffer.alloc(512));
    await symlink("../../secret", join(directory, "image", "disk", "guest.img"));
    await assert.rejects(prepareDisks([containerDisk(directory)]), { code: "ImageOutsideVolume" });
  });

  it("is refused with a sentence when its image holds no disk, several, or a directory", async (t) => {
    const directory = await scratch(t);
    const refused = { code: "ImageNotFound" };
    await assert.rejects(prepareDisks([containerDisk(directory)]), refused);
    await assert.rejects(prepareDisks([containerDisk(directory, "/nowhere")]), refused);
    await assert.rejects(prepareDisks([containerDisk(directory, "/disk")]), refused);
    await writeFile(join(directory, "image", "disk", "a"), "a");
    await writeFile(join(directory, "image", "disk", "b"), "b");
    await assert.rejects(prepareDisks([containerDisk(directory)]), { code: "ImageAmbiguous" });
    await rm(join(directory, "image", "disk"), { recursive: true });
    await assert.rejects(prepareDisks([containerDisk(directory)]), refused);
  });
});

describe("an emptyDisk", () => {
  it("is a sparse qcow2 file of its capacity", async (t) => {
    const directory = await scratch(t);
    const path = join(directory, "empty.qcow2");
    await prepareDisks([disk({ kind: "emptyDisk", path, capacityBytes: 1024 * MiB })]);
    assert.equal((await info(path))["virtual-size"], 1024 * MiB);
    assert((await stat(path)).blocks * 512 < MiB);
    assert.deepEqual((await readdir(directory)).sort(), ["empty.qcow2", "image"]);
  });

  it("keeps what is on it when the container is started again", async (t) => {
    const directory = await scratch(t);
    const path = join(directory, "empty.qcow2");
    const disks = [disk({ kind: "emptyDisk", path, capacityBytes: MiB })];
    await prepareDisks(disks);
    await run("qemu-io", ["-f", "qcow2", "-c", "write -P 0x42 0 4096", path]);
    await prepareDisks(disks);
    const { stdout } = await run("qemu-io", ["-f", "qcow2", "-c", "read -P 0x42 0 4096", path]);
    assert.doesNotMatch(stdout, /Pattern verification failed/);
  });

  it("that cannot be made is told with qemu-img's own reason, and leaves nothing behind", async (t) => {
    const directory = await scratch(t);
    const path = join(directory, "missing", "empty.qcow2");
    await assert.rejects(prepareDisks([disk({ kind: "emptyDisk", path, capacityBytes: MiB })]), {
      code: "DiskCreation",
      message: /No such file or directory/,
    });
  });
});
