/** What the chart tells the operator: checked once at the start, so that a mistake is told and not acted on. */

import { OperatorError } from "./errors.ts";
import type { LauncherPodOptions } from "./vmi/launcher-pod.ts";
import type { StoragePolicy } from "./vmi/storage-policy.ts";
import type { NetworkPolicy } from "./vmi/unguarded.ts";

export interface OperatorConfig {
  readonly podName: string;
  readonly namespace: string;
  /** Guests may run without KVM where no node has it. */
  readonly useEmulation: boolean;
  readonly storage: StoragePolicy;
  readonly network: NetworkPolicy;
  readonly launcher: LauncherPodOptions;
  readonly logLevel: string;
}

const PULL_POLICIES = ["Always", "IfNotPresent", "Never"] as const;
const LOG_LEVELS = ["trace", "debug", "info", "warn", "error"];

/**
 * @param environment the process's environment
 * @param file content of the configuration file that VIRTPOD_CONFIG names
 * @throws OperatorError InvalidConfiguration naming the variable or field
 */
export function parseConfig(
  environment: Readonly<Record<string, string | undefined>>,
  file: string,
): OperatorConfig {
  const required = (name: string): string => {
    const value = environment[name];
    if (value === undefined || value === "") throw invalid(`the environment variable ${name} is missing`);
    return value;
  };
  const pullPolicy = environment["VIRTPOD_LAUNCHER_PULL_POLICY"] ?? "IfNotPresent";
  const imagePullPolicy = PULL_POLICIES.find((policy) => policy === pullPolicy);
  if (imagePullPolicy === undefined) {
    throw invalid(`VIRTPOD_LAUNCHER_PULL_POLICY is ${pullPolicy}, not one of ${PULL_POLICIES.join(", ")}`);
  }
  const logLevel = environment["VIRTPOD_LOG_LEVEL"] ?? "info";
  if (!LOG_LEVELS.includes(logLevel)) {
    throw invalid(`VIRTPOD_LOG_LEVEL is ${logLevel}, not one of ${LOG_LEVELS.join(", ")}`);
  }
  const { useEmulation, allowHostDisk, allowServiceAccountDisk, allowUnguardedInterfaces } = parseFile(file);
  return {
    podName: required("POD_NAME"),
    namespace: required("POD_NAMESPACE"),
    useEmulation,
    storage: { allowHostDisk, allowServiceAccountDisk },
    network: { allowUnguardedInterfaces },
    launcher: {
      image: required("VIRTPOD_LAUNCHER_IMAGE"),
      imagePullPolicy,
      imagePullSecrets: (environment["VIRTPOD_LAUNCHER_PULL_SECRETS"] ?? "")
        .split(",")
        .filter((name) => name !== ""),
    },
    logLevel,
  };
}

const FILE_FIELDS = [
  "useEmulation",
  "allowHostDisk",
  "allowServiceAccountDisk",
  "allowUnguardedInterfaces",
] as const;

function parseFile(file: string): Record<(typeof FILE_FIELDS)[number], boolean> {
  let value: unknown;
  try {
    value = JSON.parse(file);
  } catch (cause) {
    throw invalid("the configuration file is not JSON", cause);
  }
  if (typeof value !== "object" || value === null) throw invalid("the configuration file holds no object");
  const fields = value as Readonly<Record<string, unknown>>;
  const stranger = Object.keys(fields).find((name) => !FILE_FIELDS.some((field) => field === name));
  if (stranger !== undefined) throw invalid(`the configuration file has an unknown field ${stranger}`);
  const flag = (name: (typeof FILE_FIELDS)[number], absent?: boolean): boolean => {
    const flagged = fields[name] ?? absent;
    if (typeof flagged !== "boolean") throw invalid(`${name} in the configuration file is no boolean`);
    return flagged;
  };
  return {
    useEmulation: flag("useEmulation"),
    allowHostDisk: flag("allowHostDisk", false),
    allowServiceAccountDisk: flag("allowServiceAccountDisk", false),
    allowUnguardedInterfaces: flag("allowUnguardedInterfaces", false),
  };
}

function invalid(problem: string, cause?: unknown): OperatorError {
  return new OperatorError("InvalidConfiguration", `the operator can't start: ${problem}`, { cause });
}
