import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { LaunchDisk, LaunchDiskSource, LaunchSpec } from "../api/launch-spec.ts";
import { LauncherError } from "./errors.ts";
import { parseLaunchSpec } from "./launch-spec.ts";

const SPEC: LaunchSpec = {
  version: 1,
  namespace: "default",
  name: "vm-a",
  uid: "0f4e6a52-6c7b-4c1e-9a63-0b6a6e1b2c3d",
  domain: {
    uuid: "0f4e6a52-6c7b-4c1e-9a63-0b6a6e1b2c3d",
    machineType: "q35",
    accelerator: "tcg",
    cpu: { sockets: 1, cores: 1, threads: 1, model: "host-model" },
    memoryBytes: 128 * 1024 * 1024,
    kernelBoot: { kernelPath: "/run/virtpod/kernel-boot/boot/vmlinuz", kernelArgs: "console=ttyS0" },
    graphics: false,
    serialConsole: true,
    memBalloon: true,
    rng: false,
  },
  disks: [
    {
      name: "root",
      device: "disk",
      bus: "virtio",
      readonly: false,
      source: { kind: "containerDisk", imageDirectory: "/v/root", overlayPath: "/s/root.qcow2" },
    },
  ],
  interfaces: [{ name: "default", binding: "bridge", podInterface: "eth0", model: "virtio", queues: 1 }],
  hostname: "vm-a",
  gracePeriodSeconds: 30,
  startPaused: false,
};

/** The spec with the value at a path replaced, or removed where it is undefined. */
function changed(path: string, value: unknown): string {
  const copy = structuredClone(FULL) as unknown as Record<string, unknown>;
  const keys = path.split(".");
  const last = keys.pop() ?? "";
  const parent = keys.reduce((at, key) => at[key] as Record<string, unknown>, copy);
  parent[last] = value;
  return JSON.stringify(copy);
}

/** A disk of every source and with every knob. */
const FULL: LaunchSpec = {
  ...SPEC,
  domain: {
    ...SPEC.domain,
    efi: { secureBoot: true },
    cpu: { ...SPEC.domain.cpu, dedicated: { isolateEmulatorThread: true } },
    biosSerial: true,
    video: "virtio",
    sound: "ich9",
    watchdog: { action: "poweroff" },
    tpm: true,
    inputs: [{ name: "tablet", bus: "usb" }],
    ioThreads: 2,
  },
  disks: [
    ...SPEC.disks,
    {
      name: "data",
      device: "disk",
      bus: "virtio",
      readonly: false,
      bootOrder: 2,
      serial: "A1",
      cache: "none",
      io: "native",
      errorPolicy: "enospace",
      shareable: true,
      blockSize: { logical: 512, physical: 4096 },
      ioThread: 2,
      queues: 4,
      source: { kind: "file", path: "/v/data/disk.img", capacityBytes: 1024 },
    },
    disk("hdd", { kind: "block", path: "/dev/virtpod/hdd" }),
    disk("golden", { kind: "ephemeral", backing: { kind: "block", path: "/b" }, overlayPath: "/o" }),
    disk("seed", {
      kind: "cloudInit",
      format: "configDrive",
      path: "/i/seed.iso",
      userData: { text: "#cloud-config\n" },
      networkData: { directory: "/v/seed", keys: ["networkdata", "networkData"] },
      instanceId: "i-1",
      hostname: "vm-a",
    }),
    disk("unattend", {
      kind: "files",
      directory: "/v/s",
      path: "/i/s",
      volumeLabel: "unattend",
      sysprep: true,
    }),
  ],
  interfaces: [
    {
      name: "default",
      binding: "bridge",
      podInterface: "eth0",
      model: "virtio",
      dhcpOptions: {
        bootFileName: "boot.ipxe",
        tftpServerName: "192.0.2.9",
        ntpServers: ["192.0.2.123"],
        privateOptions: [{ option: 224, value: "x" }],
      },
      queues: 1,
    },
  ],
  accessCredentials: [
    { kind: "sshPublicKey", directory: "/c/0", propagation: "qemuGuestAgent", users: ["root"] },
    { kind: "userPassword", directory: "/c/1", propagation: "qemuGuestAgent" },
  ],
};

function disk(name: string, source: LaunchDiskSource): LaunchDisk {
  return { name, device: "cdrom", bus: "sata", readonly: true, blockSize: "matchVolume", source };
}

describe("a LaunchSpec", () => {
  it("is read as it was written", () => {
    assert.deepEqual(parseLaunchSpec(JSON.stringify(SPEC)), SPEC);
    assert.deepEqual(parseLaunchSpec(JSON.stringify(FULL)), FULL);
  });

  const refusals: readonly (readonly [path: string, value: unknown, message: RegExp])[] = [
    ["name", undefined, /LaunchSpec name: must be a lower-case DNS name, is nothing/],
    ["domain.memoryBytes", 0, /domain\.memoryBytes: must be a whole number from 1/],
    ["domain.memoryBytes", "128Mi", /domain\.memoryBytes/],
    ["domain.hugepageBytes", 4096, /domain\.hugepageBytes: must be one of 2097152, 1073741824/],
    ["domain.hugepageBytes", 1_073_741_824, /domain\.memoryBytes: \d+ is no multiple/],
    ["domain.cpu.cores", 1.5, /domain\.cpu\.cores/],
    ["domain.accelerator", "xen", /domain\.accelerator: must be one of kvm, tcg, is "xen"/],
    ["domain.kernelBoot.kernelPath", "/a/../etc/passwd", /kernelPath: must be an absolute path without \.\./],
    ["domain.kernelBoot.kernelArgs", "a\0b", /kernelArgs: contains a NUL/],
    ["domain.gpus", {}, /domain\.gpus: this field is unknown/],
    ["disks.0.source.kind", "hostDisk", /disks\[0\]\.source\.kind: must be one of containerDisk, emptyDisk/],
    ["disks.0.source.kind", "constructor", /disks\[0\]\.source\.kind/],
    ["disks.0.source.overlayPath", "relative", /disks\[0\]\.source\.overlayPath/],
    ["disks.1.cache", "unsafe", /disks\[1\]\.cache/],
    ["disks.1.blockSize.physical", 1000, /disks\[1\]\.blockSize\.physical: must be a power of two, is 1000/],
    ["disks.1.blockSize", "matchGuest", /disks\[1\]\.blockSize/],
    ["disks.1.ioThread", 3, /data is served by I\/O thread 3, but the domain has 2/],
    ["disks.1.source.capacityBytes", 0, /disks\[1\]\.source\.capacityBytes/],
    [
      "disks.4.source.userData",
      { text: "a", keys: [] },
      /disks\[4\]\.source\.userData\.keys: this field is unknown/,
    ],
    ["disks.4.source.userData", { base64: "a" }, /disks\[4\]\.source\.userData\.base64: must be base64/],
    ["disks.4.source.networkData.keys", ["../x"], /networkData\.keys\[0\]: must be a Secret's key/],
    ["disks.5.source.volumeLabel", "ä", /volumeLabel/],
    ["accessCredentials.1.propagation", "noCloud", /accessCredentials\[1\]\.propagation/],
    ["disks.1", SPEC.disks[0], /two are named root/],
    ["interfaces.0.queues", 0, /interfaces\[0\]\.queues/],
    ["interfaces.0.dhcpOptions", { ntpServers: ["ntp.example"] }, /ntpServers\[0\]: must be an IPv4 address/],
    ["interfaces.0.dhcpOptions", { privateOptions: [{ option: 255, value: "x" }] }, /option/],
    ["interfaces.0.podInterface", "eth0; rm", /interfaces\[0\]\.podInterface/],
    ["gracePeriodSeconds", -1, /gracePeriodSeconds/],
    ["startPaused", "no", /startPaused: must be true or false/],
  ];
  for (const [path, value, message] of refusals) {
    it(`with ${path} = ${JSON.stringify(value)} is refused by the field's name`, () => {
      assert.throws(() => parseLaunchSpec(changed(path, value)), { code: "LaunchSpecInvalid", message });
    });
  }

  it("of another version is refused with both versions, whatever else has changed", () => {
    assert.throws(() => parseLaunchSpec('{"version":2,"vm":{}}'), {
      code: "LaunchSpecVersion",
      message: /version 2, this launcher reads version 1/,
    });
  });

  it("that is missing or no JSON object is refused", () => {
    for (const text of [undefined, "", "{", "null", "[]", "1", '"x"']) {
      assert.throws(() => parseLaunchSpec(text), { code: "LaunchSpecInvalid" });
    }
  });

  it("of any JSON is read or refused with a LauncherError", () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        assert.throws(() => parseLaunchSpec(text), LauncherError);
      }),
    );
  });
});
