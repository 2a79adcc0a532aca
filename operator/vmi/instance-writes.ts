/** Carries out what the plan says about a VMI and its pods, each write noted as the controller's own. */
import { FINALIZER_VMI, LABEL_OUTDATED_LAUNCHER } from "../../api/names.ts";
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import type { Client } from "../../kube/client.ts";
import type { OwnWrites } from "../../kube/consistency.ts";
import { ConflictError, ignoreNotFound } from "../../kube/errors.ts";
import type { EventRecorder } from "../../kube/events.ts";
import { mergePatch } from "../../kube/request.ts";
import type { Clock } from "../../lib/clock.ts";
import { rfc3339 } from "../../lib/time.ts";
import type { Caches } from "../caches.ts";
import { finalizersPatch } from "../finalizers.ts";
import { VIRTUAL_MACHINE_INSTANCES } from "../kinds.ts";
import type { LauncherPods } from "./launcher-pods.ts";
import type { Write } from "./plan.ts";

export interface InstanceWritesOptions {
  readonly client: Client;
  readonly caches: Caches;
  readonly ownWrites: OwnWrites;
  readonly pods: LauncherPods;
  readonly events: EventRecorder;
  readonly clock: Clock;
}

/** All but those whose failure a user is told of. */
export type InstanceWrite = Exclude<Write, { readonly kind: "createPod" | "resizePod" }>;

export class InstanceWrites {
  readonly #options: InstanceWritesOptions;

  constructor(options: InstanceWritesOptions) {
    this.#options = options;
  }

  /** Tells of it as well, when it is done. The VMI after a write to it; undefined after a write to a pod. */
  async write(
    key: string,
    vmi: VirtualMachineInstance,
    write: InstanceWrite,
    signal: AbortSignal,
  ): Promise<VirtualMachineInstance | undefined> {
    const written = await this.#write(key, vmi, write, signal);
    const events = "events" in write ? write.events : [];
    for (const event of events) this.#options.events.record(vmi, event);
    return written;
  }

  async #write(
    key: string,
    vmi: VirtualMachineInstance,
    write: InstanceWrite,
    signal: AbortSignal,
  ): Promise<VirtualMachineInstance | undefined> {
    const { name = "", namespace } = vmi.metadata;
    const vmis = this.#options.client.resource(VIRTUAL_MACHINE_INSTANCES).namespace(namespace);
    switch (write.kind) {
      case "addFinalizer":
        return this.#noted(
          key,
          await vmis.patch(name, finalizersPatch(vmi, [...(vmi.metadata.finalizers ?? []), FINALIZER_VMI]), {
            signal,
          }),
        );
      case "removeFinalizer": {
        const left = (vmi.metadata.finalizers ?? []).filter((finalizer) => finalizer !== FINALIZER_VMI);
        await vmis.patch(name, finalizersPatch(vmi, left), { signal }).catch(ignoreNotFound);
        return undefined;
      }
      case "updateStatus":
        return this.#noted(key, await vmis.updateStatus({ ...vmi, status: write.status }, { signal }));
      case "deletePod":
        await this.#options.pods.delete(key, write.pod, namespace ?? "", signal);
        return undefined;
      case "releasePod":
        await this.#options.pods.release(key, write.pod.name, namespace ?? "", signal);
        return undefined;
      case "createBudget":
        await this.#options.pods.createBudget(key, vmi, signal);
        return undefined;
      case "markOutdated": {
        const labels = { [LABEL_OUTDATED_LAUNCHER]: write.isOutdated ? "" : null };
        return this.#noted(key, await vmis.patch(name, mergePatch({ metadata: { labels } }), { signal }));
      }
      case "setUnpaused": {
        const where = { namespace: namespace ?? "", now: rfc3339(new Date(this.#options.clock.now())) };
        await this.#options.pods.setUnpaused(key, write.pod, write.isUnpaused, where, signal);
        return undefined;
      }
    }
  }

  /**
   * A pod is made for a VMI as it is, not as it was: a cache that is behind may show one as new whose pod has come and
   * gone, and a second pod would find its disks in the hands of the next incarnation.
   * @throws ConflictError
   */
  async assertCurrent({ metadata }: VirtualMachineInstance, signal: AbortSignal): Promise<void> {
    const { name = "", namespace, resourceVersion } = metadata;
    const vmis = this.#options.client.resource(VIRTUAL_MACHINE_INSTANCES).namespace(namespace);
    const live = await vmis.get(name, { signal }).catch(ignoreNotFound);
    if (live?.metadata.resourceVersion === resourceVersion) return;
    throw new ConflictError(
      `create the launcher pod of ${namespace}/${name}: the VMI has changed or is gone`,
    );
  }

  #noted(key: string, vmi: VirtualMachineInstance): VirtualMachineInstance {
    this.#options.ownWrites.wrote(key, this.#options.caches.vmis, vmi);
    return vmi;
  }
}
