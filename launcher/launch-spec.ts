/** Reads the LaunchSpec out of the environment's string. */
import type { DhcpOptions } from "../api/dhcp-options.ts";
import type {
  CloudInitData,
  DiskBlockSize,
  LaunchAccessCredential,
  LaunchCpu,
  LaunchDedicatedCpu,
  LaunchDisk,
  LaunchDiskSource,
  LaunchDomain,
  LaunchEfi,
  LaunchInput,
  LaunchInterface,
  LaunchKernelBoot,
  LaunchSpec,
  WatchdogAction,
} from "../api/launch-spec.ts";
import { ENV_LAUNCH_SPEC } from "../api/names.ts";
import {
  array,
  boolean,
  type Check,
  CheckError,
  integer,
  object,
  oneOf,
  optional,
  string,
  tagged,
} from "./check.ts";
import { LauncherError } from "./errors.ts";

/** The only version of the document that this launcher reads. */
const VERSION = 1;
const MAX_DISKS = 64;
/** bridgeAddress() has ten. */
const MAX_INTERFACES = 10;
/** As many as the schema lets an interface list. */
const MAX_PORTS = 64;
const MAX_IO_THREADS = 64;
const MAX_INPUTS = 8;
const MAX_CREDENTIALS = 64;
/** What `LAUNCH_SPEC_MAX_BYTES` leaves of it; KubeVirt's own limit, 2048 bytes, is the operator's to keep. */
const MAX_INLINE_CHARACTERS = 128 * 1024;

const name = string({
  maxLength: 253,
  pattern: /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/,
  what: "a lower-case DNS name",
});
const uuid = string({ pattern: /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i, what: "a UUID" });
/** Without `..`, so that a path stays below the directory it is joined to. */
const path = string({ pattern: /^\/(?!(.*\/)?\.\.(\/|$))/, what: "an absolute path without .." });
const positive = integer({ min: 1 });
/** ISO 9660 allows 32 characters of a volume's identifier, Joliet 16 (UCS-2). */
const volumeLabel = string({ maxLength: 32, pattern: /^[ -~]+$/, what: "a volume label in ASCII" });

const cpu = object<LaunchCpu>({
  sockets: positive,
  cores: positive,
  threads: positive,
  model: string({ pattern: /^[A-Za-z0-9_.-]+$/, what: "a CPU model" }),
  dedicated: optional(object<LaunchDedicatedCpu>({ isolateEmulatorThread: boolean })),
});

const kernelBoot = object<LaunchKernelBoot>({
  kernelPath: optional(path),
  initrdPath: optional(path),
  kernelArgs: optional(string({ maxLength: 64 * 1024 })),
});

const domain = object<LaunchDomain>({
  uuid,
  serial: optional(string({ maxLength: 256 })),
  machineType: string({ pattern: /^[A-Za-z0-9_.-]+$/, what: "a machine type" }),
  accelerator: oneOf("kvm", "tcg"),
  cpu,
  memoryBytes: positive,
  hugepageBytes: optional(oneOf(2_097_152, 1_073_741_824)),
  tcgCacheBytes: optional(positive),
  kernelBoot: optional(kernelBoot),
  graphics: boolean,
  serialConsole: boolean,
  memBalloon: boolean,
  rng: boolean,
  efi: optional(object<LaunchEfi>({ secureBoot: boolean })),
  biosSerial: optional(oneOf(true)),
  video: optional(oneOf("vga", "bochs", "virtio", "cirrus", "ramfb")),
  sound: optional(oneOf("ich9", "ac97")),
  watchdog: optional(object<{ action: WatchdogAction }>({ action: oneOf("reset", "poweroff", "shutdown") })),
  tpm: optional(oneOf(true)),
  inputs: optional(
    array(object<LaunchInput>({ name, bus: oneOf("usb", "virtio") }), { maxItems: MAX_INPUTS }),
  ),
  ioThreads: optional(integer({ min: 0, max: MAX_IO_THREADS })),
});

type Source<Kind extends LaunchDiskSource["kind"]> = Extract<LaunchDiskSource, { kind: Kind }>;

const cloudInitData: Check<CloudInitData> = (value, at) => {
  const has = (field: string) => typeof value === "object" && value !== null && field in value;
  if (has("text")) return inlineData(value, at);
  return has("base64") ? binaryData(value, at) : mountedData(value, at);
};

const inlineData = object<Extract<CloudInitData, { text: string }>>({
  text: string({ maxLength: MAX_INLINE_CHARACTERS }),
});

const binaryData = object<Extract<CloudInitData, { base64: string }>>({
  base64: string({
    maxLength: MAX_INLINE_CHARACTERS,
    pattern: /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/,
    what: "base64",
  }),
});

const mountedData = object<Extract<CloudInitData, { directory: string }>>({
  directory: path,
  keys: array(string({ pattern: /^[-._a-zA-Z0-9]+$/, what: "a Secret's key" }), { maxItems: 8 }),
});

const diskSource: Check<LaunchDiskSource> = tagged<LaunchDiskSource>("kind", {
  containerDisk: object<Source<"containerDisk">>({
    kind: oneOf("containerDisk"),
    imageDirectory: path,
    path: optional(path),
    overlayPath: path,
  }),
  emptyDisk: object<Source<"emptyDisk">>({ kind: oneOf("emptyDisk"), path, capacityBytes: positive }),
  file: object<Source<"file">>({ kind: oneOf("file"), path, capacityBytes: optional(positive) }),
  block: object<Source<"block">>({ kind: oneOf("block"), path }),
  ephemeral: object<Source<"ephemeral">>({
    kind: oneOf("ephemeral"),
    backing: object<Source<"ephemeral">["backing"]>({ kind: oneOf("file", "block"), path }),
    overlayPath: path,
  }),
  cloudInit: object<Source<"cloudInit">>({
    kind: oneOf("cloudInit"),
    format: oneOf("noCloud", "configDrive"),
    path,
    userData: optional(cloudInitData),
    networkData: optional(cloudInitData),
    instanceId: string({ maxLength: 512 }),
    hostname: string({ maxLength: 253 }),
  }),
  files: object<Source<"files">>({
    kind: oneOf("files"),
    directory: path,
    path,
    volumeLabel,
    sysprep: optional(oneOf(true)),
  }),
});

/** virtio-blk and scsi-disk take 512 to 2 MiB; libvirt asks for powers of two. */
const blockSize = object<DiskBlockSize>({ logical: powerOfTwo, physical: powerOfTwo });

const disk = object<LaunchDisk>({
  name,
  device: oneOf("disk", "cdrom", "lun"),
  bus: oneOf("virtio", "sata", "scsi", "usb"),
  readonly: boolean,
  bootOrder: optional(positive),
  serial: optional(string({ maxLength: 256 })),
  cache: optional(oneOf("none", "writethrough", "writeback")),
  io: optional(oneOf("native", "threads")),
  errorPolicy: optional(oneOf("stop", "ignore", "report", "enospace")),
  shareable: optional(boolean),
  blockSize: optional((value, at) =>
    value === "matchVolume" ? ("matchVolume" as const) : blockSize(value, at),
  ),
  ioThread: optional(integer({ min: 1, max: MAX_IO_THREADS })),
  queues: optional(integer({ min: 1, max: 256 })),
  source: diskSource,
});

const dhcpOptions = object<DhcpOptions>({
  bootFileName: optional(string({ maxLength: 255 })),
  tftpServerName: optional(string({ maxLength: 253 })),
  ntpServers: optional(
    array(string({ pattern: /^\d{1,3}(\.\d{1,3}){3}$/, what: "an IPv4 address" }), { maxItems: 16 }),
  ),
  privateOptions: optional(
    array(
      object<NonNullable<DhcpOptions["privateOptions"]>[number]>({
        option: integer({ min: 224, max: 254 }),
        value: string({ maxLength: 255 }),
      }),
      { maxItems: 31 },
    ),
  ),
});

const launchInterface = object<LaunchInterface>({
  name,
  binding: oneOf("bridge", "masquerade"),
  // IFNAMSIZ is 16, with the terminating NUL.
  podInterface: string({ maxLength: 15, pattern: /^[^\s/]+$/, what: "the name of a network interface" }),
  model: oneOf("virtio", "e1000", "e1000e", "rtl8139"),
  bootOrder: optional(positive),
  pciAddress: optional(
    string({ pattern: /^0000:[01][0-9a-f]:[01][0-9a-f]\.0$/, what: "a PCI address of bus 00 to 10" }),
  ),
  acpiIndex: optional(positive),
  linkState: optional(oneOf("down")),
  dhcpOptions: optional(dhcpOptions),
  loopbackPorts: optional(array(integer({ min: 1, max: 65_535 }), { maxItems: MAX_PORTS })),
  queues: integer({ min: 1, max: 256 }),
});

const accessCredential: Check<LaunchAccessCredential> = tagged<LaunchAccessCredential>("kind", {
  sshPublicKey: object<Extract<LaunchAccessCredential, { kind: "sshPublicKey" }>>({
    kind: oneOf("sshPublicKey"),
    directory: path,
    propagation: oneOf("noCloud", "configDrive", "qemuGuestAgent"),
    users: array(string({ maxLength: 32 }), { maxItems: 64 }),
  }),
  userPassword: object<Extract<LaunchAccessCredential, { kind: "userPassword" }>>({
    kind: oneOf("userPassword"),
    directory: path,
    propagation: oneOf("qemuGuestAgent"),
  }),
});

const launchSpec = object<LaunchSpec>({
  version: oneOf(VERSION),
  namespace: name,
  name,
  uid: string({ maxLength: 128, pattern: /^[A-Za-z0-9-]+$/, what: "a UID" }),
  domain,
  disks: array(disk, { maxItems: MAX_DISKS }),
  interfaces: array(launchInterface, { maxItems: MAX_INTERFACES }),
  hostname: name,
  subdomain: optional(name),
  gracePeriodSeconds: integer({ min: 0 }),
  startPaused: boolean,
  accessCredentials: optional(array(accessCredential, { maxItems: MAX_CREDENTIALS })),
});

/** @throws LauncherError LaunchSpecInvalid, LaunchSpecVersion */
export function parseLaunchSpec(text: string | undefined): LaunchSpec {
  if (text === undefined || text === "") {
    throw invalid(`the environment has no ${ENV_LAUNCH_SPEC}: the launcher is started by virtpod's operator`);
  }
  const document = parseJson(text);
  const version = (document as { version?: unknown } | null)?.version;
  if (typeof version === "number" && version !== VERSION) {
    throw new LauncherError(
      "LaunchSpecVersion",
      `the LaunchSpec has version ${version}, this launcher reads version ${VERSION}: operator and launcher image must be of one release`,
    );
  }
  const spec = checked(document);
  refuseDuplicates("disks", spec.disks);
  refuseDuplicates("interfaces", spec.interfaces);
  refuseDuplicates("domain.inputs", spec.domain.inputs ?? []);
  refuseAbsentIoThreads(spec);
  refusePartOfPage(spec.domain);
  return spec;
}

function powerOfTwo(value: unknown, at: string): number {
  const number = integer({ min: 512, max: 2 * 1024 * 1024 })(value, at);
  if (!Number.isInteger(Math.log2(number)))
    throw new CheckError(`${at}: must be a power of two, is ${number}`);
  return number;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw invalid(`${ENV_LAUNCH_SPEC} is not JSON`, cause);
  }
}

function checked(document: unknown): LaunchSpec {
  try {
    return launchSpec(document, "");
  } catch (cause) {
    throw invalid(`LaunchSpec ${(cause as Error).message}`, cause);
  }
}

function refuseDuplicates(field: string, items: readonly { readonly name: string }[]): void {
  const seen = new Set<string>();
  for (const item of items) {
    if (seen.has(item.name)) throw invalid(`LaunchSpec ${field}: two are named ${item.name}`);
    seen.add(item.name);
  }
}

function refuseAbsentIoThreads({ disks, domain: { ioThreads = 0 } }: LaunchSpec): void {
  for (const { name, ioThread = 0 } of disks) {
    if (ioThread > ioThreads) {
      throw invalid(
        `LaunchSpec disks: ${name} is served by I/O thread ${ioThread}, but the domain has ${ioThreads}`,
      );
    }
  }
}

/** libvirt would round the guest's memory up, and the pod has no page more. */
function refusePartOfPage({ memoryBytes, hugepageBytes }: LaunchDomain): void {
  if (hugepageBytes !== undefined && memoryBytes % hugepageBytes !== 0) {
    throw invalid(
      `LaunchSpec domain.memoryBytes: ${memoryBytes} is no multiple of the huge page's ${hugepageBytes}`,
    );
  }
}

function invalid(message: string, cause?: unknown): LauncherError {
  return new LauncherError("LaunchSpecInvalid", message, { cause });
}
