/** The nodes as the VMI controller sees them: which launchers are on them, how they are, and when that changes. */
import { type Watch, watch } from "../../kube/controller.ts";
import type { Node, Pod } from "../../kube/resources.ts";
import { BY_NODE, type Caches, vmiKeyOf } from "../caches.ts";
import type { Statuses } from "../uplink/statuses.ts";
import { onNode, type PodFacts, podFacts } from "../vmi/pod-facts.ts";
import { type NodeHealth, nodeHealth } from "./health.ts";
import type { AgentPresence } from "./presence.ts";

export interface NodesOptions {
  readonly caches: Pick<Caches, "nodes" | "pods">;
  readonly statuses: Pick<Statuses, "launcher">;
  readonly presence: AgentPresence;
}

export class Nodes {
  readonly #options: NodesOptions;

  constructor(options: NodesOptions) {
    this.#options = options;
  }

  /** What the API tells of a node wakes the VMIs on it. */
  get watch(): Watch {
    return watch(this.#options.caches.nodes, ({ metadata }: Node) => this.#keysOn(metadata.name));
  }

  /** An agent that stays away, or is back, wakes the VMIs on its node. */
  followAgents(wake: (key: string) => void): void {
    const { caches, presence } = this.#options;
    const wakeAll = (nodeName: string) => {
      for (const key of this.#keysOn(nodeName)) wake(key);
    };
    presence.on("changed", wakeAll);
    presence.on("settled", () => {
      for (const { metadata } of caches.nodes.list()) {
        if (presence.of(metadata.name) === "away") wakeAll(metadata.name);
      }
    });
    caches.nodes.addHandler({
      name: "presence",
      onDelete: ({ metadata }) => presence.forget(metadata.name),
    });
  }

  health(nodeName: string): NodeHealth {
    const { caches, presence } = this.#options;
    return nodeHealth(nodeName, caches.nodes.get(nodeName), presence.of(nodeName));
  }

  /** A pod with what its node adds. */
  factsOf(pod: Pod): PodFacts {
    const facts = podFacts(pod);
    const { nodeName, uid } = facts;
    if (nodeName === undefined) return facts;
    return onNode(facts, this.health(nodeName), this.#options.statuses.launcher(uid, nodeName));
  }

  #keysOn(nodeName: string): string[] {
    const pods = this.#options.caches.pods.byIndex(BY_NODE, nodeName);
    return pods.map(vmiKeyOf).filter((key) => key !== undefined);
  }
}
