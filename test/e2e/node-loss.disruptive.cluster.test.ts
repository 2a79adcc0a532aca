/**
 * A node that is lost, with guests on it; disturbs the deployment: it adds a node, which gets an agent's pod, and it
 * drains the real one of a guest.
 */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { NODES, type Node, PODS, type Pod } from "../../kube/resources.ts";
import { conditionOf } from "../../operator/vmi/conditions.ts";
import { kubeconfigPath, launcherPods, until } from "../harness/cluster.ts";
import { capture, clusterTool } from "../harness/command.ts";
import { FAKE_LABEL, FAKE_TAINT, FakeNode } from "../harness/fake-node.ts";
import { type Changes, condition, Guests } from "../harness/guest.ts";

/** The node controller's grace period is 50 s unless told otherwise, and it looks each 5 s. */
const LOST_TIMEOUT_MS = 120_000;
/** The promise: so long after the cluster itself knows. */
const TOLD_MS = 10_000;
/** The garbage collector of pods looks each 20 s. */
const COLLECTED_MS = 40_000;
const START_TIMEOUT_MS = 90_000;
/** Of the cordon, the drain and the taint manager: not the promise. */
const DONE_MS = 60_000;

describe("a node", { concurrency: 1 }, () => {
  let guests: Guests;
  let node: FakeNode;

  before(async () => {
    guests = await Guests.open("node-loss");
    node = await FakeNode.create(guests.client, `fake-${guests.namespace}`);
    await Promise.all(["taken", "forced", "cleared"].map((name) => guests.create(name, preferring(node))));
    await Promise.all(["taken", "forced", "cleared"].map((name) => untilBound(name)));
  });
  after(async () => {
    await node?.remove().catch(() => {});
    await guests.close();
  });

  /** Goes to the fake node as long as that takes it, and to the real one else. */
  function preferring({ name }: FakeNode): Changes {
    const matchExpressions = [{ key: FAKE_LABEL, operator: "In" as const, values: [name] }];
    const nodeAffinity = {
      preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 100, preference: { matchExpressions } }],
    };
    const tolerations = [
      { key: FAKE_TAINT.key, operator: "Exists" as const },
      // In place of the default 300 s.
      {
        key: "node.kubernetes.io/unreachable",
        operator: "Exists" as const,
        effect: "NoExecute" as const,
        tolerationSeconds: 1,
      },
    ];
    return { spec: { affinity: { nodeAffinity }, tolerations, terminationGracePeriodSeconds: 5 } };
  }

  async function untilBound(name: string): Promise<Pod> {
    await guests.untilVmi(name, "its pod", START_TIMEOUT_MS, ({ status }) => status?.phase === "Scheduling");
    const pod = await untilPod(name, "its node", ({ spec }) => spec.nodeName !== undefined);
    assert.equal(pod.spec.nodeName, node.name);
    return pod;
  }

  async function untilPod(name: string, what: string, when: (pod: Pod) => boolean): Promise<Pod> {
    const { metadata } = await guests.pod(name);
    const pod = await until(guests.client, PODS, {
      namespace: guests.namespace,
      name: metadata.name,
      what,
      timeoutMs: START_TIMEOUT_MS,
      when: (seen) => seen !== undefined && when(seen),
    });
    assert(pod !== undefined);
    return pod;
  }

  const pods = () => guests.resource(PODS);
  const isReady = (seen: Node | undefined, status: string) =>
    seen?.status?.conditions?.some((one) => one.type === "Ready" && one.status === status) === true;

  /** The VM runs on the real node, in another pod than before and in no second one. */
  async function assertMoved(name: string, from: Pod, timeoutMs: number): Promise<void> {
    await guests.untilVm(
      name,
      "another node",
      timeoutMs,
      ({ status }) => status?.printableStatus === "Starting",
    );
    const { pod } = await guests.answering(name, START_TIMEOUT_MS);
    assert.notEqual(pod.metadata.uid, from.metadata.uid);
    assert.notEqual(pod.spec.nodeName, node.name);
  }

  const kubectl = (...args: string[]) =>
    capture(clusterTool("kubectl"), args, { ...process.env, KUBECONFIG: kubeconfigPath() });

  async function evict({ metadata }: Pod): Promise<void> {
    const { name, namespace } = metadata;
    const body = { apiVersion: "policy/v1", kind: "Eviction", metadata: { name, namespace } };
    const path = `/api/v1/namespaces/${namespace}/pods/${name}/eviction`;
    await guests.client.request({
      method: "POST",
      path,
      body,
      action: `evict pod ${name}`,
      timeoutMs: DONE_MS,
    });
  }

  it("with NoExecute taints ends a guest that doesn't tolerate them, as it ends any pod, and its VM tells", async () => {
    await node.taint({ key: "test.virtpod.io/leave", effect: "NoExecute" });
    const vm = await guests.untilVm("cleared", "who clears it away", DONE_MS, (seen) => {
      return condition(seen, "EvictionRequested") !== undefined;
    });
    assert.equal(condition(vm, "EvictionRequested")?.reason, "DeletionByTaintManager");
    // Nobody tells the guest's end, so nothing takes its place.
    assert.equal((await launcherPods(guests.client, guests.namespace, "cleared")).length, 1);
    await guests.untilEvent("cleared", "EvictionRequested", /taken off its node/, DONE_MS);
  });

  // These two need the real node, and pass the time until the other one is given up.

  it("that is drained shuts its guests down in order, says so, and starts them when there is a node for them", async () => {
    await guests.create("drained", { spec: { terminationGracePeriodSeconds: 20 } });
    const { pod } = await guests.answering("drained");
    const nodeName = pod.spec.nodeName ?? "";
    try {
      const selector = "--pod-selector=vm.kubevirt.io/name=drained";
      kubectl("drain", nodeName, selector, "--delete-emptydir-data", "--force", "--timeout=60s");
      await guests.untilEvent("drained", "GuestPoweredOff", /taken off its node/, DONE_MS);
      await guests.untilEvent("drained", "EvictionRequested", /shuts down with it/, DONE_MS);
      await guests.untilStatus("drained", "ErrorUnschedulable", START_TIMEOUT_MS);
    } finally {
      kubectl("uncordon", nodeName);
    }
    await guests.answering("drained");
    await guests.remove("drained");
  });

  it("that is cordoned keeps a guest whose evictionStrategy is External, and names the node that it is to leave", async () => {
    await guests.create("guarded", { spec: { evictionStrategy: "External" } });
    const { pod } = await guests.answering("guarded");
    const nodeName = pod.spec.nodeName ?? "";
    await assert.rejects(evict(pod), /disruption budget/);
    try {
      kubectl("cordon", nodeName);
      await guests.untilVmi("guarded", "the node to leave", DONE_MS, ({ status }) => {
        return status?.evacuationNodeName === nodeName;
      });
    } finally {
      kubectl("uncordon", nodeName);
    }
    const { status } = await guests.untilVmi("guarded", "no such node", DONE_MS, (vmi) => {
      return vmi.status?.evacuationNodeName === undefined;
    });
    assert.equal(status?.phase, "Running");
    await guests.remove("guarded");
  });

  it("that is lost is told of by its VMs as soon as the cluster knows, and they stay where they are", async () => {
    await until(guests.client, NODES, {
      name: node.name,
      what: "the node controller's word",
      timeoutMs: LOST_TIMEOUT_MS,
      when: (seen) => isReady(seen, "Unknown"),
    });
    const vms = await Promise.all(
      ["taken", "forced"].map((name) => guests.untilStatus(name, "Unknown", TOLD_MS)),
    );
    for (const vm of vms) {
      const ready = conditionOf(vm.status?.conditions, "Ready");
      assert.deepEqual([ready?.status, ready?.reason], ["Unknown", "NodeUnresponsive"]);
      assert.match(ready?.message ?? "", /out-of-service/);
    }
    await guests.untilEvent("taken", "NodeUnresponsive", /does not answer/, DONE_MS);
    // The taint manager takes the pods off after the tolerated second: that proves nothing of the guest's end.
    for (const name of ["taken", "forced"]) {
      await untilPod(name, "its deletion", ({ metadata }) => metadata.deletionTimestamp !== undefined);
      await guests.untilStatus(name, "Unknown", TOLD_MS);
      assert.equal((await launcherPods(guests.client, guests.namespace, name)).length, 1);
    }
  });

  it("that is lost gives a VM up at once when its pod is deleted by force", async () => {
    const pod = await guests.pod("forced");
    await pods().delete(pod.metadata.name, { gracePeriodSeconds: 0 });
    await assertMoved("forced", pod, TOLD_MS);
  });

  it("that is lost gives its VMs up when it is said to be out of service, and brings no second copy when it is back", async () => {
    const pod = await guests.pod("taken");
    await node.taint({
      key: "node.kubernetes.io/out-of-service",
      value: "nodeshutdown",
      effect: "NoExecute",
    });
    await assertMoved("taken", pod, COLLECTED_MS);
    await guests.untilEvent("taken", "NodeUnresponsive", /was lost/, DONE_MS);
    const { metadata } = await guests.pod("taken");
    await node.setReady("True");
    await until(guests.client, NODES, {
      name: node.name,
      what: "its return",
      timeoutMs: DONE_MS,
      when: (seen) => isReady(seen, "True"),
    });
    assert.equal((await guests.pod("taken")).metadata.uid, metadata.uid);
    for (const name of ["taken", "forced"]) await guests.remove(name);
  });
});
