/** The VM controller's shell: observe through the caches, plan, then write what the plan says. */
import { FINALIZER_VM } from "../../api/names.ts";
import type { VirtualMachine } from "../../api/virtual-machine.ts";
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import type { Client } from "../../kube/client.ts";
import { OwnWrites } from "../../kube/consistency.ts";
import { Controller, type Request, type Result } from "../../kube/controller.ts";
import {
  AlreadyExistsError,
  ConflictError,
  ForbiddenError,
  ignoreNotFound,
  isRefusal,
} from "../../kube/errors.ts";
import type { EventRecorder } from "../../kube/events.ts";
import type { Logger } from "../../kube/logger.ts";
import type { KubeMetrics } from "../../kube/metrics.ts";
import { isControlledBy } from "../../kube/ownership.ts";
import { type Clock, systemClock } from "../../lib/clock.ts";
import type { Caches } from "../caches.ts";
import { finalizersPatch } from "../finalizers.ts";
import { VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINES } from "../kinds.ts";
import { retryLimiter } from "../retry.ts";
import { instanceOf } from "./instance.ts";
import { livePatch } from "./live-update.ts";
import { eventsOf, plan, type Write } from "./plan.ts";

export interface VmControllerOptions {
  /** Fenced: writes only while this replica leads. */
  readonly client: Client;
  readonly caches: Caches;
  readonly events: EventRecorder;
  readonly logger: Logger;
  readonly metrics: KubeMetrics;
  readonly clock?: Clock;
}

export class VmController {
  readonly controller: Controller<VirtualMachine>;
  readonly #options: VmControllerOptions;
  readonly #ownWrites = new OwnWrites();
  readonly #clock: Clock;

  constructor(options: VmControllerOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    const { caches, logger, metrics } = options;
    this.controller = new Controller({
      name: "virtualmachine",
      for: { informer: caches.vms },
      // A VMI has its VM's name; one that somebody else made concerns the VM as well.
      watches: [
        {
          informer: caches.vmis,
          map: (vmi: VirtualMachineInstance) => [`${vmi.metadata.namespace}/${vmi.metadata.name}`],
        },
      ],
      concurrency: 8,
      rateLimiter: retryLimiter(),
      logger,
      metrics,
      clock: this.#clock,
      reconcile: (request, { signal }) => this.#reconcile(request, signal),
    });
  }

  async #reconcile({ key }: Request, signal: AbortSignal): Promise<Result | undefined> {
    await this.#ownWrites.waitUntilSeen(key, { signal });
    const { caches, events } = this.#options;
    const vm = caches.vms.get(key);
    if (vm === undefined) {
      this.#ownWrites.delete(key);
      return undefined;
    }
    const namesake = caches.vmis.get(key);
    const isOwn = namesake !== undefined && isControlledBy(namesake, vm);
    const { writes, requeueAfterMs } = plan({
      vm,
      now: this.#clock.now(),
      ...(isOwn ? { vmi: namesake } : { foreign: namesake !== undefined }),
    });
    let current = vm;
    const written: Write[] = [];
    try {
      for (const write of writes) {
        // A write to the VM in this very reconcile has shown that it is as it was read.
        const isDecisive = write.kind === "createInstance" || write.kind === "deleteInstance";
        if (isDecisive && current === vm) await this.#assertCurrent(vm, signal);
        current = (await this.#write(key, current, write, signal)) ?? current;
        written.push(write);
      }
    } finally {
      // Also when a later write failed: the next plan finds this one done, and tells nothing of it.
      for (const event of eventsOf(written)) events.record(vm, event);
    }
    return requeueAfterMs === undefined ? undefined : { requeueAfterMs };
  }

  /** The VM after a write to it; undefined after a write to its VMI. */
  async #write(
    key: string,
    vm: VirtualMachine,
    write: Write,
    signal: AbortSignal,
  ): Promise<VirtualMachine | undefined> {
    const { client } = this.#options;
    const { name = "", namespace, finalizers = [] } = vm.metadata;
    const vms = client.resource(VIRTUAL_MACHINES).namespace(namespace);
    switch (write.kind) {
      case "addFinalizer":
        return this.#noted(
          key,
          await vms.patch(name, finalizersPatch(vm, [...finalizers, FINALIZER_VM]), { signal }),
        );
      case "removeFinalizer": {
        const left = finalizers.filter((finalizer) => finalizer !== FINALIZER_VM);
        await vms.patch(name, finalizersPatch(vm, left), { signal }).catch(ignoreNotFound);
        return undefined;
      }
      case "updateStatus":
        return this.#noted(key, await vms.updateStatus({ ...vm, status: write.status }, { signal }));
      case "createInstance":
        await this.#createInstance(key, vm, write.paused, signal);
        return undefined;
      case "deleteInstance":
        await this.#deleteInstance(key, write.vmi, signal);
        return undefined;
      case "updateInstance": {
        const vmis = client.resource(VIRTUAL_MACHINE_INSTANCES).namespace(namespace);
        const vmi = await vmis
          .patch(name, livePatch(write.vmi, write.update), { signal })
          .catch(ignoreNotFound);
        if (vmi !== undefined) this.#ownWrites.wrote(key, this.#options.caches.vmis, vmi);
        return undefined;
      }
    }
  }

  /**
   * A VM is started and stopped as it is, not as it was: a cache that is behind may show one as to be started that was
   * halted or deleted since, or as halted that was started again.
   * @throws ConflictError
   */
  async #assertCurrent({ metadata }: VirtualMachine, signal: AbortSignal): Promise<void> {
    const { name = "", namespace, resourceVersion } = metadata;
    const vms = this.#options.client.resource(VIRTUAL_MACHINES).namespace(namespace);
    const live = await vms.get(name, { signal }).catch(ignoreNotFound);
    if (live?.metadata.resourceVersion === resourceVersion) return;
    throw new ConflictError(`start or stop ${namespace}/${name}: the VM has changed or is gone`);
  }

  async #createInstance(
    key: string,
    vm: VirtualMachine,
    paused: boolean,
    signal: AbortSignal,
  ): Promise<void> {
    const { client, caches } = this.#options;
    const vmis = client.resource(VIRTUAL_MACHINE_INSTANCES).namespace(vm.metadata.namespace);
    try {
      this.#ownWrites.wrote(key, caches.vmis, await vmis.create(instanceOf(vm, paused), { signal }));
    } catch (error) {
      if (error instanceof AlreadyExistsError) {
        // Ours by a lost reply, or somebody else's: the cache will tell which.
        const existing = await vmis.get(vm.metadata.name ?? "", { signal }).catch(ignoreNotFound);
        if (existing !== undefined) this.#ownWrites.wrote(key, caches.vmis, existing);
        throw error;
      }
      // The VM goes with its namespace: its deletion is what comes next, and until then there is nothing to tell.
      if (error instanceof ForbiddenError && isNamespaceTerminating(error)) return;
      if (isRefusal(error)) await this.#tellRefusal(key, vm, error.message, signal);
      throw error;
    }
  }

  /** Tells the user why there is no VMI, once; the create is tried again by back-off. */
  async #tellRefusal(key: string, vm: VirtualMachine, message: string, signal: AbortSignal): Promise<void> {
    const createFailure = { reason: "FailedCreate", message };
    const { writes } = plan({ vm, now: this.#clock.now(), createFailure });
    for (const write of writes) {
      if (write.kind !== "updateStatus") continue;
      await this.#write(key, vm, write, signal);
      for (const event of [...write.events, { type: "Warning" as const, ...createFailure }])
        this.#options.events.record(vm, event);
    }
  }

  async #deleteInstance(key: string, vmi: VirtualMachineInstance, signal: AbortSignal): Promise<void> {
    const { client, caches } = this.#options;
    const { name = "", namespace, uid } = vmi.metadata;
    const vmis = client.resource(VIRTUAL_MACHINE_INSTANCES).namespace(namespace);
    const answer = await vmis
      .delete(name, { ...(uid === undefined ? {} : { preconditions: { uid } }), signal })
      .catch(ignoreNotFound);
    if (isInstance(answer)) this.#ownWrites.wrote(key, caches.vmis, answer);
  }

  #noted(key: string, vm: VirtualMachine): VirtualMachine {
    this.#ownWrites.wrote(key, this.#options.caches.vms, vm);
    return vm;
  }
}

function isInstance(answer: unknown): answer is VirtualMachineInstance {
  const { kind } = (answer ?? {}) as { kind?: unknown };
  return kind === VIRTUAL_MACHINE_INSTANCES.kind;
}

function isNamespaceTerminating({ causes }: ForbiddenError): boolean {
  return causes.some(({ reason }) => reason === "NamespaceTerminating");
}
