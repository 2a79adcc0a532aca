/** A launcher pod's CPU as its cgroups on this machine tell and take it; root. */
import { existsSync, readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { LEVELS, type Level } from "../../agent/cpu-burst/bandwidth.ts";
import { usageSeconds } from "../../agent/cpu-burst/cgroup.ts";
import { type CgroupLocation, locate } from "../../agent/cpu-burst/location.ts";
import { cgroupsOf, type PodCgroups } from "../../agent/cpu-burst/reset.ts";
import type { Pod } from "../../kube/resources.ts";
import { processesOf } from "./node.ts";

const CGROUP_ROOT = "/sys/fs/cgroup";

/** Of the pod and of its container, in microseconds. */
export type PodAndContainer = readonly [number | null, number | null];

export class LauncherCgroups {
  readonly #location: CgroupLocation;
  readonly #cgroups: PodCgroups;

  /** @throws Error where the pod has no qemu, or its cgroups aren't mounted */
  constructor({ metadata }: Pod) {
    const qemu = processesOf(metadata.uid).find(({ program }) => program.startsWith("qemu-system"));
    if (qemu === undefined) throw new Error(`pod ${metadata.name} has no qemu`);
    const location = locate(CGROUP_ROOT, readFileSync(`/proc/${qemu.pid}/cgroup`, "utf8"), existsSync);
    if (location === undefined) throw new Error(`the CPU cgroup of pod ${metadata.name} isn't mounted`);
    this.#location = location;
    this.#cgroups = cgroupsOf(location);
  }

  get usageSeconds(): number {
    return usageSeconds(this.#location.version, this.#location.accounting);
  }

  /** Periods in which the pod or its container stood still. */
  get throttledPeriods(): number {
    return LEVELS.reduce((sum, level) => sum + this.#cgroups[level].stat().throttledPeriods, 0);
  }

  get bursts(): PodAndContainer {
    return [this.#at("pod").burstMicros, this.#at("container").burstMicros];
  }

  get quotas(): PodAndContainer {
    return [this.#at("pod").quotaMicros, this.#at("container").quotaMicros];
  }

  /** Writes as if nobody else did: first what lets the other be written. */
  setQuotas(micros: number): void {
    const rises = micros > (this.#at("container").quotaMicros ?? Infinity);
    for (const level of rises ? LEVELS : LEVELS.toReversed()) this.#cgroups[level].setQuota(micros);
  }

  setBursts(micros: number): void {
    for (const level of LEVELS) this.#cgroups[level].setBurst(micros);
  }

  /**
   * Looks until it is so: the kernel tells nobody when another writes.
   * @throws Error with what there is after the deadline
   */
  async until(what: string, timeoutMs: number, when: (cgroups: this) => boolean): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    while (!when(this)) {
      if (performance.now() > deadline) {
        const { quotas, bursts } = this;
        throw new Error(`no ${what} after ${timeoutMs} ms: ${JSON.stringify({ quotas, bursts })}`);
      }
      await delay(20);
    }
  }

  #at(level: Level) {
    return this.#cgroups[level].bandwidth();
  }
}
