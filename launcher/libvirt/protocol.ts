/**
 * Numbers of libvirt's remote protocol (src/remote/remote_protocol.x, qemu_protocol.x). They are append-only: the
 * same in every release since they were given.
 */

export const PROGRAM = { remote: 0x20008086, qemu: 0x20008087, keepalive: 0x6b656570 } as const;
export const PROTOCOL_VERSION = 1;

export const KEEPALIVE = { ping: 1, pong: 2 } as const;

export interface Procedure {
  readonly program: number;
  readonly number: number;
  /** For error messages. */
  readonly name: string;
}

function remote(number: number, name: string): Procedure {
  return { program: PROGRAM.remote, number, name };
}

export const PROCEDURE = {
  connectOpen: remote(1, "connect open"),
  connectClose: remote(2, "connect close"),
  connectGetVersion: remote(4, "connect get version"),
  connectGetLibVersion: remote(157, "connect get library version"),
  connectGetDomainCapabilities: remote(342, "connect get domain capabilities"),
  authList: remote(66, "authentication list"),
  connectListAllDomains: remote(273, "connect list all domains"),
  connectGetAllDomainStats: remote(344, "connect get all domain stats"),
  domainLookupByUuid: remote(24, "domain lookup"),
  domainCreateXml: remote(10, "domain create"),
  domainDefineXmlFlags: remote(350, "domain define"),
  domainCreateWithFlags: remote(196, "domain start"),
  domainUndefineFlags: remote(231, "domain undefine"),
  domainDestroyFlags: remote(234, "domain destroy"),
  domainShutdownFlags: remote(258, "domain shutdown"),
  domainReboot: remote(27, "domain reboot"),
  domainReset: remote(245, "domain reset"),
  domainSuspend: remote(34, "domain suspend"),
  domainResume: remote(28, "domain resume"),
  domainGetState: remote(212, "domain get state"),
  domainGetInfo: remote(16, "domain get info"),
  domainGetXmlDesc: remote(14, "domain get XML"),
  domainMemoryStats: remote(159, "domain memory stats"),
  eventRegister: remote(316, "event register"),
  eventDeregister: remote(317, "event deregister"),
  agentCommand: { program: PROGRAM.qemu, number: 3, name: "agent command" },
  monitorCommand: { program: PROGRAM.qemu, number: 1, name: "monitor command" },
} as const satisfies Record<string, Procedure>;

/** virDomainCreateFlags, virDomainDefineFlags. */
export const CREATE_PAUSED = 1;
export const CREATE_VALIDATE = 16;
export const DEFINE_VALIDATE = 1;
/** virDomainShutdownFlagValues: the ACPI power button; virDomainRebootFlagValues has the same number. */
export const POWER_BUTTON = 1;

/** Limits of arrays (REMOTE_*_MAX). */
export const MAX_DOMAINS = 16_384;
export const MAX_STATS_PARAMETERS = 262_144;
export const MAX_MEMORY_STATS = 1_024;
export const MAX_AUTH_TYPES = 20;

/** virDomainEventID, and the procedure number of the message that brings it. */
export const EVENT = {
  lifecycle: { id: 0, message: 318 },
  reboot: { id: 1, message: 319 },
  watchdog: { id: 3, message: 321 },
  ioErrorReason: { id: 6, message: 324 },
  controlError: { id: 7, message: 325 },
  agentLifecycle: { id: 18, message: 348 },
} as const;

/** virDomainMemoryStatTags by its number. */
export const MEMORY_STATS = [
  "swapIn",
  "swapOut",
  "majorFault",
  "minorFault",
  "unused",
  "available",
  "actualBalloon",
  "rss",
  "usable",
  "lastUpdate",
  "diskCaches",
  "hugetlbPageAllocations",
  "hugetlbPageFailures",
] as const;
export type MemoryStatName = (typeof MEMORY_STATS)[number];
