/** What a VMI's pod is to be made from, or why there can be none: its spec, held against policy, nodes and claims. */
import type { Accelerator, LaunchDomain, LaunchSpec } from "../../api/launch-spec.ts";
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import { formatBytes, QuantityError } from "../../lib/quantity.ts";
import type { Caches } from "../caches.ts";
import type { LiveConfiguration } from "../configuration/live.ts";
import type { Statuses } from "../uplink/statuses.ts";
import { claimConflict } from "./claim-conflict.ts";
import { type Claims, claimProblem } from "./claims.ts";
import { resolveDomain } from "./domain.ts";
import { resolveInterfaces } from "./interfaces.ts";
import { resolveLaunchSpec } from "./launch-spec.ts";
import { overheadBytes } from "./memory.ts";
import type { PodFacts } from "./pod-facts.ts";
import type { Problem } from "./problem.ts";
import { SpecError } from "./spec-error.ts";
import type { ResolvedFacts } from "./status.ts";
import { claimHolders } from "./storage-facts.ts";
import { policyProblem } from "./storage-policy.ts";
import { unguardedProblem } from "./unguarded.ts";

/** An agent that is about to connect decides between KVM and emulation; so long is it waited for. */
const FACTS_PATIENCE_MS = 10_000;

export interface LaunchResolverOptions {
  readonly caches: Caches;
  readonly statuses: Statuses;
  readonly configuration: Pick<LiveConfiguration, "current">;
}

export class LaunchResolver {
  readonly #options: LaunchResolverOptions;
  /** UIDs of the VMIs whose pod is being made, which no cache knows yet, by key. */
  readonly #starting = new Map<string, string>();

  constructor(options: LaunchResolverOptions) {
    this.#options = options;
  }

  /** True for a moment after a start: whether KVM works is known once the agents have told. */
  get awaitsFacts(): boolean {
    const { statuses, configuration } = this.#options;
    return configuration.current.useEmulation && !statuses.hasFacts && statuses.ageMs < FACTS_PATIENCE_MS;
  }

  /**
   * Nothing is waited for between finding the claims free and taking them: with a launch spec they are the VMI's until
   * `forget`.
   * @param rivals VMIs that hold claims, which no cache knows yet
   */
  resolve(
    key: string,
    vmi: VirtualMachineInstance,
    claims: Claims,
    rivals: readonly VirtualMachineInstance[],
  ): LaunchSpec | Problem {
    const holders = [...claimHolders(this.#options.caches, vmi, this.#starting), ...rivals];
    const { current } = this.#options.configuration;
    const launch =
      policyProblem(vmi.spec, current) ??
      resolvedOrWhy(() => unguardedProblem(vmi, resolveInterfaces(vmi.spec), current)) ??
      claimProblem(vmi.spec, claims) ??
      claimConflict(vmi, holders) ??
      resolvedOrWhy(() => resolveLaunchSpec(vmi, this.#accelerator(), claims));
    if (!("reason" in launch)) this.#starting.set(key, vmi.metadata.uid ?? "");
    return launch;
  }

  /** The VMI's pod stands, or none is being made. */
  forget(key: string): void {
    this.#starting.delete(key);
  }

  #accelerator(): Accelerator {
    const { statuses, configuration } = this.#options;
    return configuration.current.useEmulation && !statuses.isKvmUsable() ? "tcg" : "kvm";
  }
}

/** What a pod was made from that an operator made and did not live to tell of. */
export function resolvedBefore(
  vmi: VirtualMachineInstance,
  pods: readonly PodFacts[],
): LaunchDomain | undefined {
  const [pod] = pods;
  if (pod === undefined || vmi.status?.memory !== undefined) return undefined;
  const domain = resolvedOrWhy(() => resolveDomain(vmi, pod.accelerator));
  return "reason" in domain ? undefined : domain;
}

export function resolvedFacts(domain: LaunchDomain): ResolvedFacts {
  const { sockets, cores, threads } = domain.cpu;
  const guestMemory = formatBytes(domain.memoryBytes);
  return { sockets, cores, threads, guestMemory, memoryOverhead: formatBytes(overheadBytes(domain)) };
}

function resolvedOrWhy<T>(resolve: () => T): T | Problem {
  try {
    return resolve();
  } catch (error) {
    if (!(error instanceof SpecError || error instanceof QuantityError)) throw error;
    return { reason: "InvalidSpec", message: error.message };
  }
}
