/** Manifests for validation.cluster.test.ts: one that is accepted, and what is done to it. */

export type Path = readonly (string | number)[];
export type Change = readonly [Path, unknown];

export const DOMAIN = ["spec", "template", "spec", "domain"] as const;
const SPEC = ["spec", "template", "spec"] as const;
export const DISK = [...DOMAIN, "devices", "disks", 0] as const;
const INTERFACE = [...DOMAIN, "devices", "interfaces", 0] as const;

/** A VM that is accepted, with one of everything. */
export function machine(): object {
  return {
    metadata: { name: "validation" },
    spec: {
      runStrategy: "Halted",
      template: {
        metadata: { labels: { app: "validation" } },
        spec: {
          domain: {
            cpu: { cores: 1 },
            memory: { guest: "128Mi" },
            resources: { requests: { cpu: "1", memory: "128Mi" }, limits: { cpu: 2, memory: "1Gi" } },
            firmware: {
              kernelBoot: { container: { image: "example.com/kernel:1", kernelPath: "/boot/vmlinuz" } },
            },
            machine: { type: "q35" },
            features: { acpi: {} },
            devices: {
              disks: [{ name: "a", disk: {} }],
              interfaces: [{ name: "n", bridge: {} }],
            },
          },
          networks: [{ name: "n", pod: {} }],
          volumes: [{ name: "a", emptyDisk: { capacity: "1Gi" } }],
        },
      },
    },
  };
}

/** Sets the value at a path, making the objects on the way; `undefined` removes the field. */
export function changed(changes: readonly Change[]): object {
  const root = machine();
  for (const [path, value] of changes) {
    let node = root as Record<string | number, unknown>;
    for (const segment of path.slice(0, -1)) {
      node[segment] ??= {};
      node = node[segment] as Record<string | number, unknown>;
    }
    node[path.at(-1) ?? ""] = value;
  }
  return JSON.parse(JSON.stringify(root)) as object;
}

/** Changes of `machine` that leave it acceptable. */
export const accepted: Readonly<Record<string, readonly Change[]>> = {
  "running: true instead of runStrategy": [
    [["spec", "runStrategy"], undefined],
    [["spec", "running"], true],
  ],
  "no interface and no network": [
    [[...DOMAIN, "devices", "interfaces"], undefined],
    [[...SPEC, "networks"], undefined],
  ],
  "memory by request alone": [[[...DOMAIN, "memory"], undefined]],
  "a capacity in bytes": [[[...SPEC, "volumes", 0, "emptyDisk", "capacity"], 1_048_576]],
  "a cdrom": [
    [[...DISK, "disk"], undefined],
    [[...DISK, "cdrom"], { bus: "sata" }],
  ],
  "a boolean that asks for nothing": [[[...DOMAIN, "cpu", "dedicatedCpuPlacement"], false]],
  "different boot orders": [
    [[...DISK, "bootOrder"], 1],
    [[...INTERFACE, "bootOrder"], 2],
  ],
  "a machine of no type": [[[...DOMAIN, "machine"], {}]],
  "a machine of an empty type": [[[...DOMAIN, "machine"], { type: "" }]],
  "the interrupt controller that is there anyway": [[[...DOMAIN, "features", "apic"], {}]],
  "evictionStrategy: LiveMigrateIfPossible": [[[...SPEC, "evictionStrategy"], "LiveMigrateIfPossible"]],
  "creationTimestamp: null in the template": [[[...SPEC.slice(0, 2), "metadata", "creationTimestamp"], null]],
};

export type Refused = readonly [string, readonly Change[], string, RegExp];

/** Bad input: what it is, the changes of `machine`, the field that the refusal names, and its words. */
export const refused: readonly Refused[] = [
  [
    "a disk without a volume",
    [[[...SPEC, "volumes"], undefined]],
    "spec.template.spec.domain.devices.disks",
    /a: a disk needs a volume/,
  ],
  [
    "two disks for one volume",
    [[[...DOMAIN, "devices", "disks", 1], { name: "a", disk: {} }]],
    "spec.template.spec.domain.devices.disks[1]",
    /Duplicate/,
  ],
  [
    "two volumes of one name",
    [[[...SPEC, "volumes", 1], { name: "a", emptyDisk: { capacity: "1Gi" } }]],
    "spec.template.spec.volumes[1]",
    /Duplicate/,
  ],
  [
    "an interface without a network",
    [[[...SPEC, "networks"], undefined]],
    "spec.template.spec.domain.devices.interfaces",
    /n: an interface needs a network/,
  ],
  [
    "a network without an interface",
    [[[...DOMAIN, "devices", "interfaces"], undefined]],
    "spec.template.spec.networks",
    /n: a network needs an interface/,
  ],
  [
    "two pod networks",
    [
      [[...SPEC, "networks", 1], { name: "m", pod: {} }],
      [[...DOMAIN, "devices", "interfaces", 1], { name: "m" }],
    ],
    "spec.template.spec.networks",
    /only one network/,
  ],
  [
    "a network without a source",
    [[[...SPEC, "networks", 0, "pod"], undefined]],
    "spec.template.spec.networks[0]",
    /needs a source/,
  ],
  [
    "two devices with one boot order",
    [
      [[...DISK, "bootOrder"], 1],
      [[...INTERFACE, "bootOrder"], 1],
    ],
    "spec.template.spec.domain.devices.disks",
    /same bootOrder/,
  ],
  ["running beside runStrategy", [[["spec", "running"], true]], "spec.running", /exclude each other/],
  [
    "neither running nor runStrategy",
    [[["spec", "runStrategy"], undefined]],
    "spec",
    /runStrategy is missing/,
  ],
  [
    "runStrategy: WaitAsReceiver",
    [[["spec", "runStrategy"], "WaitAsReceiver"]],
    "spec.runStrategy",
    /WaitAsReceiver is not supported by virtpod yet/,
  ],
  [
    "a run strategy that doesn't exist",
    [[["spec", "runStrategy"], "Sometimes"]],
    "spec.runStrategy",
    /Unsupported value/,
  ],
  [
    "zero cores",
    [[[...DOMAIN, "cpu", "cores"], 0]],
    "spec.template.spec.domain.cpu.cores",
    /greater than or equal to 1/,
  ],
  [
    "more vCPUs than qemu has",
    [[[...DOMAIN, "cpu"], { cores: 100, sockets: 100 }]],
    "spec.template.spec.domain.cpu",
    /at most 255/,
  ],
  [
    "memory that is no quantity",
    [[[...DOMAIN, "memory", "guest"], "128 MB"]],
    "spec.template.spec.domain.memory.guest",
    /should match/,
  ],
  [
    "negative memory",
    [[[...DOMAIN, "memory", "guest"], "-128Mi"]],
    "spec.template.spec.domain.memory.guest",
    /should match/,
  ],
  [
    "too little memory",
    [[[...DOMAIN, "memory", "guest"], "1k"]],
    "spec.template.spec.domain.memory.guest",
    /at least 1Mi/,
  ],
  [
    "memory above its limit",
    [[[...DOMAIN, "memory", "guest"], "2Gi"]],
    "spec.template.spec.domain.memory.guest",
    /must not be above/,
  ],
  [
    "no memory at all",
    [
      [[...DOMAIN, "memory"], undefined],
      [[...DOMAIN, "resources"], undefined],
    ],
    "spec.template.spec.domain.memory",
    /needs memory/,
  ],
  [
    "a CPU request above its limit",
    [[[...DOMAIN, "resources", "requests", "cpu"], "2500m"]],
    "spec.template.spec.domain.resources.requests.cpu",
    /must not be above/,
  ],
  [
    "a memory request above its limit",
    [[[...DOMAIN, "resources", "requests", "memory"], "2Gi"]],
    "spec.template.spec.domain.resources.requests.memory",
    /must not be above/,
  ],
  [
    "a volume without a source",
    [[[...SPEC, "volumes", 0, "emptyDisk"], undefined]],
    "spec.template.spec.volumes[0]",
    /exactly one source/,
  ],
  [
    "a volume with two sources",
    [[[...SPEC, "volumes", 0, "containerDisk"], { image: "example.com/disk:1" }]],
    "spec.template.spec.volumes[0]",
    /exactly one source/,
  ],
  [
    "an empty disk without capacity",
    [[[...SPEC, "volumes", 0, "emptyDisk", "capacity"], undefined]],
    "spec.template.spec.volumes[0].emptyDisk.capacity",
    /Required/,
  ],
  [
    "an empty disk of no size",
    [[[...SPEC, "volumes", 0, "emptyDisk", "capacity"], "0Gi"]],
    "spec.template.spec.volumes[0].emptyDisk.capacity",
    /should match/,
  ],
  [
    "a disk with two targets",
    [[[...DISK, "cdrom"], {}]],
    "spec.template.spec.domain.devices.disks[0]",
    /one target/,
  ],
  [
    "a path that leaves the image",
    [[[...SPEC, "volumes", 0], { name: "a", containerDisk: { image: "x", path: "/../etc/passwd" } }]],
    "spec.template.spec.volumes[0].containerDisk.path",
    /must not contain/,
  ],
  ["a host name with a dot", [[[...SPEC, "hostname"], "a.b"]], "spec.template.spec.hostname", /should match/],
  [
    "a MAC address that is none",
    [[[...INTERFACE, "macAddress"], "02:00:00"]],
    "spec.template.spec.domain.devices.interfaces[0].macAddress",
    /should match/,
  ],
  [
    "a multicast MAC address",
    [[[...INTERFACE, "macAddress"], "03:00:00:00:00:01"]],
    "spec.template.spec.domain.devices.interfaces[0].macAddress",
    /should match/,
  ],
  [
    "kernelBoot without a container",
    [[[...DOMAIN, "firmware", "kernelBoot", "container"], undefined]],
    "spec.template.spec.domain.firmware.kernelBoot.container",
    /Required/,
  ],
  [
    "kernelBoot without a kernel",
    [[[...DOMAIN, "firmware", "kernelBoot", "container", "kernelPath"], undefined]],
    "spec.template.spec.domain.firmware.kernelBoot.container.kernelPath",
    /Required/,
  ],
  [
    "another machine type",
    [[[...DOMAIN, "machine", "type"], "pc-i440fx-10.0"]],
    "spec.template.spec.domain.machine.type",
    /should match/,
  ],
  [
    "another architecture",
    [[[...SPEC, "architecture"], "arm64"]],
    "spec.template.spec.architecture",
    /Unsupported value/,
  ],
  [
    "evictionStrategy: LiveMigrate",
    [[[...SPEC, "evictionStrategy"], "LiveMigrate"]],
    "spec.template.spec.evictionStrategy",
    /LiveMigrate is not supported/,
  ],
  [
    "ACPI switched off",
    [[[...DOMAIN, "features", "acpi", "enabled"], false]],
    "spec.template.spec.domain.features.acpi.enabled",
    /not supported/,
  ],
];
