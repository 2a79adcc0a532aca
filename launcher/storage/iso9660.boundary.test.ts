/** ISO images as another program reads them: by Rock Ridge, by Joliet, and by plain ISO 9660. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { before, describe, it, type TestContext } from "node:test";
import { promisify } from "node:util";
import type { LaunchDisk, LaunchDiskSource } from "../../api/launch-spec.ts";
import { needTools } from "../../images/tools.ts";
import { prepareDisks } from "./disks.ts";
import type { IsoFile } from "./iso-tree.ts";
import { isoImage } from "./iso9660.ts";

const run = promisify(execFile);
const AT = new Date("2026-01-02T03:04:05Z");
const OPTIONS = { at: AT, devicesReady: Promise.resolve() };

async function scratch(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "iso-"));
  t.after(async () => {
    // Directories that were extracted are read-only, as they are in the image.
    await run("chmod", ["-R", "u+w", directory]);
    await rm(directory, { recursive: true });
  });
  return directory;
}

/** The tree of an image that a reader goes by: Rock Ridge's names, Joliet's, or plain ISO 9660's. */
type Names = "rockridge" | "joliet" | "plain";
const TREES: Readonly<Record<Names, string>> = {
  rockridge: "nojoliet",
  joliet: "norock",
  plain: "ecma119",
};

/** Every file of the image by its path, as xorriso reads it. */
async function extracted(
  t: TestContext,
  image: string,
  names: Names = "rockridge",
): Promise<{ files: Record<string, string>; root: string }> {
  const root = join(await scratch(t), "root");
  const { stderr } = await run("xorriso", [
    ...["-abort_on", "WARNING", "-return_with", "WARNING", "32"],
    ...["-read_fs", TREES[names]],
    ...["-indev", image, "-osirrox", "on", "-extract", "/", root],
  ]);
  assert.doesNotMatch(stderr, /WARNING|SORRY|FAILURE|FATAL/, stderr);
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  const files: Record<string, string> = {};
  for (const entry of entries.filter((one) => one.isFile())) {
    const path = join(entry.parentPath, entry.name);
    files[path.slice(root.length + 1)] = await readFile(path, "latin1");
  }
  return { files, root };
}

async function write(t: TestContext, label: string, files: readonly IsoFile[]): Promise<string> {
  const image = join(await scratch(t), "image.iso");
  await writeFile(image, isoImage({ label, files, at: AT }));
  return image;
}

async function label(image: string): Promise<string> {
  const { stdout } = await run("blkid", ["-p", "-o", "value", "-s", "LABEL", image]);
  return stdout.trim();
}

function disk(source: LaunchDiskSource): LaunchDisk {
  return { name: "seed", device: "cdrom", bus: "sata", readonly: true, source };
}

before(() => needTools(["xorriso"]));

describe("an ISO image, to xorriso", () => {
  const files: readonly IsoFile[] = [
    { path: "meta-data", content: Buffer.from('{"instance-id":"i-1"}') },
    { path: "user-data", content: Buffer.alloc(1024 * 1024, "u") },
    { path: "empty", content: Buffer.alloc(0) },
    { path: "Mixed.Case_and-a.long.name.of-a-ConfigMap.key", content: Buffer.from("1") },
    { path: "mixed.case_and-a.long.name.of-a-configmap.key", content: Buffer.from("2") },
    { path: `${"n".repeat(99)}.txt`.slice(0, 103), content: Buffer.from("long") },
    { path: "a/b/c/d", content: Buffer.from("deep") },
    { path: "a/b/e", content: Buffer.from("e") },
    { path: "z/b/c/d", content: Buffer.from("other") },
  ];
  const asGiven = Object.fromEntries(files.map(({ path, content }) => [path, content.toString("latin1")]));

  it("has every file under its own name by Rock Ridge, root's and read-only", async (t) => {
    const { files: found, root } = await extracted(t, await write(t, "cidata", files));
    assert.deepEqual(found, asGiven);
    const { mode, mtime, uid } = await stat(join(root, "meta-data"));
    assert.deepEqual([mode & 0o777, uid, mtime.toISOString()], [0o444, 0, AT.toISOString()]);
    assert.equal((await stat(join(root, "a"))).mode & 0o777, 0o555);
  });

  it("has every file under its own name by Joliet", async (t) => {
    const { files: found } = await extracted(t, await write(t, "cidata", files), "joliet");
    assert.deepEqual(found, asGiven);
  });

  it("has as many files under short names for who knows neither", async (t) => {
    const { files: found } = await extracted(t, await write(t, "cidata", files), "plain");
    assert.deepEqual(Object.values(found).sort(), Object.values(asGiven).sort());
    for (const path of Object.keys(found))
      assert.match(path, /^([A-Z0-9_]{1,8}\/)*[A-Z0-9_]{1,8}(\.[A-Z0-9_]{0,3})?$/);
  });

  it("is read with hundreds of files, whose directory takes many sectors", async (t) => {
    const many = Array.from({ length: 700 }, (_, i) => ({
      path: `some-rather-long-name-of-a-key-${i}`,
      content: Buffer.from(String(i)),
    }));
    for (const options of ["rockridge", "joliet"] as const) {
      const { files: found } = await extracted(t, await write(t, "many", many), options);
      assert.deepEqual(found, Object.fromEntries(many.map(({ path, content }) => [path, String(content)])));
    }
  });

  it("has the label that was asked for", async (t) => {
    for (const name of ["cidata", "config-2", "unattendCD", "cfgdata"]) {
      assert.equal(await label(await write(t, name, files)), name);
    }
  });
});

describe("a cloud-init disk", () => {
  it("is a NoCloud seed of what was given inline, in Secrets and as access credentials", async (t) => {
    const directory = await scratch(t);
    for (const [path, text] of Object.entries({
      userData: "#cloud-config\n",
      a: "ssh-ed25519 A\n\nssh-rsa B\n",
    })) {
      await writeFile(join(directory, path), text);
    }
    const keys = join(directory, "keys");
    await mkdir(keys);
    await writeFile(join(keys, "team"), "ssh-ed25519 A a@b\n\nssh-rsa B\n");
    const path = join(directory, "images", "seed.iso");
    const source = {
      kind: "cloudInit",
      format: "noCloud",
      path,
      userData: { directory, keys: ["userdata", "userData"] },
      networkData: { text: "version: 2\n" },
      instanceId: "5d2f0c0e-7f8b-4d7e-9a51-0e6f3a1c2b4d",
      hostname: "vm-a",
    } as const;
    const credential = { kind: "sshPublicKey", directory: keys, users: [] } as const;
    const [prepared] = await prepareDisks(
      {
        disks: [disk(source)],
        accessCredentials: [
          { ...credential, propagation: "noCloud" },
          { ...credential, propagation: "configDrive" },
        ],
      },
      OPTIONS,
    );
    assert.deepEqual([prepared?.path, prepared?.format], [path, "raw"]);
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    assert.equal((await stat(dirname(path))).mode & 0o777, 0o700);
    assert.deepEqual(await readdir(join(directory, "images")), ["seed.iso"]);
    assert.equal(await label(path), "cidata");
    const { files } = await extracted(t, path);
    assert.deepEqual(JSON.parse(files["meta-data"] ?? ""), {
      "instance-id": "5d2f0c0e-7f8b-4d7e-9a51-0e6f3a1c2b4d",
      "local-hostname": "vm-a",
      "public-keys": { "0": "ssh-ed25519 A a@b", "1": "ssh-rsa B" },
    });
    assert.equal(files["user-data"], "#cloud-config\n");
    assert.equal(files["network-config"], "version: 2\n");
    assert.equal(Object.keys(files).length, 3);
  });

  it("is an OpenStack config drive", async (t) => {
    const path = join(await scratch(t), "seed.iso");
    const source = {
      kind: "cloudInit",
      format: "configDrive",
      path,
      userData: { base64: "H4sI/w==" },
      instanceId: "i-1",
      hostname: "vm-a",
    } as const;
    await prepareDisks({ disks: [disk(source)] }, OPTIONS);
    assert.equal(await label(path), "config-2");
    const { files } = await extracted(t, path);
    assert.deepEqual(Object.keys(files).sort(), [
      "openstack/latest/meta_data.json",
      "openstack/latest/user_data",
    ]);
    assert.equal(files["openstack/latest/user_data"], "\x1f\x8b\x08\xff");
    const { hostname, uuid } = JSON.parse(files["openstack/latest/meta_data.json"] ?? "");
    assert.deepEqual([hostname, uuid], ["vm-a", "i-1"]);
  });

  it("is refused with the keys that its Secret lacks", async (t) => {
    const directory = await scratch(t);
    const source = {
      kind: "cloudInit",
      format: "noCloud",
      path: join(directory, "seed.iso"),
      userData: { directory, keys: ["userdata", "userData"] },
      instanceId: "i-1",
      hostname: "vm-a",
    } as const;
    await assert.rejects(prepareDisks({ disks: [disk(source)] }, OPTIONS), {
      code: "SecretKeyMissing",
      message: /volume seed: its Secret has no key userdata or userData/,
    });
    assert.deepEqual(await readdir(directory), []);
  });
});

describe("a disk of mounted files", () => {
  /** As the kubelet's atomic writer leaves it. */
  async function volume(t: TestContext, files: Readonly<Record<string, string>>): Promise<string> {
    const directory = await scratch(t);
    const dated = join(directory, "..2026_01_02_03_04_05.678");
    await mkdir(dated);
    for (const [name, text] of Object.entries(files)) await writeFile(join(dated, name), text);
    await symlink("..2026_01_02_03_04_05.678", join(directory, "..data"));
    for (const name of Object.keys(files)) await symlink(join("..data", name), join(directory, name));
    return directory;
  }

  it("holds the volume's files, and none of the kubelet's bookkeeping", async (t) => {
    const directory = await volume(t, { token: "t", "ca.crt": "c", namespace: "n" });
    const path = join(await scratch(t), "files.iso");
    await prepareDisks(
      { disks: [disk({ kind: "files", directory, path, volumeLabel: "cfgdata" })] },
      OPTIONS,
    );
    assert.deepEqual((await extracted(t, path)).files, { token: "t", "ca.crt": "c", namespace: "n" });
  });

  it("of sysprep needs an answer file", async (t) => {
    const path = join(await scratch(t), "sysprep.iso");
    const sysprep = (directory: string) =>
      disk({ kind: "files", directory, path, volumeLabel: "unattendCD", sysprep: true });
    await assert.rejects(prepareDisks({ disks: [sysprep(await volume(t, { "a.xml": "" }))] }, OPTIONS), {
      code: "SysprepMissing",
    });
    await prepareDisks({ disks: [sysprep(await volume(t, { "Autounattend.xml": "<x/>" }))] }, OPTIONS);
    assert.deepEqual((await extracted(t, path)).files, { "Autounattend.xml": "<x/>" });
  });

  it("that is gone is told by its volume's name", async (t) => {
    const directory = join(await scratch(t), "nothing");
    const source = { kind: "files", directory, path: "/tmp/nowhere.iso", volumeLabel: "cfgdata" } as const;
    await assert.rejects(prepareDisks({ disks: [disk(source)] }, OPTIONS), {
      code: "DiskNotFound",
      message: /volume seed/,
    });
  });
});
