/** LaunchSpecs for tests, and what their domains are made of. */
import fc from "fast-check";
import type { LaunchDisk, LaunchInterface, LaunchSpec } from "../../api/launch-spec.ts";
import type { InterfaceAttachment } from "../../api/pod-interface.ts";
import type { DomainResources } from "./resources.ts";

export const SMALL_SPEC: LaunchSpec = {
  version: 1,
  namespace: "default",
  name: "small",
  uid: "0f4e6a52-6c7b-4c1e-9a63-0b6a6e1b2c3d",
  hostname: "small",
  gracePeriodSeconds: 30,
  startPaused: false,
  disks: [],
  interfaces: [],
  domain: {
    uuid: "5d2f0c0e-7f8b-4d7e-9a51-0e6f3a1c2b4d",
    machineType: "q35",
    accelerator: "tcg",
    cpu: { sockets: 1, cores: 1, threads: 1, model: "host-model" },
    memoryBytes: 64 * 1024 * 1024,
    tcgCacheBytes: 32 * 1024 * 1024,
    graphics: false,
    serialConsole: true,
    memBalloon: true,
    rng: false,
  },
};

export function attachment(name: string, index: number, queues = 1): InterfaceAttachment {
  const macAddress = `02:00:00:00:00:${(index + 1).toString(16).padStart(2, "0")}`;
  return {
    name,
    podInterface: { name: `eth${index}`, macAddress, mtu: 1450, addresses: [], routes: [], neighbours: [] },
    guest: { macAddress },
    tap: { name: `tap${index}`, queues },
    bridge: { name: `k6t-eth${index}`, macAddress, address: `169.254.75.1${index}` },
  };
}

/** @param directory of the sockets and the disks */
export function resourcesOf(spec: LaunchSpec, directory = "/run/d"): DomainResources {
  return {
    disks: spec.disks.map(({ name, cache = "none" }) => ({
      name,
      kind: "file",
      path: `${directory}/${name}.qcow2`,
      format: "qcow2",
      cache,
      io: "threads",
    })),
    interfaces: spec.interfaces.map(({ name, queues }, index) => attachment(name, index, queues)),
    paths: {
      serialSocket: `${directory}/serial.sock`,
      vncSocket: `${directory}/vnc.sock`,
      agentSocket: `${directory}/agent.sock`,
      tpmSocket: `${directory}/tpm.sock`,
      nvram: `${directory}/nvram.fd`,
    },
  };
}

/** Any text that XML can hold. */
export const xmlText = fc
  .string({ unit: "binary", maxLength: 30 })
  .filter((text) => !/[^\t\n\r\u{20}-\u{D7FF}\u{E000}-\u{FFFD}\u{10000}-\u{10FFFF}]/u.test(text));

const name = fc.stringMatching(/^[a-z][a-z0-9-]{0,12}$/);

const disk: fc.Arbitrary<LaunchDisk> = fc
  .record(
    {
      name,
      device: fc.constantFrom("disk", "cdrom"),
      bus: fc.constantFrom("virtio", "sata", "scsi", "usb"),
      readonly: fc.boolean(),
      serial: fc.stringMatching(/^[A-Za-z0-9_-]{1,20}$/),
      cache: fc.constantFrom("none", "writethrough", "writeback"),
      errorPolicy: fc.constantFrom("stop", "ignore", "report", "enospace"),
      source: fc.constant({ kind: "emptyDisk" as const, path: "/d", capacityBytes: 1 }),
    },
    { requiredKeys: ["name", "device", "bus", "readonly", "source"] },
  )
  // What qemu has no device for.
  .filter(({ device, bus }) => device !== "cdrom" || bus !== "virtio")
  .filter(({ device, bus, readonly }) => device !== "disk" || bus !== "sata" || !readonly);

const iface: fc.Arbitrary<LaunchInterface> = fc.record(
  {
    name,
    binding: fc.constantFrom("bridge", "masquerade"),
    podInterface: fc.constant("eth0"),
    model: fc.constantFrom("virtio", "e1000", "e1000e", "rtl8139"),
    linkState: fc.constant("down"),
    queues: fc.integer({ min: 1, max: 4 }),
  },
  { requiredKeys: ["name", "binding", "podInterface", "model", "queues"] },
);

/** The first card as an integrated device, the second, if it can be, behind the third root port. */
function placed(value: LaunchInterface, index: number): LaunchInterface {
  const named = { ...value, acpiIndex: index + 1 };
  if (index === 0) return { ...named, pciAddress: "0000:00:05.0" };
  const isPcie = value.model === "virtio" || value.model === "e1000e";
  return index === 1 && isPcie ? { ...named, pciAddress: "0000:03:00.0" } : named;
}

/** Any LaunchSpec, within what the operator lets through. */
export const anySpec: fc.Arbitrary<LaunchSpec> = fc
  .record({
    disks: fc.uniqueArray(disk, { maxLength: 8, selector: (value) => value.name }),
    interfaces: fc.uniqueArray(iface, { maxLength: 4, selector: (value) => value.name }),
    uuid: fc.uuid(),
    kernelArgs: fc.option(xmlText, { nil: undefined }),
    accelerator: fc.constantFrom("kvm" as const, "tcg" as const),
    sockets: fc.integer({ min: 1, max: 4 }),
    cores: fc.integer({ min: 1, max: 4 }),
    model: fc.constantFrom("host-model", "host-passthrough", "Skylake-Server"),
    memoryBytes: fc.integer({ min: 1024 * 1024, max: 2 ** 40 }),
    hugepageBytes: fc.option(fc.constantFrom(2_097_152 as const, 1_073_741_824), { nil: undefined }),
    graphics: fc.boolean(),
    serialConsole: fc.boolean(),
    memBalloon: fc.boolean(),
    rng: fc.boolean(),
    video: fc.constantFrom("vga" as const, "bochs", "virtio", "cirrus", "ramfb"),
    sound: fc.constantFrom("ich9" as const, "ac97"),
    tpm: fc.constant(true as const),
    watchdog: fc.record({ action: fc.constantFrom("reset" as const, "poweroff", "shutdown") }),
    inputs: fc.uniqueArray(fc.record({ name, bus: fc.constantFrom("usb" as const, "virtio") }), {
      maxLength: 2,
      selector: (value) => value.name,
    }),
    ioThreads: fc.integer({ min: 0, max: 3 }),
    hasBootOrder: fc.boolean(),
    hasPlaces: fc.boolean(),
  })
  .map((values) => {
    const { disks, interfaces, uuid, kernelArgs, sockets, cores, model, hasBootOrder, hasPlaces, ...rest } =
      values;
    const { hugepageBytes, memoryBytes, ...domain } = rest;
    return {
      ...SMALL_SPEC,
      disks: disks.map((value, index) => (hasBootOrder ? { ...value, bootOrder: index + 1 } : value)),
      interfaces: hasPlaces ? interfaces.map(placed) : interfaces,
      domain: {
        uuid,
        machineType: "q35",
        cpu: { sockets, cores, threads: 1, model },
        ...(kernelArgs !== undefined && { kernelBoot: { kernelPath: "/k", kernelArgs } }),
        ...(domain.accelerator === "tcg" && { tcgCacheBytes: 64 * 1024 * 1024 }),
        ...(hugepageBytes === undefined
          ? { memoryBytes }
          : { hugepageBytes, memoryBytes: Math.ceil(memoryBytes / hugepageBytes) * hugepageBytes }),
        ...domain,
      },
    };
  });
