/** What is known of the node that a launcher is on, from its kubelet and from its agent; pure. */
import type { Node } from "../../kube/resources.ts";

/** `unknown`: not waited for long enough to say. */
export type AgentState = "connected" | "away" | "unknown";

export interface NodeHealth {
  readonly name: string;
  /** Whether the kubelet has told of itself lately, as the node's condition Ready says; `gone`: there is no such Node. */
  readonly kubelet: "ready" | "notReady" | "gone";
  /** Why it isn't ready, in the words of whoever says so: the kubelet, or the node controller in its place. */
  readonly why?: string;
  /** Nothing new is put on it: what a drain begins with. */
  readonly isCordoned: boolean;
  readonly agent: AgentState;
}

/** @param node undefined: the API knows no such node */
export function nodeHealth(name: string, node: Node | undefined, agent: AgentState): NodeHealth {
  if (node === undefined) {
    return { name, kubelet: "gone", why: "there is no such Node any more", isCordoned: false, agent };
  }
  const isCordoned = node.spec?.unschedulable === true;
  const ready = node.status?.conditions?.find(({ type }) => type === "Ready");
  if (ready?.status === "True") return { name, kubelet: "ready", isCordoned, agent };
  const why = ready?.message ?? ready?.reason ?? "it has not told its condition";
  return { name, kubelet: "notReady", why, isCordoned, agent };
}
