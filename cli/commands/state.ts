/** `virtpod start`, `stop`, `restart`, `pause`, `unpause`, `reset`, `soft-reboot`: ask, and say what was asked for, as virtctl does. */
import { type ClusterFlags, clusterOf } from "../cluster.ts";
import { CliError } from "../errors.ts";
import { withProgress } from "../progress.ts";
import { putJson } from "../request.ts";
import { subresourcePath } from "../subresource.ts";
import { parseKind } from "../target.ts";

export interface StateFlags extends ClusterFlags {
  readonly paused?: boolean;
  readonly force?: boolean;
  /** Seconds. */
  readonly gracePeriod?: number;
  readonly dryRun?: boolean;
}

interface Action {
  readonly resource: "virtualmachines" | "virtualmachineinstances";
  /** Of the machine's name. */
  readonly done: (name: string) => string;
}

const ACTIONS = {
  start: { resource: "virtualmachines", done: (name) => `VM ${name} was scheduled to start` },
  stop: { resource: "virtualmachines", done: (name) => `VM ${name} was scheduled to stop` },
  restart: { resource: "virtualmachines", done: (name) => `VM ${name} was scheduled to restart` },
  pause: { resource: "virtualmachineinstances", done: (name) => `VMI ${name} was scheduled to pause` },
  unpause: { resource: "virtualmachineinstances", done: (name) => `VMI ${name} was scheduled to unpause` },
  reset: { resource: "virtualmachineinstances", done: (name) => `VMI ${name} was scheduled to reset` },
  softreboot: {
    resource: "virtualmachineinstances",
    done: (name) => `VMI ${name} was scheduled to soft reboot`,
  },
} satisfies Readonly<Record<string, Action>>;

/** @throws CliError with the server's own sentence where it refuses */
export async function changeState(
  subresource: keyof typeof ACTIONS,
  name: string,
  flags: StateFlags,
): Promise<void> {
  const cluster = clusterOf(flags);
  const { resource, done } = ACTIONS[subresource];
  const target = { namespace: cluster.namespace, resource, name, subresource };
  const asked = putJson(cluster, subresourcePath(target), optionsOf(subresource, flags));
  await withProgress(`asking for the ${subresource} of ${cluster.namespace}/${name}`, asked);
  process.stdout.write(`${done(name)}${flags.dryRun ? " (dry run)" : ""}\n`);
}

/** virtctl pauses `vm NAME` and `vmi NAME`, which is the same machine; a name alone will do. @throws CliError */
export function machineName(words: readonly string[]): string {
  const [first = "", second] = words;
  if (second === undefined) return first;
  parseKind(first);
  if (second === "") throw new CliError("the machine's name is empty");
  return second;
}

/** KubeVirt's options of the request; its StopOptions and RestartOptions name the grace period differently. */
export function optionsOf(
  subresource: keyof typeof ACTIONS,
  { paused, force, gracePeriod, dryRun }: StateFlags,
): object {
  const seconds = gracePeriod ?? (force ? 0 : undefined);
  const key = subresource === "stop" ? "gracePeriod" : "gracePeriodSeconds";
  return {
    ...(paused && { paused }),
    ...(seconds !== undefined && { [key]: seconds }),
    ...(dryRun && { dryRun: ["All"] }),
  };
}
