/** The CPU of a launcher pod: what its spec says, and what the kubelet has made of it; pure. */
import { LAUNCHER_CONTAINER } from "../../api/names.ts";
import type { Quantity } from "../../api/schema.ts";
import type { Pod, PodSpec, ResourceRequirements } from "../../kube/resources.ts";
import { quantityNanos } from "../../lib/quantity.ts";

const NANOS_PER_MILLI = 1_000_000n;

/** In thousandths of a CPU; absent where there is none. */
export interface CpuAmounts {
  readonly limit?: number;
  readonly request?: number;
}

/** Of the launcher's container. */
export interface PodCpu extends CpuAmounts {
  /** Of the pod's other containers; absent where a container has no limit, and so the pod. */
  readonly others?: OtherLimits;
  /** As the kubelet tells it has made it; absent before it told. */
  readonly actual?: CpuAmounts;
  /** The kubelet has been asked for another amount, and hasn't made it so. */
  readonly resize?: PodResize;
}

/** In thousandths of a CPU. The kubelet limits the pod to the launcher's limit and `beside`, and to `before` at least. */
export interface OtherLimits {
  /** Those that run beside the launcher, together: sidecars may be init containers, too. */
  readonly beside: number;
  /** The most that is needed at once before it runs. */
  readonly before: number;
}

export interface PodResize {
  /** `Deferred`: the node has no room now. `Infeasible`: never there. `InProgress`; `Error`. */
  readonly reason: string;
  readonly message: string;
}

export function podCpu({ spec, status }: Pod): PodCpu {
  const container = spec.containers.find(({ name }) => name === LAUNCHER_CONTAINER);
  const told = status?.containerStatuses?.find(({ name }) => name === LAUNCHER_CONTAINER)?.resources;
  const others = otherLimits(spec);
  const resize = resizeOf(status);
  return {
    ...cpuAmounts(container?.resources),
    ...(others === undefined ? {} : { others }),
    ...(told === undefined ? {} : { actual: cpuAmounts(told) }),
    ...(resize === undefined ? {} : { resize }),
  };
}

/** As the kubelet adds them up (ResourceConfigForPod, PodLimits). */
function otherLimits({ containers, initContainers = [] }: PodSpec): OtherLimits | undefined {
  let [beside, before] = [0, 0];
  for (const { name, resources } of containers) {
    const { limit } = cpuAmounts(resources);
    if (limit === undefined) return undefined;
    if (name !== LAUNCHER_CONTAINER) beside += limit;
  }
  let sidecars = 0;
  for (const { resources, restartPolicy } of initContainers) {
    const { limit } = cpuAmounts(resources);
    if (limit === undefined) return undefined;
    if (restartPolicy === "Always") sidecars += limit;
    before = Math.max(before, restartPolicy === "Always" ? sidecars : sidecars + limit);
  }
  return { beside: beside + sidecars, before };
}

function cpuAmounts({ limits, requests }: ResourceRequirements = {}): CpuAmounts {
  return amountsOf(limits?.["cpu"], requests?.["cpu"]);
}

/** A limit of 0 is none. @throws QuantityError */
export function amountsOf(limit: Quantity | undefined, request: Quantity | undefined): CpuAmounts {
  const milliLimit = limit === undefined ? 0 : milliCpu(limit);
  return {
    ...(milliLimit === 0 ? {} : { limit: milliLimit }),
    ...(request === undefined ? {} : { request: milliCpu(request) }),
  };
}

/** Rounded up, as Kubernetes keeps CPU. */
function milliCpu(quantity: string | number): number {
  return Number((quantityNanos(quantity) + NANOS_PER_MILLI - 1n) / NANOS_PER_MILLI);
}

function resizeOf(status: Pod["status"]): PodResize | undefined {
  const of = (type: string) =>
    status?.conditions?.find((condition) => condition.type === type && condition.status === "True");
  const pending = of("PodResizePending");
  if (pending !== undefined) return { reason: pending.reason ?? "Deferred", message: pending.message ?? "" };
  const inProgress = of("PodResizeInProgress");
  if (inProgress === undefined) return undefined;
  return { reason: inProgress.reason || "InProgress", message: inProgress.message ?? "" };
}
