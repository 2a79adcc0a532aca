/** Nodes that are lost, cleared and come back, in a world with a real operator. */
import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import { FINALIZER_POD, LABEL_OUTDATED_LAUNCHER } from "../../api/names.ts";
import type { VirtualMachine } from "../../api/virtual-machine.ts";
import { mergePatch } from "../../kube/request.ts";
import { EVENTS, NODES, POD_DISRUPTION_BUDGETS, PODS } from "../../kube/resources.ts";
import { VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINES } from "../kinds.ts";
import { NODE_NAME } from "../testing/agent.ts";
import { machine, NAMESPACE, World } from "../testing/world.ts";
import { conditionOf } from "../vmi/conditions.ts";

const pods = (w: World) => w.user.resource(PODS).namespace(NAMESPACE);
const vmis = (w: World) => w.user.resource(VIRTUAL_MACHINE_INSTANCES).namespace(NAMESPACE);
const ready = (w: World) => conditionOf(w.vmi("tiny")?.status?.conditions, "Ready");
const says = (w: World) => w.vm("tiny")?.status?.printableStatus;
const agentCondition = (w: World) => conditionOf(w.vm("tiny")?.status?.conditions, "NodeAgentReady");
const podName = (w: World) => w.pods[0]?.metadata.name ?? "";

async function running(t: TestContext, over: Partial<VirtualMachine["spec"]> = {}): Promise<World> {
  const w = new World();
  t.after(() => w.close());
  await w.user.resource(VIRTUAL_MACHINES).create(machine("tiny", over));
  await w.until("Running", () => says(w) === "Running" && w.vm("tiny")?.status?.ready === true);
  await w.quiet();
  return w;
}

/** Kubelet and agent fall silent; the node controller says so, which takes it longer than losing a connection takes. */
async function loseNode(w: World): Promise<void> {
  w.kubelet.script = { isAway: true };
  w.agent.close();
  await w.until("the agent is missed", () => agentCondition(w)?.status === "False", 50);
  await w.quiet(50);
  await w.kubelet.setReady("Unknown", "Kubelet stopped posting node status.");
  await w.until("Unknown", () => says(w) === "Unknown", 50);
  await w.quiet(50);
}

async function returnNode(w: World): Promise<void> {
  w.kubelet.script = {};
  w.agent.dial(w.operator.agents);
  await w.kubelet.setReady("True");
}

describe("a node that is lost", () => {
  it("makes its VMs Unknown, which is told with what to do, and costs one write each", async (t) => {
    const w = await running(t);
    const before = w.writes.length;
    await loseNode(w);
    const writes = w.writes.slice(before);
    assert.deepEqual([ready(w)?.status, ready(w)?.reason], ["Unknown", "NodeUnresponsive"]);
    assert.match(ready(w)?.message ?? "", /stopped posting.*out-of-service/);
    // The agent's absence, and the node's.
    const each = ["PUT virtualmachineinstances/status", "PUT virtualmachines/status"];
    assert.deepEqual(writes, [...each, ...each]);
    await w.until("an event", () =>
      w.server.list(EVENTS).some(({ reason, type }) => reason === "NodeUnresponsive" && type === "Warning"),
    );
  });

  it("that comes back is told of, and its guest has gone on", async (t) => {
    const w = await running(t);
    await loseNode(w);
    await returnNode(w);
    await w.until("Running", () => says(w) === "Running" && w.vm("tiny")?.status?.ready === true);
    assert.equal(w.podUids.size, 1);
  });

  it("keeps its VM, however long it is gone, where the pod is only told to go", async (t) => {
    const w = await running(t);
    await loseNode(w);
    // As the taint manager does, after the toleration's seconds.
    await pods(w).delete(podName(w));
    await w.quiet(500);
    assert.equal(w.podUids.size, 1);
    assert.equal(says(w), "Unknown");
    await returnNode(w);
    await w.until("another pod", () => w.podUids.size === 2 && says(w) === "Running");
  });

  it("gives its VM up at once when the pod is deleted by force", async (t) => {
    const w = await running(t);
    await loseNode(w);
    const uid = w.vmi("tiny")?.metadata.uid;
    await pods(w).delete(podName(w), { gracePeriodSeconds: 0 });
    await w.until("another incarnation", () => w.podUids.size === 2, 5);
    assert.notEqual(w.vmi("tiny")?.metadata.uid, uid);
    assert.equal(w.vm("tiny")?.status?.startFailure, undefined);
  });

  it("gives its VM up at once when it is said to be out of service", async (t) => {
    const w = await running(t);
    await loseNode(w);
    await collect(w);
    await w.until("another incarnation", () => w.podUids.size === 2, 5);
    assert.equal(w.vm("tiny")?.status?.startFailure, undefined);
  });

  it("gives its VM up at once when the Node is deleted", async (t) => {
    const w = await running(t);
    await loseNode(w);
    await w.user.resource(NODES).delete(NODE_NAME);
    await collect(w, "DeletionByPodGC");
    await w.until("another incarnation", () => w.podUids.size === 2, 5);
    await w.until("told", () => w.server.list(EVENTS).some(({ message }) => /was lost/.test(message ?? "")));
  });

  for (const agent of ["connected", "away"] as const) {
    it(`is told of once where its kubelet's words count seconds, the agent ${agent}`, async (t) => {
      const w = await running(t);
      const words = (ago: string) => `PLEG is not healthy: pleg was last seen active ${ago} ago`;
      if (agent === "away") await loseNode(w);
      await w.kubelet.setReady("False", words("3m2s"));
      await w.quiet();
      const before = w.writes.length;
      const said = ready(w);
      assert.equal(said?.reason, agent === "away" ? "NodeUnresponsive" : "NodeNotReady");
      for (const ago of ["3m12s", "3m22s", "4m2s"]) {
        await w.kubelet.setReady("False", words(ago));
        await w.quiet();
      }
      assert.deepEqual(w.writes.slice(before), []);
      assert.deepEqual(ready(w), said);
    });
  }

  it("keeps its VM while its agent tells that the guest runs, whatever is said of the node", async (t) => {
    const w = await running(t);
    w.kubelet.script = { isAway: true };
    await w.kubelet.setReady("Unknown", "Kubelet stopped posting node status.");
    await w.until("not ready", () => ready(w)?.reason === "NodeNotReady");
    assert.equal(says(w), "Running");
    await collect(w);
    await w.quiet(500);
    assert.equal(w.podUids.size, 1);
    w.agent.close();
    await w.until("another incarnation, once the agent has gone as well", () => w.podUids.size === 2, 50);
  });

  /** As the pod garbage collector does on a node with the taint out-of-service: who deleted the pod before stands in it. */
  async function collect(w: World, reason = "DeletionByTaintManager"): Promise<void> {
    const conditions = [{ type: "DisruptionTarget", status: "True", reason, message: "PodGC: node is gone" }];
    await pods(w).patch(podName(w), mergePatch({ status: { phase: "Failed", conditions } }), {
      subresource: "status",
    });
    await pods(w).delete(podName(w), { gracePeriodSeconds: 0 });
  }
});

describe("a pod that is deleted by force", () => {
  it("on a healthy node stays until its kubelet tells its end: no qemu outlives its pod", async (t) => {
    const w = await running(t);
    w.kubelet.script = { isAway: true };
    await pods(w).delete(podName(w), { gracePeriodSeconds: 0 });
    await w.quiet(50);
    assert.deepEqual(w.pods[0]?.metadata.finalizers, [FINALIZER_POD]);
    assert.equal(w.podUids.size, 1);
    w.kubelet.script = {};
    await w.until("another incarnation", () => w.podUids.size === 2);
  });
});

describe("an agent", () => {
  it("that is back in time is no news", async (t) => {
    const w = await running(t);
    const before = w.writes.length;
    w.agent.close();
    await w.quiet(5);
    w.agent.dial(w.operator.agents);
    await w.quiet(200);
    assert.deepEqual(w.writes.slice(before), []);
  });

  it("that stays away is told of, and so is its return; its guest is Running all the while", async (t) => {
    const w = await running(t);
    w.agent.close();
    await w.until("told", () => agentCondition(w)?.status === "False", 50);
    assert.equal(says(w), "Running");
    w.agent.dial(w.operator.agents);
    await w.until("told again", () => agentCondition(w) === undefined);
  });
});

describe("a node that is cleared", () => {
  it("has its guest shut down, which is told while it happens and after", async (t) => {
    const w = await running(t, { runStrategy: "Once" });
    const reason = "EvictionByEvictionAPI";
    const conditions = [
      { type: "DisruptionTarget", status: "True", reason, message: "Eviction API: evicting" },
    ];
    await pods(w).patch(podName(w), mergePatch({ status: { conditions } }), { subresource: "status" });
    await w.until("told", () => {
      return conditionOf(w.vm("tiny")?.status?.conditions, "EvictionRequested")?.reason === reason;
    });
    await pods(w).delete(podName(w));
    await w.until("Succeeded", () => w.vmi("tiny")?.status?.phase === "Succeeded");
    assert.match(
      ready(w)?.message ?? "",
      /powered off; its launcher pod was taken off its node: Eviction API/,
    );
    await w.until("an event", () =>
      w.server.list(EVENTS).some((event) => event.reason === "EvictionRequested"),
    );
  });

  it("may not evict a guest whose strategy is External: that has a budget before it has a pod, and keeps it", async (t) => {
    const { template } = machine("tiny").spec;
    const w = await running(t, { template: { spec: { ...template.spec, evictionStrategy: "External" } } });
    const budgets = w.user.resource(POD_DISRUPTION_BUDGETS).namespace(NAMESPACE);
    const [budget] = w.server.list(POD_DISRUPTION_BUDGETS);
    const { uid = "" } = w.vmi("tiny")?.metadata ?? {};
    assert.deepEqual(budget?.spec, {
      minAvailable: 1,
      selector: { matchLabels: { "kubevirt.io/created-by": uid } },
    });
    assert(w.writes.indexOf("POST poddisruptionbudgets") < w.writes.indexOf("POST pods"));
    await budgets.delete(budget?.metadata.name ?? "");
    await w.until("the budget again", () => w.server.list(POD_DISRUPTION_BUDGETS).length === 1);
    const cordon = (unschedulable: boolean) =>
      w.user.resource(NODES).patch(NODE_NAME, mergePatch({ spec: { unschedulable } }));
    await cordon(true);
    await w.until("the node is named", () => w.vmi("tiny")?.status?.evacuationNodeName === NODE_NAME);
    await cordon(false);
    await w.until("no more", () => w.vmi("tiny")?.status?.evacuationNodeName === undefined);
  });
});

describe("what somebody takes apart by hand", () => {
  it("a pod without its owner is still its VMI's: none is made beside it, and it goes with the VMI", async (t) => {
    const w = await running(t);
    const before = w.writes.length;
    await pods(w).patch(podName(w), mergePatch({ metadata: { ownerReferences: null } }));
    await w.quiet(50);
    assert.deepEqual(w.writes.slice(before), []);
    await w.user.resource(VIRTUAL_MACHINES).namespace(NAMESPACE).delete("tiny");
    await w.until("all gone", () => w.pods.length === 0 && w.vm("tiny") === undefined);
    assert.equal(w.podUids.size, 1);
  });

  it("a VMI without its owner goes on, and its VM starts none beside it", async (t) => {
    const w = await running(t);
    await vmis(w).patch("tiny", mergePatch({ metadata: { ownerReferences: null } }));
    await w.until("told", () => {
      return conditionOf(w.vm("tiny")?.status?.conditions, "Failure")?.reason === "InstanceNotOwned";
    });
    await w.quiet(50);
    assert.equal(w.podUids.size, 1);
  });

  it("a VM deleted with --cascade=orphan leaves its guest running", async (t) => {
    const w = await running(t);
    const vms = w.user.resource(VIRTUAL_MACHINES).namespace(NAMESPACE);
    const { finalizers = [] } = w.vm("tiny")?.metadata ?? {};
    await vms.patch("tiny", mergePatch({ metadata: { finalizers: [...finalizers, "orphan"] } }));
    await vms.delete("tiny");
    await w.until("let go", () => w.vm("tiny")?.metadata.finalizers?.join() === "orphan");
    assert.equal(w.vmi("tiny")?.metadata.deletionTimestamp, undefined);
    assert.equal(w.vmi("tiny")?.status?.phase, "Running");
  });

  it("labels of a VMI change nothing, nor do those of its VM", async (t) => {
    const w = await running(t);
    const before = w.writes.length;
    await vmis(w).patch("tiny", mergePatch({ metadata: { labels: { "vm.kubevirt.io/name": "other" } } }));
    await w.quiet(50);
    assert.deepEqual(w.writes.slice(before), []);
  });
});

describe("a launcher of an older image", () => {
  it("is marked by the next operator, keeps telling its own image, and the mark goes with it", async (t) => {
    const w = await running(t);
    const mark = () => w.vmi("tiny")?.metadata.labels?.[LABEL_OUTDATED_LAUNCHER];
    assert.equal(mark(), undefined);
    w.launcherImage = "launcher:2";
    const before = w.writes.length;
    await w.restart();
    await w.until("marked", () => mark() === "");
    await w.quiet(2);
    assert.deepEqual(w.writes.slice(before), ["PATCH virtualmachineinstances"]);
    assert.equal(w.vmi("tiny")?.status?.launcherContainerImageVersion, "launcher:1");
    await vmis(w).delete("tiny");
    await w.until("another", () => w.podUids.size === 2 && says(w) === "Running");
    assert.equal(mark(), undefined);
  });
});
