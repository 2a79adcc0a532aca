/** The VMI controller's shell: observe through the caches, plan, then write what the plan says. */

import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import type { Client } from "../../kube/client.ts";
import { OwnWrites } from "../../kube/consistency.ts";
import { Controller, type Request, type Result } from "../../kube/controller.ts";
import type { EventRecorder } from "../../kube/events.ts";
import type { Logger } from "../../kube/logger.ts";
import type { KubeMetrics } from "../../kube/metrics.ts";
import { controllerOf, isControlledBy } from "../../kube/ownership.ts";
import type { Pod, PodDisruptionBudget } from "../../kube/resources.ts";
import { type Clock, systemClock } from "../../lib/clock.ts";
import { rfc3339 } from "../../lib/time.ts";
import { BY_VMI, type Caches, isPodOf, vmiKeyOf, vmiKeysOf } from "../caches.ts";
import type { OperatorConfig } from "../config.ts";
import type { LiveConfiguration } from "../configuration/live.ts";
import { Nodes } from "../node/nodes.ts";
import type { AgentPresence } from "../node/presence.ts";
import { retryLimiter } from "../retry.ts";
import type { Announcer } from "../uplink/announcer.ts";
import type { Statuses } from "../uplink/statuses.ts";
import { unboundClaims } from "./claims.ts";
import { cpuChange } from "./cpu.ts";
import { isGuarded } from "./disruption.ts";
import { budgetName } from "./disruption-budget.ts";
import { InstanceWrites } from "./instance-writes.ts";
import { LaunchResolver, resolvedBefore, resolvedFacts } from "./launch-resolver.ts";
import { LauncherPods } from "./launcher-pods.ts";
import { type Observed, plan } from "./plan.ts";
import type { Problem } from "./problem.ts";
import { hasStarted } from "./status.ts";
import { claimsOf, mountFailureOf, startedRivals, storageWatches } from "./storage-facts.ts";

export interface VmiControllerOptions {
  /** Fenced: writes only while this replica leads. */
  readonly client: Client;
  readonly caches: Caches;
  readonly statuses: Statuses;
  readonly presence: AgentPresence;
  readonly events: EventRecorder;
  readonly config: OperatorConfig;
  readonly configuration: Pick<LiveConfiguration, "current">;
  readonly announcer: Pick<Announcer, "confirm">;
  readonly logger: Logger;
  readonly metrics: KubeMetrics;
  readonly clock?: Clock;
}

/** Between two looks at whether the agents have told of KVM. */
const FACTS_RETRY_MS = 250;

export class VmiController {
  readonly controller: Controller<VirtualMachineInstance>;
  readonly #options: VmiControllerOptions;
  readonly #ownWrites = new OwnWrites();
  readonly #pods: LauncherPods;
  readonly #writes: InstanceWrites;
  readonly #resolver: LaunchResolver;
  readonly #nodes: Nodes;
  /** By key, so that they go with the VMI, whichever way that goes. */
  readonly #failures = new Map<string, Problem & { readonly uid: string }>();
  readonly #resizeFailures = new Map<string, Problem>();
  readonly #clock: Clock;

  constructor(options: VmiControllerOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#nodes = new Nodes(options);
    this.#resolver = new LaunchResolver(options);
    const own = { ...options, ownWrites: this.#ownWrites, clock: this.#clock };
    this.#pods = new LauncherPods({
      ...own,
      confirm: (...which) => options.announcer.confirm(...which),
    });
    this.#writes = new InstanceWrites({ ...own, pods: this.#pods });
    const { caches, statuses, logger, metrics } = options;
    this.controller = new Controller({
      name: "virtualmachineinstance",
      for: { informer: caches.vmis },
      watches: [
        { informer: caches.pods, map: (pod: Pod) => [vmiKeyOf(pod)].filter((key) => key !== undefined) },
        this.#nodes.watch,
        {
          informer: caches.budgets,
          map: (budget: PodDisruptionBudget) => {
            const owner = controllerOf(budget);
            return owner === undefined ? [] : [`${budget.metadata.namespace}/${owner.name}`];
          },
        },
        ...storageWatches(caches),
      ],
      concurrency: 8,
      rateLimiter: retryLimiter(),
      logger,
      metrics,
      clock: this.#clock,
      reconcile: (request, { signal }) => this.#reconcile(request, signal),
    });
    caches.pods.addHandler({
      name: "statuses",
      onDelete: (pod) => statuses.forget(pod.metadata.uid, pod.spec.nodeName),
    });
    statuses.on("launcher", (podUid) => {
      for (const key of vmiKeysOf(caches, podUid)) this.controller.enqueue(key);
    });
    this.#nodes.followAgents((key) => this.controller.enqueue(key));
  }

  async #reconcile({ key }: Request, signal: AbortSignal): Promise<Result | undefined> {
    await this.#ownWrites.waitUntilSeen(key, { signal });
    const { caches } = this.#options;
    const vmi = caches.vmis.get(key);
    const pods = caches.pods.byIndex(BY_VMI, key);
    await this.#releaseStrangers(key, vmi, pods, signal);
    if (vmi === undefined) {
      this.#ownWrites.delete(key);
      this.#failures.delete(key);
      this.#resizeFailures.delete(key);
      this.#resolver.forget(key);
      return undefined;
    }
    const own = pods.filter((pod) => isPodOf(pod, vmi));
    if (own.length === 0 && (await this.#pods.isCacheBehind(vmi, signal))) return undefined;
    return this.#carryOut(key, vmi, own, signal);
  }

  /** Pods of earlier incarnations of the name, whose VMI is gone, are let go once they are over. */
  async #releaseStrangers(
    key: string,
    vmi: VirtualMachineInstance | undefined,
    pods: readonly Pod[],
    signal: AbortSignal,
  ): Promise<void> {
    const strangers = pods.filter((pod) => vmi === undefined || !isPodOf(pod, vmi));
    const { writes } = plan({ ...this.#observed(strangers) });
    for (const write of writes) {
      if (write.kind === "releasePod")
        await this.#pods.release(key, write.pod.name, key.split("/")[0] ?? "", signal);
    }
  }

  async #carryOut(
    key: string,
    vmi: VirtualMachineInstance,
    pods: readonly Pod[],
    signal: AbortSignal,
  ): Promise<Result | undefined> {
    const { caches, client } = this.#options;
    const isNew = pods.length === 0 && !hasStarted(vmi) && vmi.metadata.deletionTimestamp === undefined;
    if (isNew && this.#resolver.awaitsFacts) return { requeueAfterMs: FACTS_RETRY_MS };
    if (isNew) await this.#writes.assertCurrent(vmi, signal);
    const claims = await claimsOf(caches, client, vmi, isNew, signal);
    const rivals = isNew ? await startedRivals(caches, client, vmi, signal) : [];
    const launch = isNew ? this.#resolver.resolve(key, vmi, claims, rivals) : undefined;
    if (launch !== undefined && "reason" in launch)
      return this.#cannotCreate(key, vmi, launch, undefined, signal);
    if (launch === undefined) this.#resolver.forget(key);
    const seen = this.#observed(pods);
    const unmounted = mountFailureOf(caches, vmi, pods);
    const domain = launch?.domain ?? resolvedBefore(vmi, seen.pods);
    if (!seen.pods.some((pod) => cpuChange(vmi, pod) !== undefined)) this.#resizeFailures.delete(key);
    const resizeFailure = this.#resizeFailures.get(key);
    const observed: Observed = {
      ...seen,
      vmi,
      unboundClaims: unboundClaims(vmi.spec, claims),
      ...(isGuarded(vmi) ? { hasBudget: this.#hasBudget(vmi) } : {}),
      ...(resizeFailure === undefined ? {} : { resizeFailure }),
      ...(unmounted === undefined ? {} : { mountFailure: unmounted }),
      ...(domain === undefined ? {} : { resolved: resolvedFacts(domain) }),
    };
    const { writes, requeueAfterMs } = plan(observed);
    let current = vmi;
    for (const write of writes) {
      if (write.kind === "createPod") {
        if (launch === undefined) continue;
        const failure = await this.#pods.create(key, current, launch, signal);
        if (failure !== undefined)
          return this.#cannotCreate(key, current, failure.told, failure.error, signal);
        this.#failures.delete(key);
      } else if (write.kind === "resizePod") {
        const failure = await this.#pods.resize(key, current, write.pod, write.cpu, signal);
        if (failure !== undefined)
          return this.#cannotResize(key, current, observed, failure.told, failure.error, signal);
      } else {
        current = (await this.#writes.write(key, current, write, signal)) ?? current;
      }
    }
    return requeueAfterMs === undefined ? undefined : { requeueAfterMs };
  }

  #observed(pods: readonly Pod[]): Observed {
    const { statuses, config } = this.#options;
    const facts = pods.map((pod) => this.#nodes.factsOf(pod));
    const placed = facts.find((pod) => pod.nodeName !== undefined);
    const told = placed?.nodeName === undefined ? undefined : statuses.launcher(placed.uid, placed.nodeName);
    return {
      pods: facts,
      ...(placed?.nodeName === undefined ? {} : { node: this.#nodes.health(placed.nodeName) }),
      launcherImage: config.launcher.image,
      now: rfc3339(new Date(this.#clock.now())),
      ...(told === undefined ? {} : { told }),
    };
  }

  #hasBudget(vmi: VirtualMachineInstance): boolean {
    const budget = this.#options.caches.budgets.get(`${vmi.metadata.namespace}/${budgetName(vmi)}`);
    return budget !== undefined && isControlledBy(budget, vmi);
  }

  /** Tells the user why there is no pod; tries again by back-off where time may heal it. */
  async #cannotCreate(
    key: string,
    vmi: VirtualMachineInstance,
    told: Problem,
    error: Error | undefined,
    signal: AbortSignal,
  ): Promise<undefined> {
    const uid = vmi.metadata.uid ?? "";
    this.#resolver.forget(key);
    const before = this.#failures.get(key);
    const isNews = before?.uid !== uid || before.message !== told.message;
    this.#failures.set(key, { ...told, uid });
    const { writes } = plan({ ...this.#observed([]), vmi, createFailure: told });
    for (const write of writes)
      if (write.kind === "updateStatus") await this.#writes.write(key, vmi, write, signal);
    if (isNews) this.#options.events.record(vmi, { type: "Warning", ...told });
    if (error !== undefined) throw error;
    return undefined;
  }

  /** Tells the user why the guest's CPU stays as it is; tries again by back-off, for a quota may be raised. */
  async #cannotResize(
    key: string,
    vmi: VirtualMachineInstance,
    observed: Observed,
    told: Problem,
    error: Error,
    signal: AbortSignal,
  ): Promise<never> {
    if (this.#resizeFailures.get(key)?.message !== told.message)
      this.#options.events.record(vmi, { type: "Warning", ...told });
    this.#resizeFailures.set(key, told);
    const { writes } = plan({ ...observed, vmi, resizeFailure: told });
    for (const write of writes)
      if (write.kind === "updateStatus") await this.#writes.write(key, vmi, write, signal);
    throw error;
  }
}
