/** Makes, deletes and releases launcher pods, each write noted as the controller's own. */
import { isDeepStrictEqual } from "node:util";
import type { LaunchSpec } from "../../api/launch-spec.ts";
import { CONDITION_UNPAUSED, FINALIZER_POD, LAUNCHER_CONTAINER } from "../../api/names.ts";
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import type { Client } from "../../kube/client.ts";
import type { OwnWrites } from "../../kube/consistency.ts";
import {
  AlreadyExistsError,
  ConflictError,
  InvalidError,
  ignoreNotFound,
  isRefusal,
} from "../../kube/errors.ts";
import type { EventRecorder } from "../../kube/events.ts";
import { type JsonPatchOperation, jsonPatch } from "../../kube/request.ts";
import { POD_DISRUPTION_BUDGETS, PODS, type Pod } from "../../kube/resources.ts";
import { BY_UID, type Caches, isPodOf } from "../caches.ts";
import type { OperatorConfig } from "../config.ts";
import type { LiveConfiguration } from "../configuration/live.ts";
import { OperatorError } from "../errors.ts";
import { disruptionBudget } from "./disruption-budget.ts";
import { launcherPodName } from "./launcher-name.ts";
import { launcherPod } from "./launcher-pod.ts";
import { wantedResize } from "./plan.ts";
import type { CpuAmounts } from "./pod-cpu.ts";
import { type PodFacts, podFacts } from "./pod-facts.ts";
import type { Problem } from "./problem.ts";
import { hasStarted } from "./status.ts";

export interface LauncherPodsOptions {
  readonly client: Client;
  readonly caches: Caches;
  readonly config: OperatorConfig;
  readonly configuration: Pick<LiveConfiguration, "current">;
  readonly events: EventRecorder;
  readonly ownWrites: OwnWrites;
  /** Whether a node's agent has taken what it is to know now, within so many milliseconds. */
  readonly confirm: (nodeName: string, podUid: string, deadlineMs: number) => Promise<boolean>;
}

/** What an agent takes to lower a burst. */
const CONFIRM_MS = 5_000;

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
    const { caches, config, configuration, events } = this.#options;
    const pods = this.#in(vmi.metadata.namespace);
    try {
      const options = { ...config.launcher, overcommit: configuration.current };
      const pod = await pods.create(launcherPod(vmi, launch, options), { signal });
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
        if (isPodOf(existing, vmi)) {
          this.#options.ownWrites.wrote(key, caches.pods, existing);
          return undefined;
        }
        const message = `a pod named ${existing.metadata.name} exists that belongs to somebody else; delete it`;
        return { told: { reason: "FailedCreate", message }, error };
      }
      if (isRefusal(error)) {
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

  /** What keeps the pod from being evicted. */
  async createBudget(key: string, vmi: VirtualMachineInstance, signal: AbortSignal): Promise<void> {
    const { caches, client, ownWrites } = this.#options;
    const budgets = client.resource(POD_DISRUPTION_BUDGETS).namespace(vmi.metadata.namespace);
    try {
      ownWrites.wrote(key, caches.budgets, await budgets.create(disruptionBudget(vmi), { signal }));
    } catch (error) {
      // Ours by a lost reply: the cache will show it.
      if (!(error instanceof AlreadyExistsError)) throw error;
    }
  }

  /** Opens or shuts the pod's readiness gate, beside the conditions that the kubelet writes. */
  async setUnpaused(
    key: string,
    { name }: PodFacts,
    isUnpaused: boolean,
    { namespace, now }: { readonly namespace: string; readonly now: string },
    signal: AbortSignal,
  ): Promise<void> {
    const { caches, ownWrites } = this.#options;
    const condition = {
      type: CONDITION_UNPAUSED,
      status: isUnpaused ? "True" : "False",
      reason: isUnpaused ? "NotPaused" : "Paused",
      message: isUnpaused ? "the guest is not paused" : "the guest is paused",
      lastTransitionTime: now,
    };
    const pod = await this.#in(namespace)
      .patch(
        name,
        { type: "strategic", body: { status: { conditions: [condition] } } },
        { subresource: "status", signal },
      )
      .catch(ignoreNotFound);
    if (pod !== undefined) ownWrites.wrote(key, caches.pods, pod);
  }

  /**
   * Changes the CPU of a running pod; tells why, where its agent is away or the API server doesn't take it. The agent
   * is told first, so that nothing bursts above what the kubelet is about to write. Without the agent's devices the
   * kubelet would find no room for the pod, and look again after three minutes only.
   * @throws ConflictError where by then something else is wanted
   */
  async resize(
    key: string,
    vmi: VirtualMachineInstance,
    { name, nodeName, uid }: PodFacts,
    cpu: CpuAmounts,
    signal: AbortSignal,
  ): Promise<{ told: Problem; error: Error } | undefined> {
    const { caches, confirm, events, ownWrites } = this.#options;
    const { limit, request } = cpu;
    const isConfirmed = nodeName === undefined || (await confirm(nodeName, uid, CONFIRM_MS));
    this.#assertWanted(key, name, cpu);
    if (!isConfirmed) {
      const message = `the agent of node ${nodeName} has not confirmed the CPU amounts that are to come; the guest's stay until it has`;
      const error = new OperatorError("AgentNotConnected", message);
      return { told: { reason: "ResizeDeferred", message }, error };
    }
    const { containers } = caches.pods.get(`${vmi.metadata.namespace}/${name}`)?.spec ?? { containers: [] };
    const path = `/spec/containers/${containers.findIndex((one) => one.name === LAUNCHER_CONTAINER)}`;
    const set = (which: "limits" | "requests", milliCpu: number | undefined): JsonPatchOperation[] =>
      milliCpu === undefined
        ? []
        : [{ op: "add", path: `${path}/resources/${which}/cpu`, value: `${milliCpu}m` }];
    try {
      const pod = await this.#in(vmi.metadata.namespace).patch(
        name,
        // Every launcher has both, for its devices.
        jsonPatch(
          { op: "test", path: `${path}/name`, value: LAUNCHER_CONTAINER },
          ...set("limits", limit),
          ...set("requests", request),
        ),
        { subresource: "resize", signal },
      );
      ownWrites.wrote(key, caches.pods, pod);
    } catch (error) {
      if (isRefusal(error)) return { told: { reason: "FailedResize", message: error.message }, error };
      throw error;
    }
    const amounts = [
      ...(limit === undefined ? [] : [`limit ${limit}m`]),
      ...(request === undefined ? [] : [`request ${request}m`]),
    ];
    const message = `Asked for CPU ${amounts.join(", ")} of the running launcher pod ${name}`;
    events.record(vmi, { type: "Normal", reason: "ResizeRequested", message });
    return undefined;
  }

  /**
   * A user may change the VMI again while its agent is asked; whether the agent knows of that as well is to be asked
   * anew. @throws ConflictError
   */
  #assertWanted(key: string, podName: string, cpu: CpuAmounts): void {
    const { caches } = this.#options;
    const vmi = caches.vmis.get(key);
    const pod = vmi && caches.pods.get(`${vmi.metadata.namespace}/${podName}`);
    const wanted = pod && isPodOf(pod, vmi) ? wantedResize(vmi, podFacts(pod)) : undefined;
    if (isDeepStrictEqual(wanted, cpu)) return;
    throw new ConflictError(`resize pod of ${key}: what is wanted has changed`);
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
    if (pod === undefined || !isPodOf(pod, vmi)) return false;
    await caches.pods.waitForVersion(pod.metadata.resourceVersion, { signal });
    return caches.pods.byIndex(BY_UID, pod.metadata.uid).length > 0;
  }
}

function isPod(answer: unknown): answer is Pod {
  return typeof answer === "object" && answer !== null && (answer as { kind?: unknown }).kind === "Pod";
}
