/**
 * A second node that has no machine behind it: a Node object that offers what launchers ask for, so that the
 * scheduler, the node controller, the taint manager and the pod garbage collector treat it as any other.
 */
import type { Client } from "../../kube/client.ts";
import { mergePatch } from "../../kube/request.ts";
import { NODES, type Node, PODS } from "../../kube/resources.ts";
import { until, untilGone } from "./cluster.ts";
import { SYSTEM } from "./system.ts";

type Taint = NonNullable<NonNullable<Node["spec"]>["taints"]>[number];

/** Only pods that tolerate it come here. */
export const FAKE_TAINT: Taint = { key: "test.virtpod.io/fake-node", effect: "NoSchedule" };
export const FAKE_LABEL = "test.virtpod.io/fake-node";

const RESOURCES = {
  cpu: "8",
  memory: "16Gi",
  pods: "20",
  "ephemeral-storage": "20Gi",
  "virtpod.io/launcher": "20",
  "devices.kubevirt.io/tun": "20",
  "devices.kubevirt.io/kvm": "20",
};

export class FakeNode {
  readonly name: string;
  readonly #client: Client;

  private constructor(client: Client, name: string) {
    this.#client = client;
    this.name = name;
  }

  /**
   * Ready, and taken for it; since nobody renews its lease, the node controller will call it Unknown after its grace
   * period.
   */
  static async create(client: Client, name: string): Promise<FakeNode> {
    const labels = { [FAKE_LABEL]: name, "kubernetes.io/hostname": name, "kubernetes.io/os": "linux" };
    await client.resource(NODES).create({ metadata: { name, labels }, spec: { taints: [FAKE_TAINT] } });
    const node = new FakeNode(client, name);
    await node.setReady("True");
    // Admission taints each new node, and the node controller takes that off when it gets to it: until then the
    // scheduler prefers any other.
    await until(client, NODES, {
      name,
      what: "no taint as not ready",
      timeoutMs: 30_000,
      when: (seen) => seen?.spec?.taints?.some(({ key }) => key === "node.kubernetes.io/not-ready") === false,
    });
    return node;
  }

  /** As its kubelet would. */
  async setReady(status: "True" | "False"): Promise<void> {
    const now = new Date().toISOString();
    const condition = {
      lastHeartbeatTime: now,
      lastTransitionTime: now,
      reason: "Test",
      message: "as a test says",
    };
    await this.#client.resource(NODES).patch(
      this.name,
      {
        type: "strategic",
        body: {
          status: {
            capacity: RESOURCES,
            allocatable: RESOURCES,
            conditions: [{ type: "Ready", status, ...condition }],
          },
        },
      },
      { subresource: "status" },
    );
  }

  /** Beside those that the node controller has put on it. */
  async taint(taint: Taint): Promise<void> {
    const { spec } = await this.#client.resource(NODES).get(this.name);
    const taints = [...(spec?.taints ?? []), taint];
    await this.#client.resource(NODES).patch(this.name, mergePatch({ spec: { taints } }));
  }

  /** With its agent's pod, which looks like any other's until the garbage collector has missed the node for 40 s. */
  async remove(): Promise<void> {
    await this.#client.resource(NODES).delete(this.name);
    await untilGone(this.#client, NODES, { name: this.name, timeoutMs: 30_000 });
    const { items } = await this.#client
      .resource(PODS)
      .namespace(SYSTEM)
      .list({ fieldSelector: `spec.nodeName=${this.name}` });
    for (const { metadata } of items)
      await untilGone(this.#client, PODS, { namespace: SYSTEM, name: metadata.name, timeoutMs: 120_000 });
  }
}
