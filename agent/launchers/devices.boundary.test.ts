/** Handing over device nodes, with processes whose root directory the test makes as a runtime, or an attacker, would. Root. */
import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { linkSync, mkdirSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { LAUNCHER_UID } from "../../api/names.ts";
import { end } from "../peer/fake-pod.ts";
import { ProcessHandle } from "../peer/process.ts";
import { handOverDevices } from "./devices.ts";

const owner = { uid: LAUNCHER_UID, gid: LAUNCHER_UID };
let directory: string;
/** The container's root directory, and the node's. */
let root: string;
let hostRoot: string;
let child: ChildProcess;
let container: ProcessHandle;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "devices-"));
  root = join(directory, "container");
  hostRoot = join(directory, "node");
  mkdirSync(join(root, "dev/net"), { recursive: true });
  mkdirSync(join(hostRoot, "dev/net"), { recursive: true });
  // perl-base is on every Debian, and a chroot needs a process that changes its own root.
  child = spawn("perl", ["-e", '$| = 1; chroot $ARGV[0] or die; print "in"; sleep', root]);
  await once(child.stdout ?? child, "data");
  container = new ProcessHandle(child.pid ?? 0);
});

afterEach(async () => {
  container.close();
  await end(child);
  rmSync(directory, { recursive: true });
});

function makeDevice(path: string, minor: number, major = 10): void {
  execFileSync("mknod", ["-m", "600", path, "c", String(major), String(minor)]);
}

function ownerOf(path: string): number {
  return statSync(path).uid;
}

test("the container's own device nodes get the launchers' user", () => {
  makeDevice(join(root, "dev/net/tun"), 200);
  makeDevice(join(root, "dev/kvm"), 232);
  makeDevice(join(hostRoot, "dev/kvm"), 232);
  assert.deepEqual(handOverDevices(container, owner, hostRoot), ["/dev/kvm", "/dev/net/tun"]);
  assert.equal(ownerOf(join(root, "dev/net/tun")), LAUNCHER_UID);
  assert.equal(ownerOf(join(root, "dev/kvm")), LAUNCHER_UID);
  assert.equal(ownerOf(join(hostRoot, "dev/kvm")), 0);
});

test("the block devices of its claims get it too", () => {
  mkdirSync(join(root, "dev/virtpod"));
  execFileSync("mknod", ["-m", "600", join(root, "dev/virtpod/data"), "b", "7", "0"]);
  execFileSync("mknod", ["-m", "600", join(root, "dev/sda"), "b", "8", "0"]);
  assert.deepEqual(handOverDevices(container, owner, hostRoot), ["/dev/virtpod/data"]);
  assert.equal(ownerOf(join(root, "dev/virtpod/data")), LAUNCHER_UID);
  assert.equal(ownerOf(join(root, "dev/sda")), 0);
});

test("where a block device is expected, a link, a file and a character device are refused", () => {
  mkdirSync(join(root, "dev/virtpod"));
  execFileSync("mknod", ["-m", "600", join(directory, "disk"), "b", "8", "0"]);
  symlinkSync(join(directory, "disk"), join(root, "dev/virtpod/data"));
  assert.throws(() => handOverDevices(container, owner, hostRoot), { code: "DeviceRefused" });
  assert.equal(ownerOf(join(directory, "disk")), 0);
  rmSync(join(root, "dev/virtpod/data"));

  writeFileSync(join(root, "dev/virtpod/data"), "");
  assert.throws(() => handOverDevices(container, owner, hostRoot), { code: "DeviceRefused" });
  rmSync(join(root, "dev/virtpod/data"));

  makeDevice(join(root, "dev/virtpod/data"), 200);
  assert.throws(() => handOverDevices(container, owner, hostRoot), { code: "DeviceRefused" });
});

test("handing over twice is handing over once", () => {
  makeDevice(join(root, "dev/net/tun"), 200);
  handOverDevices(container, owner, hostRoot);
  assert.deepEqual(handOverDevices(container, owner, hostRoot), ["/dev/net/tun"]);
});

test("a container without devices, or without /dev, is fine", () => {
  assert.deepEqual(handOverDevices(container, owner, hostRoot), []);
  rmSync(join(root, "dev"), { recursive: true });
  assert.deepEqual(handOverDevices(container, owner, hostRoot), []);
});

test("the node's own device node is refused", () => {
  makeDevice(join(hostRoot, "dev/kvm"), 232);
  linkSync(join(hostRoot, "dev/kvm"), join(root, "dev/kvm"));
  assert.throws(() => handOverDevices(container, owner, hostRoot), { code: "DeviceRefused" });
  assert.equal(ownerOf(join(hostRoot, "dev/kvm")), 0);
});

test("a file mounted over the container's /dev is refused", () => {
  const mounted = join(directory, "mounted");
  mkdirSync(mounted);
  execFileSync("mount", ["-t", "tmpfs", "none", mounted]);
  try {
    makeDevice(join(mounted, "tun"), 200);
    writeFileSync(join(root, "dev/net/tun"), "");
    execFileSync("mount", ["--bind", join(mounted, "tun"), join(root, "dev/net/tun")]);
    try {
      assert.throws(() => handOverDevices(container, owner, hostRoot), { code: "DeviceRefused" });
      assert.equal(ownerOf(join(mounted, "tun")), 0);
    } finally {
      execFileSync("umount", [join(root, "dev/net/tun")]);
    }
  } finally {
    execFileSync("umount", [mounted]);
  }
});

test("links are not followed, neither to a device nor on the way to it", () => {
  const target = join(directory, "target");
  mkdirSync(target);
  makeDevice(join(target, "kvm"), 232);
  symlinkSync(join(target, "kvm"), join(root, "dev/kvm"));
  assert.throws(() => handOverDevices(container, owner, hostRoot), { code: "DeviceRefused" });
  rmSync(join(root, "dev/kvm"));

  makeDevice(join(target, "tun"), 200);
  rmSync(join(root, "dev/net"), { recursive: true });
  symlinkSync(target, join(root, "dev/net"));
  assert.throws(() => handOverDevices(container, owner, hostRoot), { code: "DeviceRefused" });

  rmSync(join(root, "dev"), { recursive: true });
  symlinkSync(target, join(root, "dev"));
  assert.throws(() => handOverDevices(container, owner, hostRoot), { code: "DeviceRefused" });
  assert.deepEqual([ownerOf(join(target, "kvm")), ownerOf(join(target, "tun"))], [0, 0]);
});

test("what is no device, or another one, is refused", () => {
  writeFileSync(join(root, "dev/kvm"), "");
  assert.throws(() => handOverDevices(container, owner, hostRoot), { code: "DeviceRefused" });
  rmSync(join(root, "dev/kvm"));
  // 1:1 is the machine's memory.
  makeDevice(join(root, "dev/kvm"), 1, 1);
  assert.throws(() => handOverDevices(container, owner, hostRoot), { code: "DeviceRefused" });
  assert.equal(ownerOf(join(root, "dev/kvm")), 0);
});

test("a container that has ended is gone", async () => {
  makeDevice(join(root, "dev/kvm"), 232);
  await end(child);
  assert.throws(() => handOverDevices(container, owner, hostRoot), { code: "PeerGone" });
});
