/** Makes, deletes and releases launcher pods, each write noted as the controller's own. */
import type { LaunchSpec } from "../../api/launch-spec.ts";
import { FINALIZER_POD } from "../../api/names.ts";
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import type { Client } from "../../kube/client.ts";
import type { OwnWrites } from "../../kube/consistency.ts";
import {
  AlreadyExistsError,
  ConflictError,
  ForbiddenError,
  InvalidError,
  ignoreNotFound,
} from "../../kube/errors.ts";
import type { EventRecorder } from "../../kube/events.ts";
import { isControlledBy } from "../../kube/ownership.ts";
import { jsonPatch } from "../../kube/request.ts";
import { PODS, type Pod } from "../../kube/resources.ts";
import { BY_UID, type Caches } from "../caches.ts";
import type { OperatorConfig } from "../config.ts";
import { OperatorError } from "../errors.ts";
import { launcherPod, launcherPodName } from "./launcher-pod.ts";
import type { PodFacts } from "./pod-facts.ts";
import type { Problem } from "./problem.ts";
import { hasStarted } from "./status.ts";

export interface LauncherPodsOptions {
  readonly client: Client;
  readonly caches: Caches;
  readonly config: OperatorConfig;
  readonly events: EventRecorder;
  readonly ownWrites: OwnWrites;
}

export class LauncherPods {
  readonly #options: LauncherPodsOptions;

  constructor(options: LauncherPodsOptions) {
    this.#options = options;
  }

  #in(namespace: string | undefined) {
    return this.#options.client.resource(PODS).namespace(namespace);
  }

  /**
   * Makes the pod; undefined when it stands. A pod of the right name and owner is ours: its reply was lost, or
   * another replica made it a moment ago.
   */
  async create(
    key: string,
    vmi: VirtualMachineInstance,
    launch: LaunchSpec,
    signal: AbortSignal,
  ): Promise<{ told: Problem; error: Error } | undefined> {
    const { caches, config, events } = this.#options;
    const pods = this.#in(vmi.metadata.namespace);
    try {
      const pod = await pods.create(launcherPod(vmi, launch, config.launcher), { signal });
      this.#options.ownWrites.wrote(key, caches.pods, pod);
      events.record(vmi, {
        type: "Normal",
        reason: "SuccessfulCreate",
        message: `Created launcher pod ${pod.metadata.name}`,
      });
      return undefined;
    } catch (error) {
      if (error instanceof AlreadyExistsError) {
        const existing = await pods.get(launcherPodName(vmi), { signal });
        if (isControlledBy(existing, vmi)) {
          this.#options.ownWrites.wrote(key, caches.pods, existing);
          return undefined;
        }
        const message = `a pod named ${existing.metadata.name} exists that belongs to somebody else; delete it`;
        return { told: { reason: "FailedCreate", message }, error };
      }
      if (error instanceof ForbiddenError || error instanceof InvalidError) {
        return { told: { reason: "FailedCreate", message: error.message }, error };
      }
      if (error instanceof OperatorError && error.code === "LaunchSpecTooLarge") {
        return { told: { reason: error.code, message: error.message }, error };
      }
      throw error;
    }
  }

  async delete(key: string, { name, uid }: PodFacts, namespace: string, signal: AbortSignal): Promise<void> {
    const { caches, ownWrites } = this.#options;
    const answer = await this.#in(namespace)
      .delete(name, { preconditions: { uid }, signal })
      .catch(ignoreNotFound);
    if (isPod(answer)) ownWrites.wrote(key, caches.pods, answer);
  }

  /** Takes our finalizer off. The test makes sure that nobody else's finalizer goes with ours; kubelet's status writes don't disturb it. */
  async release(key: string, name: string, namespace: string, signal: AbortSignal): Promise<void> {
    const { caches, ownWrites } = this.#options;
    const finalizers = caches.pods.get(`${namespace}/${name}`)?.metadata.finalizers ?? [];
    const left = finalizers.filter((finalizer) => finalizer !== FINALIZER_POD);
    const pod = await this.#in(namespace)
      .patch(
        name,
        jsonPatch(
          { op: "test", path: "/metadata/finalizers", value: finalizers },
          { op: "replace", path: "/metadata/finalizers", value: left },
        ),
        { signal },
      )
      .catch(ignoreNotFound)
      .catch((cause: unknown) => {
        // The API server's answer to a test that fails: somebody was quicker, and the cache will tell.
        if (!(cause instanceof InvalidError)) throw cause;
        throw new ConflictError(`release pod ${namespace}/${name}: its finalizers have changed`, { cause });
      });
    // A pod that was being deleted is gone with this write, and its version never shows up in the cache.
    if (pod !== undefined && pod.metadata.deletionTimestamp === undefined)
      ownWrites.wrote(key, caches.pods, pod);
  }

  /**
   * A VMI that may have a pod, and none in the cache: before that is believed, the API server is asked. One that
   * leaves may have one although it says nothing of it: the pod's creation may have lost its reply.
   */
  async isCacheBehind(vmi: VirtualMachineInstance, signal: AbortSignal): Promise<boolean> {
    if (!hasStarted(vmi) && vmi.metadata.deletionTimestamp === undefined) return false;
    const { caches } = this.#options;
    const pod = await this.#in(vmi.metadata.namespace)
      .get(launcherPodName(vmi), { signal })
      .catch(ignoreNotFound);
    if (pod === undefined || !isControlledBy(pod, vmi)) return false;
    await caches.pods.waitForVersion(pod.metadata.resourceVersion, { signal });
    return caches.pods.byIndex(BY_UID, pod.metadata.uid).length > 0;
  }
}

function isPod(answer: unknown): answer is Pod {
  return typeof answer === "object" && answer !== null && (answer as { kind?: unknown }).kind === "Pod";
}
