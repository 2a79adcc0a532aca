/**
 * When a VM's start reached each step, on this machine's clock. Steps of the API are seen on watches that are open
 * before the VM is created; those of the guest come from its log, which the container runtime stamps.
 */
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import type { Client } from "../../kube/client.ts";
import type { KubeObject, ResourceDescriptor } from "../../kube/objects.ts";
import { PODS, type Pod } from "../../kube/resources.ts";
import { VIRTUAL_MACHINE_INSTANCES } from "../../operator/kinds.ts";
import { followLog, LEASE, type LogLine } from "./log.ts";

/** In the order in which a start goes through them. */
export const STEPS = [
  "vmiCreated",
  "podCreated",
  "scheduled",
  "podStarted",
  "domainStarted",
  "lease",
  "http",
] as const;
export type Step = (typeof STEPS)[number];

/** Steps that a launcher pod shows. */
export function podSteps(pod: Pod): Step[] {
  const isStarted = pod.status?.containerStatuses?.some(({ state }) => state?.running !== undefined) === true;
  return [
    "podCreated",
    ...(pod.spec.nodeName === undefined ? [] : (["scheduled"] as const)),
    ...(isStarted ? (["podStarted"] as const) : []),
  ];
}

/** Steps that a VMI shows. */
export function vmiSteps(vmi: VirtualMachineInstance): Step[] {
  return ["vmiCreated", ...(vmi.status?.phase === "Running" ? (["domainStarted"] as const) : [])];
}

interface Waiter {
  readonly step: Step;
  readonly resolve: (atMs: number) => void;
}

export class Observer {
  /** Unix time of each step reached. */
  readonly reached = new Map<Step, number>();
  readonly lines: LogLine[] = [];
  /** The launcher pod, once there is one. */
  pod: Pod | undefined;
  /** The guest's address, once it has a lease. */
  address: string | undefined;
  /** The guest's own uptime at its lease. */
  leaseUptimeSeconds: number | undefined;
  readonly #client: Client;
  readonly #namespace: string;
  readonly #name: string;
  readonly #stop = new AbortController();
  readonly #waiters = new Set<Waiter>();
  readonly #failed: Promise<never>;
  #fail: (error: unknown) => void = () => {};

  private constructor(client: Client, namespace: string, name: string) {
    this.#client = client;
    this.#namespace = namespace;
    this.#name = name;
    this.#failed = new Promise((_, reject) => {
      this.#fail = reject;
    });
    this.#failed.catch(() => {});
  }

  /** Resolves when the watches are open: the VM may then be created. */
  static async start(client: Client, namespace: string, name: string): Promise<Observer> {
    const observer = new Observer(client, namespace, name);
    await observer.#watch(VIRTUAL_MACHINE_INSTANCES, { fieldSelector: `metadata.name=${name}` }, (vmi) =>
      observer.#reach(vmiSteps(vmi)),
    );
    await observer.#watch(PODS, { labelSelector: `vm.kubevirt.io/name=${name}` }, (pod) =>
      observer.#seePod(pod),
    );
    return observer;
  }

  /** @throws Error that names the step and what was reached */
  async until(step: Step, timeoutMs: number): Promise<number> {
    const atMs = this.reached.get(step);
    if (atMs !== undefined) return atMs;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(this.#lateMessage(step, timeoutMs))), timeoutMs);
    });
    const seen = new Promise<number>((resolve) => this.#waiters.add({ step, resolve }));
    try {
      return await Promise.race([seen, late, this.#failed]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Notes a step that only the caller can see. */
  mark(step: Step, atMs = Date.now()): void {
    this.#reach([step], atMs);
  }

  close(): void {
    this.#stop.abort();
  }

  #reach(steps: readonly Step[], atMs = Date.now()): void {
    for (const step of steps) {
      if (this.reached.has(step)) continue;
      this.reached.set(step, atMs);
      for (const waiter of this.#waiters) {
        if (waiter.step !== step) continue;
        this.#waiters.delete(waiter);
        waiter.resolve(atMs);
      }
    }
  }

  #seePod(pod: Pod): void {
    this.pod = pod;
    const wasStarted = this.reached.has("podStarted");
    this.#reach(podSteps(pod));
    if (!wasStarted && this.reached.has("podStarted")) this.#guard(this.#readLog(pod.metadata.name));
  }

  async #readLog(name: string): Promise<void> {
    for await (const line of followLog(
      this.#client,
      { namespace: this.#namespace, name },
      this.#stop.signal,
    )) {
      this.lines.push(line);
      const lease = LEASE.exec(line.text);
      if (lease === null) continue;
      this.address ??= lease[2];
      this.leaseUptimeSeconds ??= Number(lease[1]);
      this.#reach(["lease"], line.atMs);
    }
  }

  async #watch<T extends KubeObject>(
    kind: ResourceDescriptor<T>,
    selector: { readonly fieldSelector?: string; readonly labelSelector?: string },
    see: (object: T) => void,
  ): Promise<void> {
    const resource = this.#client.resource(kind).namespace(this.#namespace);
    const { items, resourceVersion } = await resource.list(selector);
    for (const item of items) see(item);
    const { signal } = this.#stop;
    const follow = async () => {
      for await (const event of resource.watch({ ...selector, resourceVersion, signal })) {
        if (event.type === "ADDED" || event.type === "MODIFIED") see(event.object);
      }
    };
    this.#guard(follow());
  }

  #guard(work: Promise<void>): void {
    work.catch((error: unknown) => {
      if (!this.#stop.signal.aborted) this.#fail(error);
    });
  }

  #lateMessage(step: Step, timeoutMs: number): string {
    const reached = STEPS.filter((one) => this.reached.has(one)).join(", ") || "nothing";
    const tail = this.lines.slice(-8).map(({ text }) => text);
    return [
      `VM ${this.#namespace}/${this.#name} did not reach "${step}" in ${timeoutMs} ms, only ${reached}`,
      `the end of its log:`,
      ...tail,
    ].join("\n");
  }
}
