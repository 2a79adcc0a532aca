/** Which of the launcher's dedicated CPUs runs what of its domain. Pure. */
import type { LaunchCpu, LaunchDedicatedCpu } from "../../api/launch-spec.ts";
import { LauncherError } from "../errors.ts";

/** CPUs as the kernel numbers them. */
export interface HostCpus {
  /** That the launcher may run on. */
  readonly allowed: ReadonlySet<number>;
  /** All of the node's. */
  readonly online: ReadonlySet<number>;
  /** Threads of one core, for each CPU of `allowed`. */
  readonly siblings: ReadonlyMap<number, ReadonlySet<number>>;
}

export interface CpuPinning {
  /** CPU of each vCPU, by its number. */
  readonly vcpus: readonly number[];
  /** CPUs of all other threads: qemu's main loop, its I/O threads and helpers. */
  readonly emulator: readonly number[];
}

/**
 * vCPUs go to whole cores first, and the threads of one core to neighbours: with `threads: 2` the guest's siblings are the
 * node's. An isolated emulator gets the CPU that this leaves over.
 * @param nodeName for the error
 * @throws LauncherError CpusNotDedicated
 */
export function planPinning(
  { cores, sockets, threads }: LaunchCpu,
  { isolateEmulatorThread }: LaunchDedicatedCpu,
  host: HostCpus,
  nodeName: string,
): CpuPinning {
  const vcpus = sockets * cores * threads;
  const wanted = vcpus + (isolateEmulatorThread ? 1 : 0);
  if (host.allowed.size !== wanted || isWholeNode(host)) throw notDedicated(wanted, host.allowed, nodeName);
  const cpus = byCore(host);
  return {
    vcpus: cpus.slice(0, vcpus),
    emulator: isolateEmulatorThread ? cpus.slice(vcpus) : ascending(cpus),
  };
}

/** The static policy always keeps a CPU for everybody: who may use all of them has none to himself. */
function isWholeNode({ allowed, online }: HostCpus): boolean {
  return [...online].every((cpu) => allowed.has(cpu));
}

/** Cores of which the most threads are there come first. */
function byCore({ allowed, siblings }: HostCpus): readonly number[] {
  const cores = new Map<number, number[]>();
  for (const cpu of ascending(allowed)) {
    const threads = ascending([...(siblings.get(cpu) ?? []), cpu].filter((one) => allowed.has(one)));
    const first = threads[0] ?? cpu;
    cores.set(first, [...(cores.get(first) ?? []), cpu]);
  }
  return [...cores.values()].toSorted((a, b) => b.length - a.length).flat();
}

function ascending(cpus: Iterable<number>): readonly number[] {
  return [...cpus].toSorted((a, b) => a - b);
}

function notDedicated(wanted: number, allowed: ReadonlySet<number>, nodeName: string): LauncherError {
  const cpus = (count: number) => (count === 1 ? "1 CPU" : `${count} CPUs`);
  return new LauncherError(
    "CpusNotDedicated",
    `the machine asks for ${cpus(wanted)} of its own (dedicatedCpuPlacement), but node ${nodeName} lets its launcher run ` +
      `on ${cpus(allowed.size)} (${ascending(allowed).join(", ")}) that are not set apart for it: set the kubelet's ` +
      "cpuManagerPolicy there to static, or have the machine run on nodes that have it, by a nodeSelector",
  );
}
