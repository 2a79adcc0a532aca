/** Operator, agent and kubelet die while guests run: the guests go on, and what happened meanwhile is told afterwards. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { LEASES, PODS, type Pod } from "../../kube/resources.ts";
import { VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINES } from "../../operator/kinds.ts";
import { until, untilGone } from "../harness/cluster.ts";
import { Guests, knock, onKnock, uptimeSeconds } from "../harness/guest.ts";
import {
  ensureKubelet,
  killKubelet,
  lastingRemainsOf,
  type PodTraces,
  remainsOf,
  tracesOf,
} from "../harness/node.ts";
import { killSystem, SYSTEM } from "../harness/system.ts";

/** The promise: so long after the process is back, every status is right again. */
const RECOVERY_MS = 20_000;
/** By so much a guest's clock may be late on a busy machine. */
const LATE_MS = 2_000;

describe("while a guest runs", () => {
  let guests: Guests;
  let steady: { readonly pod: Pod; readonly address: string };
  let steadyVmiUid: string | undefined;
  let leaverAddress: string;

  before(async () => {
    guests = await Guests.open("faults");
    await Promise.all(["steady", "leaver", "deleted"].map((name) => guests.create(name)));
    steady = await guests.answering("steady");
    [{ address: leaverAddress }] = await Promise.all([
      guests.answering("leaver"),
      guests.answering("deleted"),
    ]);
    steadyVmiUid = (await vmiOf("steady")).metadata.uid;
  });
  after(async () => {
    ensureKubelet();
    await guests.close();
  });

  const vmiOf = (name: string) => guests.resource(VIRTUAL_MACHINE_INSTANCES).get(name);

  /** When the guest began to count, on this machine's clock: within the time that its answer took. */
  async function counting(): Promise<{ readonly from: number; readonly to: number }> {
    const asked = performance.now();
    const uptimeMs = (await uptimeSeconds(steady.address)) * 1000;
    return { from: asked - uptimeMs, to: performance.now() - uptimeMs };
  }

  /** The same guest still runs, has never stopped counting, and its VM says so. */
  async function assertUntouched(before: { readonly from: number; readonly to: number }): Promise<void> {
    const now = await counting();
    const isSame = now.from < before.to + LATE_MS && now.to > before.from - LATE_MS;
    assert.ok(
      isSame,
      `it counted since ${before.from} to ${before.to} ms, and since ${now.from} to ${now.to}`,
    );
    await guests.untilVm(
      "steady",
      "Running and ready",
      RECOVERY_MS,
      ({ status }) => status?.printableStatus === "Running" && status.ready === true,
    );
    assert.equal((await vmiOf("steady")).metadata.uid, steadyVmiUid);
    assert.equal((await guests.pod("steady")).metadata.uid, steady.pod.metadata.uid);
  }

  /** Deletes a VM and returns what its pod has on the node. */
  async function markDeleted(name: string): Promise<PodTraces> {
    const traces = tracesOf(await guests.pod(name));
    await guests.resource(VIRTUAL_MACHINES).delete(name);
    return traces;
  }

  const untilVmGone = (name: string, timeoutMs: number) =>
    untilGone(guests.client, VIRTUAL_MACHINES, { namespace: guests.namespace, name, timeoutMs });

  it("killed operators change nothing, and tell afterwards what happened without them", async () => {
    const since = await counting();
    const traces = tracesOf(await guests.pod("deleted"));
    const leaver = await vmiOf("leaver");
    // Typed without an operator it would not get through: the guest waits for a knock.
    await guests.type("leaver", onKnock("poweroff"));
    const untilBack = await killSystem(guests.client, "virtpod-operator");
    // Nobody is there to see any of these.
    await knock(leaverAddress, RECOVERY_MS);
    await guests.resource(VIRTUAL_MACHINES).delete("deleted");
    await guests.create("newcomer");
    const leaverPod = await until(guests.client, PODS, {
      namespace: guests.namespace,
      name: (await guests.pod("leaver")).metadata.name,
      what: "the guest's end",
      timeoutMs: 60_000,
      when: (pod) => pod?.status?.phase === "Succeeded",
    });
    const unseen = await vmiOf("leaver");
    assert.equal(unseen.status?.phase, "Running", "an operator was still there");

    const ended = guests.untilVmi(
      "leaver",
      "the phase Succeeded of the incarnation that ended",
      2 * RECOVERY_MS,
      ({ metadata, status }) => metadata.uid === leaver.metadata.uid && status?.phase === "Succeeded",
    );
    await untilBack();
    const back = performance.now();
    await ended;
    const next = await guests.untilVmi(
      "leaver",
      "the next incarnation",
      60_000,
      ({ metadata }) => metadata.uid !== leaver.metadata.uid,
    );
    await untilVmGone("deleted", RECOVERY_MS);
    const elapsedMs = performance.now() - back;
    assert.ok(elapsedMs < RECOVERY_MS, `it took ${elapsedMs} ms after the operators were back`);
    // How long guests take to start is the machine's affair, which runs other tests beside them.
    await guests.untilVmi(
      "leaver",
      "the next incarnation running",
      60_000,
      ({ metadata, status }) => metadata.uid === next.metadata.uid && status?.phase === "Running",
    );
    await guests.untilStatus("newcomer", "Running", 60_000);
    const lease = await guests.client.resource(LEASES).namespace(SYSTEM).get("virtpod-operator");
    const finishedAt = leaverPod?.status?.containerStatuses?.[0]?.state?.terminated?.finishedAt ?? "";
    assert.ok(
      Date.parse(finishedAt) < Date.parse(lease.spec?.acquireTime ?? ""),
      "the old leader saw the end",
    );
    await assertUntouched(since);
    assert.deepEqual(await lastingRemainsOf(traces), []);
  });

  it("a killed agent changes nothing, and a VM that is deleted without it leaves nothing", async () => {
    await guests.create("deleted");
    await guests.answering("deleted");
    const since = await counting();
    const untilBack = await killSystem(guests.client, "virtpod-agent");
    // The kubelet refuses its pod or the scheduler finds no devices: either way it runs in the end.
    await guests.create("after-agent");
    const traces = await markDeleted("deleted");
    await untilVmGone("deleted", RECOVERY_MS);
    await untilBack();
    await assertUntouched(since);
    // What it tells of the guest that it found again reaches the operator: the console is there.
    await guests.type("steady", "true");
    await guests.answering("after-agent");
    assert.deepEqual(await lastingRemainsOf(traces), []);
  });

  it("a killed kubelet changes nothing, and what happened without it is told afterwards", async () => {
    const since = await counting();
    const leaver = await vmiOf("leaver");
    await guests.type("leaver", "true");
    killKubelet();
    await guests.type("leaver", "poweroff");
    const traces = await markDeleted("after-agent");
    await guests.create("after-kubelet");
    ensureKubelet();
    const back = performance.now();
    await untilVmGone("after-agent", RECOVERY_MS);
    await guests.untilVmi(
      "leaver",
      "the next incarnation",
      RECOVERY_MS,
      ({ metadata }) => metadata.uid !== leaver.metadata.uid,
    );
    assert.ok(performance.now() - back < RECOVERY_MS);
    await assertUntouched(since);
    assert.deepEqual(await lastingRemainsOf(traces), []);
    // The devices are offered again.
    await guests.answering("after-kubelet");
  });

  it("what ran through all of this leaves nothing either", async () => {
    const traces = tracesOf(await guests.pod("steady"));
    assert.match(
      remainsOf(traces).join(),
      /process .*qemu.*link veth.*network namespace.*mounts.*the agent's/s,
    );
    await guests.remove("steady");
    assert.deepEqual(await lastingRemainsOf(traces), []);
  });
});
