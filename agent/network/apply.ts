/** Reads a namespace and makes it as planned; each function is one process. */
import { NetworkError } from "./errors.ts";
import type { Namespace } from "./namespace.ts";
import {
  OBSERVE_ARGUMENTS,
  OBSERVE_BATCH,
  type Observed,
  parseForwarding,
  parseObserved,
} from "./observed.ts";
import type { PlannedForwarding, PlannedSysctl } from "./plan/types.ts";
import { type LoadedRule, parseLoadedRules } from "./ruleset.ts";
import { type LinkStatistics, parseStatistics } from "./statistics.ts";

export async function readNetwork(namespace: Namespace, signal?: AbortSignal): Promise<Observed> {
  const batch = `${OBSERVE_BATCH.join("\n")}\n`;
  const output = await namespace.run(["ip", ...OBSERVE_ARGUMENTS], batch, signal);
  try {
    return parseObserved(output);
  } catch (cause) {
    throw new NetworkError("CommandFailed", `read the pod's network: ${String(cause)}`, { cause });
  }
}

/** By the link's number. */
export async function readStatistics(
  namespace: Namespace,
  signal?: AbortSignal,
): Promise<ReadonlyMap<number, LinkStatistics>> {
  return parseStatistics(await namespace.run(["ip", "-json", "-statistics", "link", "show"], "", signal));
}

export async function readGuard(namespace: Namespace, signal?: AbortSignal): Promise<readonly LoadedRule[]> {
  return parseLoadedRules(await namespace.run(["nft", "--json", "list", "ruleset"], "", signal));
}

/** Value by path; a file that doesn't exist is left out. */
export async function readSysctls(
  namespace: Namespace,
  sysctls: readonly PlannedSysctl[],
  signal?: AbortSignal,
): Promise<ReadonlyMap<string, string>> {
  // /proc/sys/net shows the namespace of the process that looks, so the reading is done inside. Not by the shell's
  // own `read`: it asks for one byte at a time, and these files end after the first.
  const script = 'cd /proc/sys && grep -s "" /dev/null "$@" || true';
  const paths = sysctls.map(({ path }) => path);
  const output = await namespace.run(["sh", "-c", script, "sh", ...paths], "", signal);
  return new Map(
    output
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => {
        const colon = line.lastIndexOf(":");
        return [line.slice(0, colon), line.slice(colon + 1)];
      }),
  );
}

export async function loadGuard(namespace: Namespace, ruleset: string, signal?: AbortSignal): Promise<void> {
  await namespace.run(["nft", "-f", "-"], ruleset, signal);
}

/** Stops at the first command that fails; those before it stay done. */
export async function changeLinks(
  namespace: Namespace,
  commands: readonly string[],
  signal?: AbortSignal,
): Promise<void> {
  try {
    await namespace.run(["ip", "-batch", "-"], `${commands.join("\n")}\n`, signal);
  } catch (error) {
    if (!(error instanceof NetworkError)) throw error;
    const line = /Command failed -:(\d+)/.exec(error.message)?.[1];
    if (line === undefined) throw error;
    const command = `ip ${commands[Number(line) - 1]}`;
    throw new NetworkError("CommandFailed", `${error.message} (${command})`, { cause: error });
  }
}

export async function readForwarding(
  namespace: Namespace,
  signal?: AbortSignal,
): Promise<readonly PlannedForwarding[]> {
  return parseForwarding(await namespace.run(["bridge", "-json", "fdb", "show"], "", signal));
}

/** ip(8) can't. */
export async function writeForwarding(
  namespace: Namespace,
  forwarding: readonly PlannedForwarding[],
  signal?: AbortSignal,
): Promise<void> {
  const lines = forwarding.map(
    ({ macAddress, port }) => `fdb replace ${macAddress} dev ${port} master static`,
  );
  await namespace.run(["bridge", "-batch", "-"], `${lines.join("\n")}\n`, signal);
}

export async function writeSysctls(
  namespace: Namespace,
  sysctls: readonly PlannedSysctl[],
  signal?: AbortSignal,
): Promise<void> {
  const lines = sysctls.map(({ path, value, optional }) => {
    const file = `"/proc/sys/${path}"`;
    return optional ? `[ ! -e ${file} ] || echo ${value} > ${file}` : `echo ${value} > ${file}`;
  });
  await namespace.run(["sh", "-e", "-s"], `${lines.join("\n")}\n`, signal);
}
