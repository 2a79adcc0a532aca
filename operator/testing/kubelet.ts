/** Scheduler and kubelet of one node, as far as launcher pods see them: one step of each pod at a time. */
import type { DomainEnd } from "../../api/launcher-protocol.ts";
import { LAUNCHER_CONTAINER } from "../../api/names.ts";
import type { Client } from "../../kube/client.ts";
import { ConflictError } from "../../kube/errors.ts";
import type { FakeApiServer } from "../../kube/fake/server.ts";
import { mergePatch } from "../../kube/request.ts";
import { NODES, PODS, type Pod } from "../../kube/resources.ts";
import { type AgentDouble, NODE_NAME } from "./agent.ts";

export interface KubeletScript {
  /** The agent tells that the guest runs before the pod's own status says anything. */
  readonly agentFirst?: boolean;
  /** No node fits. */
  readonly unschedulable?: boolean;
  /** The scheduler waits for a volume: it has chosen a node, and says nothing yet. */
  readonly unbound?: boolean;
  /** The kubelet has the pod, and doesn't get its volumes mounted. */
  readonly stuckOnNode?: boolean;
  /** It is dead: pods stay as they are. */
  readonly isAway?: boolean;
}

const SHUT_DOWN: DomainEnd = {
  reason: "shutdown",
  acpiRequested: true,
  code: "GuestShutdown",
  message: "the guest powered off",
};

/** For `end`: the guest's kernel has panicked. */
export const PANICKED: DomainEnd = {
  reason: "panicked",
  acpiRequested: false,
  code: "GuestPanicked",
  message: "panic",
};

export class KubeletDouble {
  script: KubeletScript = {};
  readonly #server: FakeApiServer;
  readonly #client: Client;
  readonly #agent: AgentDouble;
  readonly #told = new Set<string>();
  #isRegistered = false;
  readonly #endings = new Map<string, DomainEnd>();

  constructor(server: FakeApiServer, client: Client, agent: AgentDouble) {
    this.#server = server;
    this.#client = client;
    this.#agent = agent;
  }

  /** The guest of this pod ends so at the next step. */
  end(podUid: string, end: DomainEnd): void {
    this.#endings.set(podUid, end);
  }

  async step(): Promise<void> {
    await this.#register();
    if (this.script.isAway === true) return;
    for (const pod of this.#server.list(PODS)) await this.#stepPod(pod);
  }

  /** What the kubelet, or the node controller in its place, says of the node. */
  async setReady(
    status: "True" | "False" | "Unknown",
    message = "kubelet is posting ready status",
  ): Promise<void> {
    const conditions = [{ type: "Ready", status, message }];
    await this.#client
      .resource(NODES)
      .patch(NODE_NAME, mergePatch({ status: { conditions } }), { subresource: "status" });
  }

  async #register(): Promise<void> {
    if (this.#isRegistered) return;
    this.#isRegistered = true;
    await this.#client.resource(NODES).create({ metadata: { name: NODE_NAME } });
    await this.setReady("True");
  }

  async #stepPod(pod: Pod): Promise<void> {
    const { uid, deletionTimestamp, deletionGracePeriodSeconds = 0 } = pod.metadata;
    const phase = pod.status?.phase ?? "Pending";
    const isOver = phase === "Succeeded" || phase === "Failed";
    const end = this.#endings.get(uid) ?? (deletionTimestamp === undefined ? undefined : SHUT_DOWN);
    if (pod.spec.nodeName === undefined) {
      if (this.script.unbound !== true && deletionTimestamp === undefined) await this.#schedule(pod);
    } else if (!isOver && end !== undefined) {
      this.#agent.tell(uid, "stopped", { end });
      const exitCode = end.reason === "shutdown" ? 0 : 1;
      const terminated = {
        exitCode,
        reason: exitCode === 0 ? "Completed" : "Error",
        message: JSON.stringify(end),
      };
      await this.#setStatus(pod, exitCode === 0 ? "Succeeded" : "Failed", { terminated });
    } else if (deletionTimestamp === undefined && phase === "Pending" && this.script.stuckOnNode !== true) {
      if (this.script.agentFirst === true) this.#run(uid);
      await this.#setStatus(pod, "Running", { running: { startedAt: "2026-01-01T00:00:01Z" } });
    } else if (phase === "Running") {
      this.#run(uid);
    } else if (deletionTimestamp !== undefined && deletionGracePeriodSeconds > 0) {
      await this.#pods(pod).delete(pod.metadata.name, { gracePeriodSeconds: 0, preconditions: { uid } });
    }
  }

  #run(uid: string): void {
    if (this.#told.has(uid)) return;
    this.#told.add(uid);
    this.#agent.tell(uid, "preparing");
    this.#agent.tell(uid, "running");
  }

  async #schedule(pod: Pod): Promise<void> {
    if (this.script.unschedulable !== true) {
      const { name, namespace } = pod.metadata;
      const path = `/api/v1/namespaces/${namespace}/pods/${name}/binding`;
      const body = JSON.stringify({ target: { kind: "Node", name: NODE_NAME } });
      await this.#server.handle({ method: "POST", path, headers: {}, body });
      return;
    }
    if (pod.status?.conditions !== undefined) return;
    const condition = {
      type: "PodScheduled",
      status: "False" as const,
      reason: "Unschedulable",
      message: "no node fits",
    };
    await this.#pods(pod).updateStatus({ ...pod, status: { phase: "Pending", conditions: [condition] } });
  }

  async #setStatus(pod: Pod, phase: string, state: object): Promise<void> {
    const container = {
      name: LAUNCHER_CONTAINER,
      image: "i",
      imageID: "i",
      ready: true,
      restartCount: 0,
      state,
    };
    // Somebody was quicker: what is to be told is told at the next step.
    await this.#pods(pod)
      .updateStatus({
        ...pod,
        // Conditions of others, and readiness gates, stay as they are.
        status: {
          ...pod.status,
          phase,
          qosClass: "Burstable",
          podIP: "10.244.0.7",
          containerStatuses: [container],
        },
      } as Pod)
      .catch((error: unknown) => {
        if (!(error instanceof ConflictError)) throw error;
      });
  }

  #pods(pod: Pod) {
    return this.#client.resource(PODS).namespace(pod.metadata.namespace);
  }
}
