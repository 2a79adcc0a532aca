/** What one program makes the next one takes: the documents between operator, agent and launcher. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { parseAnnouncement } from "../agent/launchers/announcement.ts";
import { parseLauncherStatus as relayed } from "../agent/launchers/status.ts";
import { CONFIG_KEY } from "../api/configuration.ts";
import { DEFAULT_BURST_STRATEGY } from "../api/cpu-burst.ts";
import type { DomainEndReason, LauncherInterfaceStatus } from "../api/launcher-protocol.ts";
import { LAUNCH_SPEC_MAX_BYTES, LAUNCHER_CONTAINER } from "../api/names.ts";
import type { VirtualMachineInstance } from "../api/virtual-machine-instance.ts";
import { readInterfaces, readOsInfo } from "../launcher/guest-agent/answers.ts";
import { agentStatus, NO_FACTS } from "../launcher/guest-agent/facts.ts";
import { parseLaunchSpec } from "../launcher/launch-spec.ts";
import type { MachineEvent } from "../launcher/lifecycle/events.ts";
import { initialState, reduce } from "../launcher/lifecycle/machine.ts";
import { statusOf, terminationMessage } from "../launcher/lifecycle/status.ts";
import { announcementFor } from "../operator/announcements.ts";
import { LiveConfiguration, nextInForce } from "../operator/configuration/live.ts";
import { parseAgentStatus, parseDomainEnd } from "../operator/uplink/parse.ts";
import { announcedLauncher } from "../operator/vmi/announcement.ts";
import type { ClaimFacts } from "../operator/vmi/claims.ts";
import { resolveLaunchSpec } from "../operator/vmi/launch-spec.ts";
import { launcherPod } from "../operator/vmi/launcher-pod.ts";
import { podFacts } from "../operator/vmi/pod-facts.ts";

type Spec = VirtualMachineInstance["spec"];

/** Fields that may be absent, without a key of the value undefined. */
const partial = <T extends object>(fields: { [K in keyof T]: fc.Arbitrary<T[K]> }) =>
  fc.record(fields, { requiredKeys: [] });

const letters = "abcdefghijklmnopqrstuvwxyz0123456789";
const label = (maxLength: number) =>
  fc
    .string({ unit: fc.constantFrom(...`${letters}-`), minLength: 1, maxLength })
    .map((text) => text.replace(/^-+|-+$/g, "") || "a");
/** As the API server takes them: DNS subdomains of up to 253 characters. */
const objectName = fc.array(label(80), { minLength: 1, maxLength: 5 }).map((labels) =>
  labels
    .join(".")
    .slice(0, 253)
    .replace(/[-.]+$/, ""),
);
const printable = fc.string({ unit: "binary", maxLength: 60 }).filter((text) => !text.includes("\0"));
const absolutePath = printable.map((text) => `/${text}`).filter((path) => !path.split("/").includes(".."));
const memory = fc.oneof(
  fc.integer({ min: 1024 * 1024, max: 2 ** 42 }),
  fc.integer({ min: 1, max: 4096 }).map((n) => `${n}Mi`),
  fc.integer({ min: 2, max: 9999 }).map((n) => `0.${String(n).padStart(4, "0")}9Ti`),
  fc.constantFrom("1e9", "1.5Gi", "128M", "2000000k"),
);
const cpus = fc.constantFrom("100m", "1", "1500m", 2, "3.7", "0");

const topology = partial({
  cores: fc.integer({ min: 1, max: 8 }),
  sockets: fc.integer({ min: 1, max: 8 }),
  threads: fc.integer({ min: 1, max: 8 }),
  model: fc.constantFrom("host-model", "host-passthrough", "Skylake-Server-v4", "qemu64"),
});

const bus = fc.constantFrom("virtio", "sata", "scsi", "usb");
const cloudInit = fc.oneof(
  printable.map((userData) => ({ userData })),
  fc.constant({ secretRef: { name: "user" }, networkData: "version: 2" }),
  fc.constant({ userDataBase64: "H4sI/w==", networkDataSecretRef: { name: "network" } }),
);
const storage = fc.record({
  source: fc.oneof(
    fc.constantFrom("files", "raw").map((claimName) => ({ persistentVolumeClaim: { claimName } })),
    fc
      .constantFrom("files", "raw")
      .map((claimName) => ({ ephemeral: { persistentVolumeClaim: { claimName } } })),
    fc.constantFrom(
      { hostDisk: { path: "/srv/root.img", type: "Disk" } },
      { hostDisk: { path: "/srv/root.img", type: "DiskOrCreate", capacity: "1Gi" } },
      { configMap: { name: "c", volumeLabel: "LABEL_1" } },
      { secret: { secretName: "s", optional: true } },
      { serviceAccount: { serviceAccountName: "a" } },
      { downwardAPI: { fields: [{ path: "n", fieldRef: { fieldPath: "metadata.name" } }] } },
      { sysprep: { secret: { name: "s" } } },
    ),
    cloudInit.map((cloudInitNoCloud) => ({ cloudInitNoCloud })),
    cloudInit.map((cloudInitConfigDrive) => ({ cloudInitConfigDrive })),
    fc
      .tuple(partial({ path: absolutePath, imagePullSecret: label(60) }))
      .map(([rest]) => ({ containerDisk: { image: "registry.example/disk:1", ...rest } })),
    fc
      .record({
        capacity: fc.constantFrom("1Gi", "1.5Mi", 10_485_760),
        medium: fc.constantFrom("", "Memory"),
      })
      .map((emptyDisk) => ({ emptyDisk })),
  ),
  target: fc.oneof(
    fc.constant({}),
    partial({ bus, readonly: fc.boolean() }).map((disk) => ({ disk })),
    partial({ bus: fc.constantFrom("sata", "scsi", "usb"), readonly: fc.constant(true) }).map((cdrom) => ({
      cdrom,
    })),
  ),
  rest: partial({
    serial: fc.constantFrom("", "A-1_b.+"),
    cache: fc.constantFrom("none", "writethrough", "writeback"),
    io: fc.constant("threads"),
    errorPolicy: fc.constantFrom("stop", "ignore", "report", "enospace"),
    dedicatedIOThread: fc.boolean(),
    bootOrder: fc.integer({ min: 1, max: 1000 }),
  }),
});

const CLAIMS = new Map<string, ClaimFacts>(
  (["Filesystem", "Block"] as const).map((volumeMode) => [
    volumeMode === "Block" ? "raw" : "files",
    { phase: "Bound", volumeMode, accessModes: ["ReadWriteOnce"], capacityBytes: 1024 ** 3 },
  ]),
);

const credentials = fc.array(
  fc.constantFrom(
    { sshPublicKey: secretWith({ noCloud: {} }) },
    { sshPublicKey: secretWith({ configDrive: {} }) },
    { sshPublicKey: secretWith({ qemuGuestAgent: { users: ["debian", "root"] } }) },
    { userPassword: secretWith({ qemuGuestAgent: {} }) },
  ),
  { maxLength: 4 },
);

function secretWith<Method>(propagationMethod: Method) {
  return { source: { secret: { secretName: "keys" } }, propagationMethod };
}

const macAddress = fc
  .array(fc.integer({ min: 0, max: 255 }), { minLength: 6, maxLength: 6 })
  .chain((bytes) => fc.tuple(fc.constant(bytes), fc.constantFrom(":", "-"), fc.boolean()))
  .map(([[first = 0, ...rest], separator, isUpper]) => {
    const text = [first & 0xfe, ...rest].map((byte) => byte.toString(16).padStart(2, "0")).join(separator);
    return isUpper ? text.toUpperCase() : text;
  });

const network = fc.oneof(
  fc.constant({}),
  fc
    .tuple(
      label(63),
      partial({
        macAddress,
        model: fc.constantFrom("virtio", "e1000", "e1000e", "rtl8139"),
        bootOrder: fc.integer({ min: 1, max: 1000 }),
      }),
    )
    .map(([name, rest]) => ({ networks: [{ name, pod: {} }], interfaces: [{ name, bridge: {}, ...rest }] })),
);

const firmware = partial({
  bootloader: fc.constantFrom({ bios: { useSerial: true } }, { efi: { secureBoot: false } }, { efi: {} }),
  uuid: fc.uuid(),
  serial: fc.constantFrom("", "S-1"),
  kernelBoot: fc
    .tuple(partial({ kernelArgs: printable }), absolutePath, partial({ initrdPath: absolutePath }))
    .map(([args, kernelPath, initrd]) => ({
      ...args,
      container: { image: "registry.example/kernel:1", kernelPath, ...initrd },
    })),
});

const specs: fc.Arbitrary<Spec> = fc
  .record({
    memory,
    cpu: fc.option(topology, { nil: undefined }),
    cpuLimit: fc.option(cpus, { nil: undefined }),
    disks: fc.uniqueArray(fc.tuple(label(63), storage), { selector: ([name]) => name, maxLength: 30 }),
    network,
    firmware: fc.option(firmware, { nil: undefined }),
    switches: partial({
      autoattachPodInterface: fc.boolean(),
      autoattachGraphicsDevice: fc.boolean(),
      autoattachSerialConsole: fc.boolean(),
      autoattachMemBalloon: fc.boolean(),
      networkInterfaceMultiqueue: fc.boolean(),
      rng: fc.constant({}),
      blockMultiQueue: fc.boolean(),
      watchdog: fc.constant({ name: "w", i6300esb: {} }),
      tpm: fc.constant({}),
      inputs: fc.constant([{ name: "t", type: "tablet" as const }]),
      video: fc.constant({ type: "bochs" as const }),
      sound: fc.constant({ name: "s" }),
    }),
    rest: partial({
      terminationGracePeriodSeconds: fc.integer({ min: 0, max: 31_536_000 }),
      hostname: label(63),
      subdomain: label(63),
      startStrategy: fc.constant("Paused" as const),
      accessCredentials: credentials,
    }),
  })
  .map(({ memory: guest, cpu, cpuLimit, disks, network: net, firmware: fw, switches, rest }) => {
    const { networks, interfaces } = net as { networks?: object; interfaces?: object };
    return {
      domain: {
        memory: { guest },
        ...(cpu === undefined ? {} : { cpu }),
        ...(cpuLimit === undefined ? {} : { resources: { limits: { cpu: cpuLimit } } }),
        ...(fw === undefined ? {} : { firmware: fw }),
        devices: {
          ...switches,
          ...(interfaces === undefined ? {} : { interfaces }),
          disks: disks.map(([name, { target, rest: more }]) => ({ name, ...target, ...more })),
        },
      },
      ...(networks === undefined ? {} : { networks }),
      volumes: disks.map(([name, { source }]) => ({ name, ...source })),
      ...rest,
    } as Spec;
  });

const instances: fc.Arbitrary<VirtualMachineInstance> = fc
  .record({
    spec: specs,
    name: objectName,
    namespace: label(63),
    uid: fc.uuid(),
    owner: fc.option(fc.uuid()),
  })
  .map(({ spec, name, namespace, uid, owner }) => ({
    metadata: {
      name,
      namespace,
      uid,
      resourceVersion: "1",
      creationTimestamp: "2026-01-01T00:00:00Z",
      ...(owner === null
        ? {}
        : {
            ownerReferences: [
              { apiVersion: "kubevirt.io/v1", kind: "VirtualMachine", name, uid: owner, controller: true },
            ],
          }),
    },
    spec,
  }));

const DNS_SUBDOMAIN = /^(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const LABEL_VALUE = /^(?=.{0,63}$)([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$/;

describe("what the operator makes of any VMI that the API takes", () => {
  it("is a LaunchSpec that the launcher reads to the same document", () => {
    fc.assert(
      fc.property(instances, fc.constantFrom("kvm", "tcg"), (vmi, accelerator) => {
        const launch = resolveLaunchSpec(vmi, accelerator, CLAIMS);
        assert.deepEqual(parseLaunchSpec(JSON.stringify(launch)), launch);
      }),
    );
  });

  it("is a pod whose names and labels the API server takes, with the spec in its environment", () => {
    fc.assert(
      fc.property(instances, (vmi) => {
        const launch = resolveLaunchSpec(vmi, "kvm", CLAIMS);
        const { metadata, spec } = launcherPod(vmi, launch, { image: "i", imagePullSecrets: [] });
        assert.match(metadata.name ?? "", DNS_SUBDOMAIN);
        for (const value of Object.values(metadata.labels ?? {})) assert.match(value, LABEL_VALUE);
        const names = spec.volumes?.map(({ name }) => name) ?? [];
        assert.equal(new Set(names).size, names.length);
        const text = spec.containers[0]?.env?.[0]?.value ?? "";
        assert(Buffer.byteLength(text) <= LAUNCH_SPEC_MAX_BYTES);
        assert.deepEqual(parseLaunchSpec(text), launch);
      }),
    );
  });

  it("is an announcement that the agent takes, and takes the same", () => {
    fc.assert(
      fc.property(fc.array(instances, { maxLength: 3 }), fc.nat(), (vmis, term) => {
        const launchers = vmis.map((vmi, i) => {
          const uid = `00000000-0000-4000-8000-00000000000${i}`;
          const metadata = { name: `p${i}`, uid, resourceVersion: "1", creationTimestamp: "" };
          const containers = [{ name: LAUNCHER_CONTAINER, resources: { limits: { cpu: `${100 + i}m` } } }];
          const pod = podFacts({ apiVersion: "v1", kind: "Pod", metadata, spec: { containers } });
          return announcedLauncher(vmi, pod, DEFAULT_BURST_STRATEGY);
        });
        const { inForce } = new LiveConfiguration(nextInForce({ [CONFIG_KEY]: "{}" }, undefined));
        const caches = { nodes: new Map(), pods: { byIndex: () => [] }, vmis: new Map() } as never;
        const { settings } = announcementFor(caches, { inForce }, "node-1");
        const announcement = { term, launchers, settings };
        assert.deepEqual(parseAnnouncement(JSON.parse(JSON.stringify(announcement))), announcement);
      }),
    );
  });
});

const facts = fc.oneof(
  fc.constantFrom("started", "running", "shuttingDown", "panicked").map((kind) => ({ kind })),
  fc
    .tuple(
      fc.constantFrom("startPaused", "user", "ioError", "watchdog", "unknown"),
      partial({ message: fc.string() }),
    )
    .map(([reason, rest]) => ({ kind: "paused", reason, ...rest })),
  fc.constantFrom("shutdown", "destroyed", "crashed", "unknown").map((how) => ({ kind: "gone", how })),
);

const machineEvents = fc.oneof(
  fc.constantFrom("network", "libvirt", "disks").map((step) => ({ type: "prepared", step })),
  fc.constantFrom("created", "reconnected").map((type) => ({ type })),
  facts.map((fact) => ({ type: "domain", fact })),
  fc.record({ type: fc.constant("shutdownRequested"), gracePeriodMs: fc.nat(10_000) }),
  fc.record({
    type: fc.constant("createFailed"),
    code: fc.constantFrom("LibvirtError"),
    message: fc.string(),
  }),
  fc.constantFrom("start", "resend", "grace", "destroy").map((name) => ({ type: "timer", name })),
) as fc.Arbitrary<MachineEvent>;

const interfaceStatus: fc.Arbitrary<LauncherInterfaceStatus> = fc.record({
  name: label(63),
  macAddress,
  podInterfaceName: fc.constant("eth0"),
  ipAddresses: fc.array(fc.ipV4(), { maxLength: 2 }),
  queueCount: fc.integer({ min: 1, max: 16 }),
  leased: fc.boolean(),
});

/** Words of a guest's agent, of which the launcher takes what it can. */
const word = fc.oneof(fc.string({ unit: "binary", maxLength: 400 }), fc.jsonValue());
const guestAgent = fc
  .record({
    os: fc.dictionary(fc.constantFrom("name", "id", "version", "pretty-name", "kernel-release"), word),
    interfaces: fc.array(
      fc.record({
        name: word,
        "hardware-address": fc.oneof(fc.constantFrom("02:00:00:00:00:01", "02:00:00:00:00:02"), word),
        "ip-addresses": fc.array(fc.record({ "ip-address": fc.oneof(fc.ipV4(), fc.ipV6(), word) }), {
          maxLength: 30,
        }),
      }),
      { maxLength: 30 },
    ),
    frozen: fc.boolean(),
  })
  .map(({ os, interfaces, frozen }) => {
    const own = new Set(["02:00:00:00:00:01", "02:00:00:00:00:02"]);
    const facts = { ...NO_FACTS, os: readOsInfo(os), interfaces: readInterfaces(interfaces, own), frozen };
    return agentStatus(facts, ["guest-info"]);
  });

describe("what a launcher tells", () => {
  it("of any life reaches the operator as it was told, by way of the agent", () => {
    const inputs = [
      fc.array(machineEvents, { maxLength: 20 }),
      fc.array(interfaceStatus, { maxLength: 10 }),
      fc.boolean(),
      partial({
        machineType: fc.constant("pc-q35-10.0"),
        firstLeaseAtMs: fc.nat(1e6),
        guestAgent,
        accessCredentials: fc.record({ synchronized: fc.boolean(), message: fc.string({ maxLength: 512 }) }),
      }),
    ] as const;
    fc.assert(
      fc.property(...inputs, (events, interfaces, startPaused, more) => {
        let state = initialState({ startPaused });
        for (const [atMs, event] of events.entries()) state = reduce(state, { ...event, atMs }).state;
        const told = statusOf(state, { epochMs: 0, launcherStartedAtMs: 0, interfaces, ...more });
        const status = relayed(JSON.parse(JSON.stringify(told)));
        const line = { type: "launcher", podUid: "p", status };
        assert.deepEqual(parseAgentStatus(JSON.parse(JSON.stringify(line))), {
          ...line,
          status: JSON.parse(JSON.stringify(told)),
        });
      }),
    );
  });

  it("last, in its termination message, is what the operator reads there", () => {
    const reasons = fc.constantFrom<DomainEndReason>(
      "shutdown",
      "destroyed",
      "crashed",
      "panicked",
      "failed",
    );
    fc.assert(
      fc.property(
        reasons,
        fc.boolean(),
        fc.string({ unit: "binary", maxLength: 6000 }),
        (reason, acpi, message) => {
          const end = { reason, acpiRequested: acpi, code: "Code", message };
          const read = parseDomainEnd(JSON.parse(terminationMessage(end)));
          assert.deepEqual({ ...read, message: "" }, { ...end, message: "" });
          assert(message.startsWith(read.message.replace(/…$/, "")));
        },
      ),
    );
  });
});
