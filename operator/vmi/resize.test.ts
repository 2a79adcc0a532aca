import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FINALIZER_VMI } from "../../api/names.ts";
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import { conditionOf } from "./conditions.ts";
import { instance } from "./instance.fixture.ts";
import { type Observed, plan } from "./plan.ts";
import type { PodCpu } from "./pod-cpu.ts";
import { RUNNING_POD } from "./pod-facts.fixture.ts";

const MADE: PodCpu = { limit: 500, request: 500, actual: { limit: 500, request: 500 } };

function running(limit: string): VirtualMachineInstance {
  const vmi = instance(
    { domain: { resources: { limits: { cpu: limit } } } },
    { finalizers: [FINALIZER_VMI] },
  );
  return { ...vmi, status: { phase: "Running" } };
}

const observed = (over: Partial<Observed> = {}, cpu: PodCpu = MADE): Observed => ({
  vmi: running("1"),
  pods: [{ ...RUNNING_POD, cpu }],
  launcherImage: "launcher:1",
  now: "2026-01-01T00:00:00Z",
  ...over,
});

const resizes = (of: Observed) => plan(of).writes.filter(({ kind }) => kind === "resizePod");
const synchronized = (of: Observed) => {
  const write = plan(of).writes.find((one) => one.kind === "updateStatus");
  return write?.kind === "updateStatus" ? conditionOf(write.status.conditions, "Synchronized") : undefined;
};

describe("the plan of a pod's resize", () => {
  it("asks for what the VMI names, once, of a pod that runs", () => {
    assert.deepEqual(resizes(observed()), [
      { kind: "resizePod", pod: { ...RUNNING_POD, cpu: MADE }, cpu: { limit: 1000, request: 1000 } },
    ]);
    assert.deepEqual(resizes(observed({}, { ...MADE, limit: 1000, request: 1000 })), []);
    assert.deepEqual(resizes(observed({ vmi: running("500m") })), []);
  });

  it("leaves alone what has not started, is going or has ended", () => {
    for (const over of [{ isRunning: false }, { isDeleting: true }])
      assert.deepEqual(resizes(observed({ pods: [{ ...RUNNING_POD, cpu: MADE, ...over }] })), []);
    assert.deepEqual(resizes(observed({ vmi: { ...running("1"), status: { phase: "Failed" } } })), []);
  });

  it("tells why the API server or the kubelet doesn't do it, and nothing while the kubelet is at it", () => {
    const resizeFailure = { reason: "FailedResize", message: "no such node" };
    assert.equal(synchronized(observed({ resizeFailure }))?.message, "no such node");
    const asked = (reason: string): PodCpu => ({ ...MADE, limit: 1000, resize: { reason, message: "busy" } });
    assert.equal(synchronized(observed({}, asked("Deferred")))?.reason, "ResizeDeferred");
    assert.match(synchronized(observed({}, asked("Infeasible")))?.message ?? "", /kubelet .*: busy$/);
    assert.equal(synchronized(observed({}, asked("InProgress"))), undefined);
  });
});
