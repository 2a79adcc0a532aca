import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { LaunchSpec } from "../api/launch-spec.ts";
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
  const copy = structuredClone(SPEC) as unknown as Record<string, unknown>;
  const keys = path.split(".");
  const last = keys.pop() ?? "";
  const parent = keys.reduce((at, key) => at[key] as Record<string, unknown>, copy);
  parent[last] = value;
  return JSON.stringify(copy);
}

describe("a LaunchSpec", () => {
  it("is read as it was written", () => {
    assert.deepEqual(parseLaunchSpec(JSON.stringify(SPEC)), SPEC);
  });

  const refusals: readonly (readonly [path: string, value: unknown, message: RegExp])[] = [
    ["name", undefined, /LaunchSpec name: must be a lower-case DNS name, is nothing/],
    ["domain.memoryBytes", 0, /domain\.memoryBytes: must be a whole number from 1/],
    ["domain.memoryBytes", "128Mi", /domain\.memoryBytes/],
    ["domain.cpu.cores", 1.5, /domain\.cpu\.cores/],
    ["domain.accelerator", "xen", /domain\.accelerator: must be one of kvm, tcg, is "xen"/],
    ["domain.kernelBoot.kernelPath", "/a/../etc/passwd", /kernelPath: must be an absolute path without \.\./],
    ["domain.kernelBoot.kernelArgs", "a\0b", /kernelArgs: contains a NUL/],
    ["domain.tpm", {}, /domain\.tpm: this field is unknown/],
    ["disks.0.source.kind", "hostDisk", /disks\[0\]\.source\.kind: must be one of containerDisk, emptyDisk/],
    ["disks.0.source.kind", "constructor", /disks\[0\]\.source\.kind/],
    ["disks.0.source.overlayPath", "relative", /disks\[0\]\.source\.overlayPath/],
    ["disks.1", SPEC.disks[0], /two are named root/],
    ["interfaces.0.queues", 0, /interfaces\[0\]\.queues/],
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
