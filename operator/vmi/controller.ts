/** The VMI controller's shell: observe through the caches, plan, then write what the plan says. */

import type { Accelerator, LaunchDomain, LaunchSpec } from "../../api/launch-spec.ts";
import { FINALIZER_VMI, LABEL_OUTDATED_LAUNCHER } from "../../api/names.ts";
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import type { Client } from "../../kube/client.ts";
import { OwnWrites } from "../../kube/consistency.ts";
import { Controller, type Request, type Result } from "../../kube/controller.ts";
import { ConflictError, ignoreNotFound } from "../../kube/errors.ts";
import type { EventRecorder } from "../../kube/events.ts";
import type { Logger } from "../../kube/logger.ts";
import type { KubeMetrics } from "../../kube/metrics.ts";
import { controllerOf, isControlledBy } from "../../kube/ownership.ts";
import { ItemExponentialFailureRateLimiter } from "../../kube/rate-limiter.ts";
import { mergePatch } from "../../kube/request.ts";
import type { Pod, PodDisruptionBudget } from "../../kube/resources.ts";
import { type Clock, systemClock } from "../../lib/clock.ts";
import { formatBytes, QuantityError } from "../../lib/quantity.ts";
import { rfc3339 } from "../../lib/time.ts";
import { BY_VMI, type Caches, isPodOf, vmiKeyOf, vmiKeysOf } from "../caches.ts";
import type { OperatorConfig } from "../config.ts";
import type { LiveConfiguration } from "../configuration/live.ts";
import { finalizersPatch } from "../finalizers.ts";
import { VIRTUAL_MACHINE_INSTANCES } from "../kinds.ts";
import { Nodes } from "../node/nodes.ts";
import type { AgentPresence } from "../node/presence.ts";
import type { Announcer } from "../uplink/announcer.ts";
import type { Statuses } from "../uplink/statuses.ts";
import { claimConflict } from "./claim-conflict.ts";
import { type Claims, claimProblem, unboundClaims } from "./claims.ts";
import { cpuChange } from "./cpu.ts";
import { isGuarded } from "./disruption.ts";
import { budgetName } from "./disruption-budget.ts";
import { resolveDomain } from "./domain.ts";
import { resolveInterfaces } from "./interfaces.ts";
import { resolveLaunchSpec } from "./launch-spec.ts";
import { LauncherPods } from "./launcher-pods.ts";
import { overheadBytes } from "./memory.ts";
import { type Observed, plan, type Write } from "./plan.ts";
import type { PodFacts } from "./pod-facts.ts";
import type { Problem } from "./problem.ts";
import { SpecError } from "./spec-error.ts";
import { hasStarted, type ResolvedFacts } from "./status.ts";
import { claimHolders, claimsOf, mountFailureOf, startedRivals, storageWatches } from "./storage-facts.ts";
import { policyProblem } from "./storage-policy.ts";
import { unguardedProblem } from "./unguarded.ts";

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

/** An agent that is about to connect decides between KVM and emulation; so long is it waited for. */
const FACTS_PATIENCE_MS = 10_000;
const FACTS_RETRY_MS = 250;
/** No event tells that a quota was raised or a policy relaxed: whoever did it waits no longer than this. */
const MAX_RETRY_MS = 60_000;

export class VmiController {
  readonly controller: Controller<VirtualMachineInstance>;
  readonly #options: VmiControllerOptions;
  readonly #ownWrites = new OwnWrites();
  readonly #pods: LauncherPods;
  readonly #nodes: Nodes;
  /** By key, so that they go with the VMI, whichever way that goes. */
  readonly #failures = new Map<string, Problem & { readonly uid: string }>();
  readonly #resizeFailures = new Map<string, Problem>();
  /** UIDs of the VMIs whose pod is being made, which no cache knows yet, by key. */
  readonly #starting = new Map<string, string>();
  readonly #clock: Clock;

  constructor(options: VmiControllerOptions) {
    this.#options = options;
    this.#nodes = new Nodes(options);
    this.#pods = new LauncherPods({
      ...options,
      ownWrites: this.#ownWrites,
      confirm: (nodeName, deadlineMs) => options.announcer.confirm(nodeName, deadlineMs),
    });
    this.#clock = options.clock ?? systemClock;
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
      rateLimiter: new ItemExponentialFailureRateLimiter(undefined, MAX_RETRY_MS),
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
      this.#starting.delete(key);
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
    const { caches, client, events } = this.#options;
    const isNew = pods.length === 0 && !hasStarted(vmi) && vmi.metadata.deletionTimestamp === undefined;
    if (isNew && this.#awaitsFacts()) return { requeueAfterMs: FACTS_RETRY_MS };
    if (isNew) await this.#assertCurrent(vmi, signal);
    const claims = await claimsOf(caches, client, vmi, isNew, signal);
    const rivals = isNew ? await startedRivals(caches, client, vmi, signal) : [];
    const launch = isNew ? this.#resolve(vmi, this.#accelerator(), claims, rivals) : undefined;
    if (launch !== undefined && "reason" in launch)
      return this.#cannotCreate(key, vmi, launch, undefined, signal);
    // From here on the claims are this VMI's: nothing was waited for since they were found free.
    if (launch !== undefined) this.#starting.set(key, vmi.metadata.uid ?? "");
    else this.#starting.delete(key);
    const seen = this.#observed(pods);
    const unmounted = mountFailureOf(caches, vmi, pods);
    const domain = launch?.domain ?? this.#resolvedBefore(vmi, seen.pods);
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
    const { writes, events: planned, requeueAfterMs } = plan(observed);
    let current = vmi;
    for (const write of writes) {
      if (write.kind === "createPod" && launch !== undefined) {
        const failure = await this.#pods.create(key, current, launch, signal);
        if (failure !== undefined)
          return this.#cannotCreate(key, current, failure.told, failure.error, signal);
        this.#failures.delete(key);
      } else if (write.kind === "resizePod") {
        const failure = await this.#pods.resize(key, current, write.pod, write.cpu, signal);
        if (failure !== undefined)
          return this.#cannotResize(key, current, observed, failure.told, failure.error, signal);
      } else {
        current = (await this.#write(key, current, write, signal)) ?? current;
      }
    }
    for (const event of planned) events.record(vmi, event);
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

  /** True for a moment after a start: whether KVM works is known once the agents have told. */
  #awaitsFacts(): boolean {
    const { statuses, configuration } = this.#options;
    return configuration.current.useEmulation && !statuses.hasFacts && statuses.ageMs < FACTS_PATIENCE_MS;
  }

  #accelerator(): Accelerator {
    const { statuses, configuration } = this.#options;
    return configuration.current.useEmulation && !statuses.isKvmUsable() ? "tcg" : "kvm";
  }

  /** What a pod was made from that an operator made and did not live to tell of. */
  #resolvedBefore(vmi: VirtualMachineInstance, pods: readonly PodFacts[]): LaunchDomain | undefined {
    const [pod] = pods;
    if (pod === undefined || vmi.status?.memory !== undefined) return undefined;
    const domain = resolvedOrWhy(() => resolveDomain(vmi, pod.accelerator));
    return "reason" in domain ? undefined : domain;
  }

  #resolve(
    vmi: VirtualMachineInstance,
    accelerator: Accelerator,
    claims: Claims,
    rivals: readonly VirtualMachineInstance[],
  ): LaunchSpec | Problem {
    const holders = [...claimHolders(this.#options.caches, vmi, this.#starting), ...rivals];
    const { current } = this.#options.configuration;
    return (
      policyProblem(vmi.spec, current) ??
      resolvedOrWhy(() => unguardedProblem(vmi, resolveInterfaces(vmi.spec), current)) ??
      claimProblem(vmi.spec, claims) ??
      claimConflict(vmi, holders) ??
      resolvedOrWhy(() => resolveLaunchSpec(vmi, accelerator, claims))
    );
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
    this.#starting.delete(key);
    const before = this.#failures.get(key);
    const isNews = before?.uid !== uid || before.message !== told.message;
    this.#failures.set(key, { ...told, uid });
    const { writes } = plan({ ...this.#observed([]), vmi, createFailure: told });
    for (const write of writes) if (write.kind === "updateStatus") await this.#write(key, vmi, write, signal);
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
    for (const write of writes) if (write.kind === "updateStatus") await this.#write(key, vmi, write, signal);
    throw error;
  }

  /** The VMI after a write to it; undefined after a write to a pod. */
  async #write(
    key: string,
    vmi: VirtualMachineInstance,
    write: Write,
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
        await this.#pods.delete(key, write.pod, namespace ?? "", signal);
        return undefined;
      case "releasePod":
        await this.#pods.release(key, write.pod.name, namespace ?? "", signal);
        return undefined;
      case "createBudget":
        await this.#pods.createBudget(key, vmi, signal);
        return undefined;
      case "markOutdated": {
        const labels = { [LABEL_OUTDATED_LAUNCHER]: write.isOutdated ? "" : null };
        return this.#noted(key, await vmis.patch(name, mergePatch({ metadata: { labels } }), { signal }));
      }
      case "setUnpaused": {
        const where = { namespace: namespace ?? "", now: rfc3339(new Date(this.#clock.now())) };
        await this.#pods.setUnpaused(key, write.pod, write.isUnpaused, where, signal);
        return undefined;
      }
      case "resizePod":
      case "createPod":
        return undefined;
    }
  }

  /**
   * A pod is made for a VMI as it is, not as it was: a cache that is behind may show one as new whose pod has come and
   * gone, and a second pod would find its disks in the hands of the next incarnation.
   * @throws ConflictError
   */
  async #assertCurrent({ metadata }: VirtualMachineInstance, signal: AbortSignal): Promise<void> {
    const { name = "", namespace, resourceVersion } = metadata;
    const vmis = this.#options.client.resource(VIRTUAL_MACHINE_INSTANCES).namespace(namespace);
    const live = await vmis.get(name, { signal }).catch(ignoreNotFound);
    if (live?.metadata.resourceVersion === resourceVersion) return;
    throw new ConflictError(
      `create the launcher pod of ${namespace}/${name}: the VMI has changed or is gone`,
    );
  }

  #noted(key: string, vmi: VirtualMachineInstance): VirtualMachineInstance {
    this.#ownWrites.wrote(key, this.#options.caches.vmis, vmi);
    return vmi;
  }
}

function resolvedOrWhy<T>(resolve: () => T): T | Problem {
  try {
    return resolve();
  } catch (error) {
    if (!(error instanceof SpecError || error instanceof QuantityError)) throw error;
    return { reason: "InvalidSpec", message: error.message };
  }
}

function resolvedFacts(domain: LaunchDomain): ResolvedFacts {
  const { sockets, cores, threads } = domain.cpu;
  const guestMemory = formatBytes(domain.memoryBytes);
  return { sockets, cores, threads, guestMemory, memoryOverhead: formatBytes(overheadBytes(domain)) };
}
