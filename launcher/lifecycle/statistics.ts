/** libvirt's flat parameters → DomainStatistics; pure. */
import {
  type DomainStatistics,
  MAX_VCPUS,
  type MemoryStatistics,
  VCPU_STATES,
  type VcpuStatistics,
} from "../../api/domain-statistics.ts";
import type { TypedParameters } from "../libvirt/structures.ts";

const NANOSECONDS = 1e9;
const KIBIBYTE = 1024;

/** `balloon.*` by ours. Amounts are in KiB, faults are counts. */
const MEMORY: Readonly<Record<keyof MemoryStatistics, readonly [name: string, factor: number]>> = {
  domain: ["maximum", KIBIBYTE],
  actualBalloon: ["current", KIBIBYTE],
  resident: ["rss", KIBIBYTE],
  available: ["available", KIBIBYTE],
  unused: ["unused", KIBIBYTE],
  usable: ["usable", KIBIBYTE],
  cached: ["disk_caches", KIBIBYTE],
  swapIn: ["swap_in", KIBIBYTE],
  swapOut: ["swap_out", KIBIBYTE],
  majorFaults: ["major_fault", 1],
  minorFaults: ["minor_fault", 1],
};

/** @param parameters groups cpu, balloon and vcpu of `domainStats` */
export function domainStatistics(parameters: TypedParameters): DomainStatistics {
  const number = (name: string): number | undefined => {
    const value = parameters[name];
    return typeof value === "number" || typeof value === "bigint" ? Number(value) : undefined;
  };
  const seconds = (name: string) => (number(name) ?? 0) / NANOSECONDS;
  const vcpus = Math.min(number("vcpu.maximum") ?? 0, MAX_VCPUS);
  return {
    cpu: {
      seconds: seconds("cpu.time"),
      userSeconds: seconds("cpu.user"),
      systemSeconds: seconds("cpu.system"),
    },
    vcpus: Array.from({ length: vcpus }, (_, id) => vcpuOf(id, number)).filter((one) => one !== undefined),
    memory: Object.fromEntries(
      Object.entries(MEMORY).flatMap(([ours, [theirs, factor]]) => {
        const value = number(`balloon.${theirs}`);
        return value === undefined ? [] : [[ours, value * factor]];
      }),
    ),
  };
}

function vcpuOf(id: number, number: (name: string) => number | undefined): VcpuStatistics | undefined {
  const state = VCPU_STATES[number(`vcpu.${id}.state`) ?? -1];
  if (state === undefined) return undefined;
  const [wait, delay] = [number(`vcpu.${id}.wait`), number(`vcpu.${id}.delay`)];
  return {
    id,
    state,
    seconds: (number(`vcpu.${id}.time`) ?? 0) / NANOSECONDS,
    ...(wait === undefined ? {} : { waitSeconds: wait / NANOSECONDS }),
    ...(delay === undefined ? {} : { delaySeconds: delay / NANOSECONDS }),
  };
}
