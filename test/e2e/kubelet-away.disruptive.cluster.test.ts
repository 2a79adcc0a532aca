/** A kubelet that is away for longer than the cluster takes to notice, and its node's agent with it; a guest runs on. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { NODES } from "../../kube/resources.ts";
import { until } from "../harness/cluster.ts";
import { condition, Guests, uptimeSeconds } from "../harness/guest.ts";
import { ensureKubelet, killKubelet } from "../harness/node.ts";
import { killSystem } from "../harness/system.ts";

/** The node controller's grace period is 50 s unless told otherwise, and it looks each 5 s. */
const LOST_MS = 120_000;
/** The promise: so long after the cluster itself knows. */
const TOLD_MS = 10_000;
/** An agent is given so long to dial again before it counts as away. */
const AGENT_AWAY_MS = 8_000;
const BACK_MS = 60_000;
/** By so much a guest's clock may be late on a busy machine. */
const LATE_SECONDS = 5;

describe("a kubelet that is away", () => {
  let guests: Guests;
  before(async () => {
    guests = await Guests.open("kubelet-away");
  });
  after(async () => {
    ensureKubelet();
    await guests.close();
  });

  it("is told of once the cluster knows, without its agent as a node that is lost; the guest never stops", async () => {
    await guests.create("left");
    const { pod, address } = await guests.answering("left");
    const uptimeBefore = await uptimeSeconds(address);
    const killedAt = performance.now();
    killKubelet();
    await until(guests.client, NODES, {
      name: pod.spec.nodeName ?? "",
      what: "the node controller's word",
      timeoutMs: LOST_MS,
      when: (seen) => seen?.status?.conditions?.some(isUnknown) === true,
    });
    const alone = await guests.untilVm("left", "Ready to tell of the kubelet", TOLD_MS, (vm) => {
      return condition(vm, "Ready")?.reason === "NodeNotReady";
    });
    assert.deepEqual(
      [alone.status?.printableStatus, condition(alone, "Ready")?.status],
      ["Running", "False"],
    );
    // Nobody starts the agent's container again meanwhile.
    const agentIsBack = await killSystem(guests.client, "virtpod-agent");
    const lost = await guests.untilStatus("left", "Unknown", AGENT_AWAY_MS + TOLD_MS);
    assert.deepEqual(
      [condition(lost, "Ready")?.status, condition(lost, "Ready")?.reason],
      ["Unknown", "NodeUnresponsive"],
    );
    ensureKubelet();
    await agentIsBack();
    await guests.untilVm("left", "Running and ready", BACK_MS, (vm) => {
      return vm.status?.printableStatus === "Running" && condition(vm, "Ready")?.status === "True";
    });
    const { metadata, status } = await guests.pod("left");
    assert.deepEqual([metadata.uid, status?.containerStatuses?.[0]?.restartCount], [pod.metadata.uid, 0]);
    const awaySeconds = (performance.now() - killedAt) / 1000;
    const counted = (await uptimeSeconds(address)) - uptimeBefore;
    assert.ok(counted >= awaySeconds - LATE_SECONDS, `the guest counted ${counted} of ${awaySeconds} s`);
    await guests.untilEvent("left", "NodeNotReady", /the guest goes on/, TOLD_MS);
    await guests.untilEvent("left", "NodeUnresponsive", /may still run there/, TOLD_MS);
    await guests.untilEvent("left", "NodeResponsive", /answers again/, TOLD_MS);
    await guests.remove("left");
  });

  function isUnknown({ type, status }: { readonly type: string; readonly status: string }): boolean {
    return type === "Ready" && status === "Unknown";
  }
});
