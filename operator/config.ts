/** What the chart tells the operator: checked once at the start, so that a mistake is told and not acted on. */

import { OperatorError } from "./errors.ts";
import type { LauncherPodOptions } from "./vmi/launcher-pod.ts";

export interface OperatorConfig {
  readonly podName: string;
  readonly namespace: string;
  /** Guests may run without KVM where no node has it. */
  readonly useEmulation: boolean;
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
  return {
    podName: required("POD_NAME"),
    namespace: required("POD_NAMESPACE"),
    useEmulation: parseFile(file).useEmulation,
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

function parseFile(file: string): { readonly useEmulation: boolean } {
  let value: unknown;
  try {
    value = JSON.parse(file);
  } catch (cause) {
    throw invalid("the configuration file is not JSON", cause);
  }
  if (typeof value !== "object" || value === null) throw invalid("the configuration file holds no object");
  const { useEmulation, ...unknown } = value as Record<string, unknown>;
  const [stranger] = Object.keys(unknown);
  if (stranger !== undefined) throw invalid(`the configuration file has an unknown field ${stranger}`);
  if (typeof useEmulation !== "boolean")
    throw invalid("useEmulation in the configuration file is no boolean");
  return { useEmulation };
}

function invalid(problem: string, cause?: unknown): OperatorError {
  return new OperatorError("InvalidConfiguration", `the operator can't start: ${problem}`, { cause });
}
