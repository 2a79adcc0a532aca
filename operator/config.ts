/** What the operator's environment tells it, checked once at the start; what may change meanwhile is in `configuration/`. */

import { OperatorError } from "./errors.ts";
import type { LauncherPodOptions } from "./vmi/launcher-pod.ts";

export interface OperatorConfig {
  readonly podName: string;
  readonly namespace: string;
  readonly launcher: LauncherPodOptions;
}

const PULL_POLICIES = ["Always", "IfNotPresent", "Never"] as const;

/**
 * @param environment the process's environment
 * @throws OperatorError InvalidConfiguration naming the variable
 */
export function parseConfig(environment: Readonly<Record<string, string | undefined>>): OperatorConfig {
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
  return {
    podName: required("POD_NAME"),
    namespace: required("POD_NAMESPACE"),
    launcher: {
      image: required("VIRTPOD_LAUNCHER_IMAGE"),
      imagePullPolicy,
      imagePullSecrets: (environment["VIRTPOD_LAUNCHER_PULL_SECRETS"] ?? "")
        .split(",")
        .filter((name) => name !== ""),
    },
  };
}

function invalid(problem: string): OperatorError {
  return new OperatorError("InvalidConfiguration", `the operator can't start: ${problem}`);
}
