/** Reads the LaunchSpec out of the environment's string. */
import type {
  LaunchCpu,
  LaunchDisk,
  LaunchDiskSource,
  LaunchDomain,
  LaunchInterface,
  LaunchKernelBoot,
  LaunchSpec,
} from "../api/launch-spec.ts";
import { ENV_LAUNCH_SPEC } from "../api/names.ts";
import { array, boolean, type Check, integer, object, oneOf, optional, string, tagged } from "./check.ts";
import { LauncherError } from "./errors.ts";

/** The only version of the document that this launcher reads. */
const VERSION = 1;
const MAX_DISKS = 64;
/** bridgeAddress() has ten. */
const MAX_INTERFACES = 10;

const name = string({
  maxLength: 253,
  pattern: /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/,
  what: "a lower-case DNS name",
});
const uuid = string({ pattern: /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i, what: "a UUID" });
/** Without `..`, so that a path stays below the directory it is joined to. */
const path = string({ pattern: /^\/(?!(.*\/)?\.\.(\/|$))/, what: "an absolute path without .." });
const positive = integer({ min: 1 });

const cpu = object<LaunchCpu>({
  sockets: positive,
  cores: positive,
  threads: positive,
  model: string({ pattern: /^[A-Za-z0-9_.-]+$/, what: "a CPU model" }),
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
  tcgCacheBytes: optional(positive),
  kernelBoot: optional(kernelBoot),
  graphics: boolean,
  serialConsole: boolean,
  memBalloon: boolean,
  rng: boolean,
});

const diskSource: Check<LaunchDiskSource> = tagged<LaunchDiskSource>("kind", {
  containerDisk: object<Extract<LaunchDiskSource, { kind: "containerDisk" }>>({
    kind: oneOf("containerDisk"),
    imageDirectory: path,
    path: optional(path),
    overlayPath: path,
  }),
  emptyDisk: object<Extract<LaunchDiskSource, { kind: "emptyDisk" }>>({
    kind: oneOf("emptyDisk"),
    path,
    capacityBytes: positive,
  }),
});

const disk = object<LaunchDisk>({
  name,
  device: oneOf("disk", "cdrom", "lun"),
  bus: oneOf("virtio", "sata", "scsi", "usb"),
  readonly: boolean,
  bootOrder: optional(positive),
  serial: optional(string({ maxLength: 256 })),
  cache: optional(oneOf("none", "writethrough", "writeback")),
  source: diskSource,
});

const launchInterface = object<LaunchInterface>({
  name,
  binding: oneOf("bridge"),
  // IFNAMSIZ is 16, with the terminating NUL.
  podInterface: string({ maxLength: 15, pattern: /^[^\s/]+$/, what: "the name of a network interface" }),
  model: oneOf("virtio", "e1000", "e1000e", "rtl8139"),
  bootOrder: optional(positive),
  queues: integer({ min: 1, max: 256 }),
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
  return spec;
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

function invalid(message: string, cause?: unknown): LauncherError {
  return new LauncherError("LaunchSpecInvalid", message, { cause });
}
