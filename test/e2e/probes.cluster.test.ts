/** Readiness and liveness probes, asked of real guests by the real kubelet. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { conditionOf } from "../../operator/vmi/conditions.ts";
import { Guests } from "../harness/guest.ts";

const STATUS_MS = 90_000;

describe("a guest that is probed", { concurrency: 3 }, () => {
  let guests: Guests;

  before(async () => {
    guests = await Guests.open("probes");
  });
  after(() => guests.close());

  it("is Ready when it answers, which is later than when it runs", async () => {
    const readinessProbe = { httpGet: { port: 80, path: "/uptime" }, periodSeconds: 1 };
    await guests.create("ready", { spec: { readinessProbe } });
    const running = await guests.untilVmi("ready", "phase Running", STATUS_MS, (vmi) => {
      return vmi.status?.phase === "Running";
    });
    const ready = conditionOf(running.status?.conditions, "Ready");
    assert.deepEqual([ready?.status, ready?.reason], ["False", "GuestNotReady"]);
    await guests.untilVm("ready", "Ready", STATUS_MS, ({ status }) => status?.ready === true);
    await guests.remove("ready");
  });

  it("is not Ready where nobody answers at the port", async () => {
    const readinessProbe = { tcpSocket: { port: 81 }, periodSeconds: 1 };
    await guests.create("deaf", { spec: { readinessProbe } });
    await guests.answering("deaf");
    const { status } = await guests.untilStatus("deaf", "Running", STATUS_MS);
    assert.equal(status?.ready, false);
    await guests.untilEventOfPod("deaf", "Unhealthy", /Readiness probe failed.*81/, STATUS_MS);
    await guests.remove("deaf");
  });

  it("fails, and is started again, when it does not live", async () => {
    const livenessProbe = {
      tcpSocket: { port: 81 },
      initialDelaySeconds: 8,
      periodSeconds: 1,
      failureThreshold: 2,
    };
    await guests.create("dying", { vm: { runStrategy: "RerunOnFailure" }, spec: { livenessProbe } });
    const { status } = await guests.untilStatus("dying", "CrashLoopBackOff", STATUS_MS);
    assert.match(conditionOf(status?.conditions, "Failure")?.message ?? "", /livenessProbe failed/);
    await guests.untilStatus("dying", "Running", STATUS_MS);
    await guests.remove("dying");
  });
});
