/** A launcher pod's CPU as its cgroups tell it; needs root on the node. */
import { existsSync, readFileSync } from "node:fs";
import { LEVELS } from "../agent/cpu-burst/bandwidth.ts";
import { usageSeconds } from "../agent/cpu-burst/cgroup.ts";
import { type CgroupLocation, locate } from "../agent/cpu-burst/location.ts";
import { cgroupsOf, type PodCgroups } from "../agent/cpu-burst/reset.ts";
import type { Pod } from "../kube/resources.ts";
import { sleep } from "../lib/clock.ts";
import { podProcesses } from "./pod-processes.ts";

const CGROUP_ROOT = "/sys/fs/cgroup";
const CHANGE_TIMEOUT_MS = 30_000;

export class LauncherCgroups {
  readonly #location: CgroupLocation;
  readonly #cgroups: PodCgroups;

  /** @throws Error where the pod has no qemu, or its cgroups aren't mounted */
  constructor({ metadata }: Pod) {
    const qemu = podProcesses(metadata.uid).find(({ program }) => program.startsWith("qemu-system"));
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

  get burstMicros(): number {
    return this.#cgroups.container.bandwidth().burstMicros ?? 0;
  }

  /** Waits until the container and its pod may save something up, or no longer. */
  async untilBurst(isAllowed: boolean): Promise<void> {
    const deadline = Date.now() + CHANGE_TIMEOUT_MS;
    const isSo = () =>
      LEVELS.every((level) => (this.#cgroups[level].bandwidth().burstMicros ?? 0) > 0 === isAllowed);
    // The kernel tells nobody when it changes.
    while (!isSo()) {
      if (Date.now() > deadline) {
        throw new Error(`the launcher's burst is still ${this.burstMicros} µs after ${CHANGE_TIMEOUT_MS} ms`);
      }
      await sleep(20);
    }
  }

  /** Takes away what may be saved up: harm for a control run. */
  withholdBurst(): void {
    this.#cgroups.container.setBurst(0);
    this.#cgroups.pod.setBurst(0);
  }
}
