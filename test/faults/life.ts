/** A VM's life as the suites walk it, and what it leaves at its end. */
import type { VirtualMachine } from "../../api/virtual-machine.ts";
import type { Client } from "../../kube/client.ts";
import { ignoreNotFound } from "../../kube/errors.ts";
import { controllerOf } from "../../kube/ownership.ts";
import { mergePatch } from "../../kube/request.ts";
import { PODS, type Pod } from "../../kube/resources.ts";
import { VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINES } from "../../operator/kinds.ts";
import { launcherPods, until, untilGone } from "../harness/cluster.ts";
import { condition, Guests } from "../harness/guest.ts";
import { normalize } from "./normal.ts";

/** What a VM's objects have come to, normalised: equal for two runs of the same life. */
export interface Outcome {
  readonly vm: unknown;
  readonly vmi: unknown;
  readonly pods: readonly unknown[];
}

export class Lives {
  readonly #client: Client;
  readonly #guests: Guests;

  constructor(client: Client, namespace: string) {
    this.#client = client;
    this.#guests = new Guests(client, namespace);
  }

  get namespace(): string {
    return this.#guests.namespace;
  }

  /** A guest that is quick to end, since it is not asked to power off. */
  create(name: string): Promise<VirtualMachine> {
    return this.#guests.create(name, { spec: { terminationGracePeriodSeconds: 0 } });
  }

  async untilRunning(name: string, timeoutMs = 60_000): Promise<void> {
    await this.#guests.untilVm(
      name,
      "Running and ready",
      timeoutMs,
      ({ status }) => status?.printableStatus === "Running" && status.ready === true,
    );
  }

  /** Until the kubelet, too, has told that its pod runs: it does so later than operator and agent. */
  async untilPodReady(name: string, timeoutMs = 60_000): Promise<void> {
    const { namespace } = this;
    for (const { metadata } of await launcherPods(this.#client, namespace, name)) {
      await until(this.#client, PODS, {
        namespace,
        name: metadata.name,
        what: "its readiness",
        timeoutMs,
        when: (pod) => pod !== undefined && condition(pod, "Ready")?.status === "True",
      });
    }
  }

  /** By run strategy, as a user does; resolves once it has stopped and nothing of it runs. */
  async stop(name: string, timeoutMs = 60_000): Promise<void> {
    await this.#setRunStrategy(name, "Halted");
    await this.#guests.untilStatus(name, "Stopped", timeoutMs);
    const where = { namespace: this.namespace, name, timeoutMs };
    await untilGone(this.#client, VIRTUAL_MACHINE_INSTANCES, where);
  }

  async start(name: string, timeoutMs = 60_000): Promise<void> {
    await this.#setRunStrategy(name, "Always");
    await this.untilRunning(name, timeoutMs);
  }

  async remove(name: string, timeoutMs = 60_000): Promise<void> {
    await this.markDeleted(name);
    await this.untilGone(name, timeoutMs);
  }

  /** After a failure, so that what it left takes no processor from what comes next. */
  async sweep(names: readonly string[]): Promise<void> {
    await Promise.all(names.map((name) => this.markDeleted(name).catch(ignoreNotFound)));
    await Promise.all(names.map((name) => this.untilGone(name).catch(() => {})));
  }

  async markDeleted(name: string): Promise<void> {
    await this.#client.resource(VIRTUAL_MACHINES).namespace(this.namespace).delete(name);
  }

  /** Until the VM is gone, and its VMI and pods with it. */
  async untilGone(name: string, timeoutMs = 60_000): Promise<void> {
    const { namespace } = this;
    await untilGone(this.#client, VIRTUAL_MACHINES, { namespace, name, timeoutMs });
    await untilGone(this.#client, VIRTUAL_MACHINE_INSTANCES, { namespace, name, timeoutMs: 10_000 });
    const pods = await launcherPods(this.#client, namespace, name);
    if (pods.length > 0)
      throw new Error(`VM ${namespace}/${name} is gone and left ${pods[0]?.metadata.name}`);
  }

  /** What there is of the VM now. */
  async outcome(name: string): Promise<Outcome> {
    const where = { name, namespace: this.namespace };
    const vm = await this.#client.resource(VIRTUAL_MACHINES).namespace(this.namespace).get(name);
    const vmi = await this.#client.resource(VIRTUAL_MACHINE_INSTANCES).namespace(this.namespace).get(name);
    const pods = await launcherPods(this.#client, this.namespace, name);
    return {
      vm: normalize(vm, where),
      vmi: normalize(vmi, where),
      pods: pods.map((pod) => normalize(pod, where)),
    };
  }

  /** UIDs of what there is of VM, VMI and pods: who they are, whatever became of them. */
  async uids(name: string): Promise<readonly (string | undefined)[]> {
    const vms = this.#client.resource(VIRTUAL_MACHINES).namespace(this.namespace);
    const vmis = this.#client.resource(VIRTUAL_MACHINE_INSTANCES).namespace(this.namespace);
    const found = await Promise.all([
      vms.get(name).catch(ignoreNotFound),
      vmis.get(name).catch(ignoreNotFound),
    ]);
    const pods = await launcherPods(this.#client, this.namespace, name);
    return [...found.filter((object) => object !== undefined), ...pods].map(({ metadata }) => metadata.uid);
  }

  async #setRunStrategy(name: string, runStrategy: string): Promise<void> {
    await this.#client
      .resource(VIRTUAL_MACHINES)
      .namespace(this.namespace)
      .patch(name, mergePatch({ spec: { runStrategy } }));
  }
}

/** Watches, past every fault, that no VMI ever has a second launcher pod. */
export class PodAuditor {
  readonly #podsOf = new Map<string, Set<string>>();
  readonly #stop = new AbortController();
  readonly #watching: Promise<void>;

  private constructor(client: Client, namespace: string, since: string) {
    this.#watching = this.#watch(client, namespace, since);
    // `close` tells how it ended; until then a failure is nobody's.
    this.#watching.catch(() => {});
  }

  static async start(client: Client, namespace: string): Promise<PodAuditor> {
    const { resourceVersion } = await client.resource(PODS).namespace(namespace).list();
    return new PodAuditor(client, namespace, resourceVersion);
  }

  /** VMIs, by UID, that ever had a launcher pod. */
  get size(): number {
    return this.#podsOf.size;
  }

  /** VMIs that ever had more than one pod, as sentences. */
  get violations(): string[] {
    return [...this.#podsOf]
      .filter(([, pods]) => pods.size > 1)
      .map(([vmi, pods]) => `VMI ${vmi} had ${pods.size} launcher pods: ${[...pods].join(", ")}`);
  }

  /** @throws what ended the watch early: then nothing was proved */
  async close(): Promise<void> {
    this.#stop.abort();
    await this.#watching;
  }

  async #watch(client: Client, namespace: string, since: string): Promise<void> {
    const { signal } = this.#stop;
    const pods = client.resource(PODS).namespace(namespace);
    let resourceVersion = since;
    try {
      while (!signal.aborted) {
        for await (const event of pods.watch({ resourceVersion, allowBookmarks: true, signal })) {
          if (event.type === "BOOKMARK") {
            ({ resourceVersion } = event);
            continue;
          }
          resourceVersion = event.object.metadata.resourceVersion;
          this.#see(event.object);
        }
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  #see(pod: Pod): void {
    const owner = controllerOf(pod);
    if (owner?.kind !== VIRTUAL_MACHINE_INSTANCES.kind) return;
    const pods = this.#podsOf.get(owner.uid) ?? new Set();
    this.#podsOf.set(owner.uid, pods.add(pod.metadata.uid));
  }
}
