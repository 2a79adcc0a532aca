import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { instance } from "./instance.fixture.ts";
import { resolveLaunchSpec } from "./launch-spec.ts";
import { overheadBytes } from "./memory.ts";
import { SpecError } from "./spec-error.ts";

const MIB = 1024 * 1024;

describe("a LaunchSpec", () => {
  it("holds every default", () => {
    const { uuid, ...domain } = resolveLaunchSpec(instance(), "kvm").domain;
    assert.match(uuid, /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    assert.deepEqual(domain, {
      machineType: "q35",
      accelerator: "kvm",
      cpu: { sockets: 1, cores: 1, threads: 1, model: "host-model" },
      memoryBytes: 128 * MIB,
      graphics: true,
      serialConsole: true,
      memBalloon: true,
      rng: false,
    });
  });

  it("takes q35 for a machine that names no type, as old manifests don't", () => {
    for (const [machine, type] of [
      [{}, "q35"],
      [{ type: "" }, "q35"],
      [{ type: "pc-q35-10.0" }, "pc-q35-10.0"],
    ] as const) {
      const { machineType } = resolveLaunchSpec(instance({ domain: { machine } }), "kvm").domain;
      assert.equal(machineType, type);
    }
  });

  it("keeps a VM's UUID over its incarnations, and gives no two VMs the same", () => {
    const of = (uid: string, owner: string) => {
      const reference = {
        apiVersion: "kubevirt.io/v1",
        kind: "VirtualMachine",
        name: "tiny",
        uid: owner,
        controller: true,
      };
      return resolveLaunchSpec(instance({}, { uid, ownerReferences: [reference] }), "kvm").domain.uuid;
    };
    assert.equal(of("first", "vm-1"), of("second", "vm-1"));
    assert.notEqual(of("first", "vm-1"), of("first", "vm-2"));
  });

  it("takes vCPUs from the topology, else from the CPU limit, rounded up", () => {
    const cpu = (domain: object) => {
      const { sockets, cores, threads } = resolveLaunchSpec(instance({ domain }), "kvm").domain.cpu;
      return [sockets, cores, threads];
    };
    assert.deepEqual(cpu({ cpu: { cores: 2 }, resources: { limits: { cpu: "4" } } }), [1, 2, 1]);
    assert.deepEqual(cpu({ resources: { limits: { cpu: "1500m" }, requests: { cpu: "8" } } }), [2, 1, 1]);
    assert.deepEqual(cpu({ resources: { requests: { cpu: "100m" } } }), [1, 1, 1]);
  });

  it("takes memory from guest, else from the request, else from the limit, in whole bytes", () => {
    const bytes = (domain: object) => resolveLaunchSpec(instance({ domain }), "kvm").domain.memoryBytes;
    const resources = { requests: { memory: "2Mi" }, limits: { memory: "3Mi" } };
    assert.equal(bytes({ memory: { guest: "1Mi" }, resources }), MIB);
    assert.equal(bytes({ memory: {}, resources }), 2 * MIB);
    assert.equal(bytes({ memory: {}, resources: { limits: resources.limits } }), 3 * MIB);
    assert.equal(bytes({ memory: { guest: "0.0015Gi" } }), 1_610_612);
    assert.throws(() => bytes({ memory: {} }), SpecError);
  });

  it("takes memory of 1Mi to 64Ti, and says which field has another amount", () => {
    const bytes = (domain: object) => resolveLaunchSpec(instance({ domain }), "kvm").domain.memoryBytes;
    assert.equal(bytes({ memory: { guest: "64Ti" } }), 64 * 2 ** 40);
    for (const [domain, field] of [
      [{ memory: { guest: "65Ti" } }, "memory.guest"],
      [{ memory: { guest: "16Pi" } }, "memory.guest"],
      [{ memory: { guest: "8Ei", hugepages: { pageSize: "1Gi" } } }, "memory.guest"],
      [{ memory: { guest: "1e30" } }, "memory.guest"],
      [{ memory: {}, resources: { requests: { memory: "1023Ki" } } }, "resources.requests.memory"],
      [{ memory: {}, resources: { requests: { memory: 0 } } }, "resources.requests.memory"],
      [{ memory: {}, resources: { limits: { memory: "100" } } }, "resources.limits.memory"],
    ] as const)
      assert.throws(
        () => bytes(domain),
        (error) => error instanceof SpecError && error.message.startsWith(`spec.domain.${field} is `),
      );
  });

  it("has huge pages of the size that was asked for", () => {
    const bytes = (memory: object) =>
      resolveLaunchSpec(instance({ domain: { memory } }), "kvm").domain.hugepageBytes;
    assert.equal(bytes({ guest: "1Gi" }), undefined);
    assert.equal(bytes({ guest: "1Gi", hugepages: { pageSize: "2Mi" } }), 2 * MIB);
    assert.equal(bytes({ guest: "1Gi", hugepages: { pageSize: "1Gi" } }), 1024 * MIB);
    assert.equal(bytes({ guest: "1.5Gi", hugepages: { pageSize: "2Mi" } }), 2 * MIB);
    assert.throws(() => bytes({ guest: "1.9999999999Mi", hugepages: { pageSize: "2Mi" } }), SpecError);
  });

  it("has no more vCPUs than libvirt takes, whatever asks for them", () => {
    const vcpus = (limit: string, cpu = {}) =>
      resolveLaunchSpec(instance({ domain: { cpu, resources: { limits: { cpu: limit } } } }), "kvm").domain
        .cpu.sockets;
    assert.equal(vcpus("254.5"), 255);
    assert.throws(() => vcpus("255.5"), /256 vCPUs.*may have 255/);
    assert.equal(vcpus("300", { cores: 2 }), 1);
  });

  it("refuses what the schema lets by and nothing could carry out", () => {
    const disks = { devices: { disks: [{ name: "d" }] } };
    const resolve = (spec: Parameters<typeof instance>[0]) => () => resolveLaunchSpec(instance(spec), "kvm");
    assert.throws(resolve({ domain: disks }), /has no volume/);
    assert.throws(resolve({ domain: disks, volumes: [{ name: "d" }] }), /names no source/);
    assert.throws(
      resolve({ domain: disks, volumes: [{ name: "d", emptyDisk: { capacity: "1023Ki" } }] }),
      /at least 1Mi/,
    );
    assert.throws(
      resolve({ domain: disks, volumes: [{ name: "d", emptyDisk: { capacity: "65Ti" } }] }),
      /at most 64Ti/,
    );
    const kernelBoot = { kernelArgs: "a\0b", container: { image: "i", kernelPath: "/k" } };
    assert.throws(resolve({ domain: { firmware: { kernelBoot } } }), /kernelArgs contains a NUL/);
  });

  it("has the firmware, I/O threads and peripherals that the spec asks for, with KubeVirt's defaults", () => {
    const domain = (over: object) => resolveLaunchSpec(instance({ domain: over }), "kvm").domain;
    assert.deepEqual(domain({ firmware: { bootloader: { efi: {} } } }).efi, { secureBoot: true });
    assert.deepEqual(domain({ firmware: { bootloader: { efi: { secureBoot: false } } } }).efi, {
      secureBoot: false,
    });
    assert.equal(domain({ firmware: { bootloader: { bios: { useSerial: true } } } }).biosSerial, true);
    const { watchdog, tpm, inputs, video, sound } = domain({
      devices: {
        watchdog: { name: "w", i6300esb: {} },
        tpm: {},
        inputs: [
          { name: "a", type: "tablet" },
          { name: "b", type: "tablet", bus: "virtio" },
        ],
        video: { type: "virtio" },
        sound: { name: "s" },
      },
    });
    assert.deepEqual([watchdog, tpm, video, sound], [{ action: "reset" }, true, "virtio", "ich9"]);
    assert.equal(domain({ devices: { tpm: { enabled: false } } }).tpm, undefined);
    assert.deepEqual(inputs, [
      { name: "a", bus: "usb" },
      { name: "b", bus: "virtio" },
    ]);
  });
});

describe("the memory beside the guest's", () => {
  const domain = (over: object = {}) => resolveLaunchSpec(instance({ domain: over }), "kvm").domain;

  it("grows with vCPUs, guest memory, graphics and emulation, in whole mebibytes", () => {
    const least = overheadBytes(domain({ devices: { autoattachGraphicsDevice: false } }));
    const efi = { firmware: { bootloader: { efi: {} } } };
    for (const more of [{}, efi, { cpu: { cores: 2 } }, { memory: { guest: "1Gi" } }]) {
      const bytes = overheadBytes(domain(more));
      assert(bytes > least);
      assert.equal(bytes % MIB, 0);
    }
    assert.equal(overheadBytes({ ...domain(), ioThreads: 3 }) - overheadBytes(domain()), 3 * MIB);
    assert.equal(overheadBytes({ ...domain(), tcgCacheBytes: 64 * MIB }) - overheadBytes(domain()), 64 * MIB);
  });
});
