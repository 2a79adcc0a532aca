import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { writeArchive } from "./archive.ts";
import { pack } from "./layer.ts";
import { image } from "./oci.ts";
import { run } from "./process.ts";

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "virtpod-archive-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** A small root file system; `order` and `time` are what must not matter. */
async function fill(name: string, order: readonly string[], time: Date): Promise<string> {
  const root = join(folder, name);
  await mkdir(join(root, "bin"), { recursive: true });
  for (const file of order) {
    await writeFile(join(root, "bin", file), file);
    await utimes(join(root, "bin", file), time, time);
  }
  await chmod(join(root, "bin", "tool"), 0o4755);
  await symlink("tool", join(root, "bin/alias"));
  return root;
}

test("a layer depends on what it holds, not on when and in which order it was made", async () => {
  const one = await fill("one", ["tool", "other"], new Date(1e12));
  const two = await fill("two", ["other", "tool"], new Date(1.5e12));
  const packed = await pack(one, join(folder, "one.tar"));
  assert.deepEqual(await pack(two, join(folder, "two.tar")), packed);
  await writeFile(join(two, "bin/tool"), "changed");
  assert.notEqual((await pack(two, join(folder, "three.tar"))).digest, packed.digest);
});

test("a layer belongs to root and has no set-id programs", async () => {
  await pack(await fill("one", ["tool"], new Date(1e12)), join(folder, "one.tar"));
  const listed = await run("tar", ["--numeric-owner", "-tvf", join(folder, "one.tar"), "bin/tool"]);
  assert.match(listed, /^-rwxr-xr-x 0\/0 /);
});

test("every blob of an archive is named by its digest, and the manifest's layers are among them", async () => {
  const file = join(folder, "layer.tar");
  const packed = await pack(await fill("one", ["tool"], new Date(1e12)), file);
  const layer = { ...packed, createdBy: "test", file };
  const built = image([layer], {}, new Date(0));
  const archive = join(folder, "image.tar");
  await writeArchive(archive, built, [layer], "localhost/test/image:dev");

  await mkdir(join(folder, "out"));
  await run("tar", ["-xf", archive, "-C", join(folder, "out")]);
  const blobs = await readdir(join(folder, "out/blobs/sha256"));
  assert.equal(blobs.length, 3);
  for (const name of blobs) {
    const bytes = await readFile(join(folder, "out/blobs/sha256", name));
    assert.equal(createHash("sha256").update(bytes).digest("hex"), name);
  }
  assert.ok(blobs.includes(packed.digest.slice("sha256:".length)));
  const left = (await readdir(folder)).filter((name) => name.startsWith(".archive-"));
  assert.deepEqual(left, []);
});
