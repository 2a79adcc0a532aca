/** What a VMI says when its node is lost, or when somebody clears it: readiness, conditions and how that ends. Pure. */
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import type { NodeHealth } from "../node/health.ts";
import { conditionOf, type WantedCondition } from "./conditions.ts";
import type { PodFacts } from "./pod-facts.ts";

/** KubeVirt's word for a guest of which nothing can be known. */
export const NODE_UNRESPONSIVE = "NodeUnresponsive";
/** Only the kubelet is away: the agent tells that the guest runs. */
export const NODE_NOT_READY = "NodeNotReady";
const NODE_AGENT_READY = "NodeAgentReady";
const EVICTION_REQUESTED = "EvictionRequested";

export interface DisruptionInput {
  readonly vmi: VirtualMachineInstance;
  readonly pod?: PodFacts;
  /** Of the pod's node. */
  readonly node?: NodeHealth;
}

/** Readiness of a guest whose kubelet is away; undefined where it isn't. */
export function lostReadiness(
  { vmi, pod, node }: DisruptionInput,
  phase: string,
): WantedCondition | undefined {
  if (pod === undefined || node === undefined || node.kubelet === "ready") return undefined;
  const { name, agent, why } = node;
  const before = conditionOf(vmi.status?.conditions, "Ready");
  if (agent === "unknown" && [NODE_UNRESPONSIVE, NODE_NOT_READY].includes(before?.reason ?? ""))
    return before;
  if (agent === "connected") {
    if (phase !== "Running") return undefined;
    const message = `the kubelet of node ${name} does not answer (${why}); the guest goes on, and no Service leads to it`;
    return unlessSaid({ type: "Ready", status: "False", reason: NODE_NOT_READY, message }, before);
  }
  const message =
    `node ${name} does not answer (${why}): the guest may still run there, so it is not started elsewhere; ` +
    `if the node is off, say so: kubectl taint node ${name} node.kubernetes.io/out-of-service=nodeshutdown:NoExecute, ` +
    `or delete pod ${pod.name} by force`;
  return unlessSaid({ type: "Ready", status: "Unknown", reason: NODE_UNRESPONSIVE, message }, before);
}

/** A kubelet's words may count seconds: what was said first stands while nothing but numbers changes. */
function unlessSaid(condition: WantedCondition, before: WantedCondition | undefined): WantedCondition {
  const { reason, message = "" } = before ?? {};
  const isSaid =
    reason === condition.reason && withoutNumbers(message) === withoutNumbers(condition.message ?? "");
  return before !== undefined && isSaid ? before : condition;
}

/** Durations as Go writes them are one number: 3m2.5s. */
function withoutNumbers(words: string): string {
  return words.replace(/\d[\d.hmsnµ]*/g, "#");
}

/** Conditions that hold only while something is amiss with the node, or the guest is to leave it. */
export function disruptionConditions(input: DisruptionInput): WantedCondition[] {
  return [agentCondition(input), evictionCondition(input)].filter((condition) => condition !== undefined);
}

function agentCondition({ vmi, pod, node }: DisruptionInput): WantedCondition | undefined {
  if (pod === undefined || node === undefined || node.kubelet !== "ready" || node.agent === "connected")
    return undefined;
  if (node.agent === "unknown") return conditionOf(vmi.status?.conditions, NODE_AGENT_READY);
  const message =
    `virtpod's agent on node ${node.name} is not connected: the guest goes on, but nothing new is known of it, ` +
    "and there is no console; look at the virtpod-agent pod of that node";
  return { type: NODE_AGENT_READY, status: "False", reason: "NodeAgentNotConnected", message };
}

function evictionCondition(input: DisruptionInput): WantedCondition | undefined {
  const { reason, message = "" } = input.pod?.disruption ?? {};
  if (reason !== undefined) {
    const words = `the launcher pod is taken off its node, and the guest shuts down with it: ${message}`;
    return { type: EVICTION_REQUESTED, status: "True", reason, message: words };
  }
  const node = evacuationNode(input);
  if (node === undefined) return undefined;
  const words = `node ${node} is being cleared; evictionStrategy External keeps the guest there until it is moved or stopped`;
  return { type: EVICTION_REQUESTED, status: "True", reason: "NodeCordoned", message: words };
}

/** The node that an External guest is to leave, for whoever looks after that; undefined where it may stay. */
export function evacuationNode({ vmi, pod, node }: DisruptionInput): string | undefined {
  if (!isGuarded(vmi) || pod?.nodeName === undefined || node?.isCordoned !== true) return undefined;
  return node.name;
}

/** Its pod may not be evicted: whoever clears nodes has to move or stop the guest by other means. */
export function isGuarded({ spec }: VirtualMachineInstance): boolean {
  return spec.evictionStrategy === "External";
}

/** How a guest ended of which neither launcher nor kubelet can tell; undefined where they can. */
export function lostEnding(pod: PodFacts) {
  const isCollected = pod.disruption?.reason === "DeletionByPodGC" && pod.terminated === undefined;
  if (!isCollected && !pod.isAbandoned) return undefined;
  const message =
    `node ${pod.nodeName ?? "?"} was lost, and launcher pod ${pod.name} was taken for ended there: ` +
    "nobody knows how the guest ended";
  return { phase: "Failed", reason: NODE_UNRESPONSIVE, message } as const;
}
