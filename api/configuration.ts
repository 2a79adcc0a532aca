/**
 * The installation's configuration, as the chart writes it into the ConfigMap `virtpod-config`. The operator reads it
 * while it runs, and passes on to the agents what concerns them. What names who and where a program is (images,
 * folders, addresses) is no part of it: that is in the programs' environment, and a change restarts them. Pure.
 */
import { Type } from "typebox";
import { nodeBurstStrategy } from "./cpu-burst.ts";
import { type CpuBurstConfiguration, cpuBurstConfigurationSchema } from "./cpu-burst-schema.ts";
import { choice, type Data, object } from "./schema.ts";

/** ConfigMaps in the operator's namespace: what is wanted, and what the operator made of it. */
export const CONFIG_MAP = "virtpod-config";
export const CONFIG_MAP_IN_FORCE = "virtpod-config-in-force";
/** Key of the document in both. */
export const CONFIG_KEY = "config.json";
/** Keys of the second one: version of the document in force; why the wanted one isn't. */
export const CONFIG_VERSION_KEY = "version";
export const CONFIG_REFUSED_KEY = "refused";

export const LOG_LEVELS = ["trace", "debug", "info", "warn", "error"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

function flag(description: string) {
  return Type.Optional(Type.Boolean({ description }));
}

export const configurationSchema = object({
  logLevel: Type.Optional(choice(LOG_LEVELS, { description: "Of operator and agents. Default: info." })),
  useEmulation: flag("Guests run without KVM where no connected node has it. Default: false."),
  allowHostDisk: flag("VMs may have hostDisk volumes. Default: false."),
  allowServiceAccountDisk: flag("VMs may have serviceAccount volumes. Default: false."),
  allowUnguardedInterfaces: flag("VMs may have interfaces without the guard. Default: false."),
  cpuAllocationRatio: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 1000,
      description:
        "vCPUs per CPU that is requested for a VM that names no CPU request and no limit. Default: 10.",
    }),
  ),
  memoryOvercommit: Type.Optional(
    Type.Integer({
      minimum: 10,
      maximum: 1000,
      description:
        "Guest memory in per cent of what is requested for a VM that names no memory request and no limit. Default: 100.",
    }),
  ),
  cpuBurst: Type.Optional(cpuBurstConfigurationSchema),
});

export type ConfigurationDocument = Data<typeof configurationSchema>;

/** The document with every default in its place. */
export interface Configuration {
  readonly logLevel: LogLevel;
  readonly useEmulation: boolean;
  readonly allowHostDisk: boolean;
  readonly allowServiceAccountDisk: boolean;
  readonly allowUnguardedInterfaces: boolean;
  /** vCPUs per requested CPU. */
  readonly cpuAllocationRatio: number;
  /** Guest memory in per cent of its request. */
  readonly memoryOvercommit: number;
  readonly cpuBurst: CpuBurstConfiguration;
}

/** Fields come in one order, so that equal configurations have one text. */
export function resolveConfiguration(document: ConfigurationDocument): Configuration {
  const { cpuBurst = {} } = document;
  const { clusterStrategy = {}, nodeStrategies = [] } = cpuBurst;
  return {
    logLevel: document.logLevel ?? "info",
    useEmulation: document.useEmulation ?? false,
    allowHostDisk: document.allowHostDisk ?? false,
    allowServiceAccountDisk: document.allowServiceAccountDisk ?? false,
    allowUnguardedInterfaces: document.allowUnguardedInterfaces ?? false,
    cpuAllocationRatio: document.cpuAllocationRatio ?? 10,
    memoryOvercommit: document.memoryOvercommit ?? 100,
    cpuBurst: {
      clusterStrategy: nodeBurstStrategy({ clusterStrategy }, {}),
      ...(nodeStrategies.length === 0 ? {} : { nodeStrategies }),
    },
  };
}

export const DEFAULT_CONFIGURATION: Configuration = resolveConfiguration({});
