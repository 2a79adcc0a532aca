import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import { ago, apply, observe, vm, vmi } from "./plan.fixture.ts";
import { eventsOf, type Observed, plan } from "./plan.ts";

/** The VM's events, as its operator sees one state after the other. */
function story(first: Observed, ...rest: readonly (VirtualMachineInstance | undefined)[]): string[] {
  const told: string[] = [];
  let { vm: machine } = first;
  for (const instance of [first.vmi, ...rest]) {
    const seen: Observed = {
      vm: machine,
      now: first.now,
      ...(instance === undefined ? {} : { vmi: instance }),
    };
    const { writes } = plan(seen);
    told.push(...eventsOf(writes).map(({ type, reason, message }) => `${type} ${reason}: ${message}`));
    machine = apply(seen, writes).vm;
  }
  return told;
}

const ended = (phase: "Failed" | "Succeeded", reason: string, message: string) =>
  vmi({
    phase,
    reason,
    conditions: [{ type: "Ready", status: "False", reason: "PodTerminated", message }],
    phaseTransitionTimestamps: [{ phase, phaseTransitionTimestamp: ago(0) }],
  });
const on = vmi({ phase: "Running", nodeName: "node-1", conditions: [{ type: "Ready", status: "True" }] });

describe("the events of a VM", () => {
  it("tell a life as a story, each thing once", () => {
    const panicked = ended("Failed", "GuestPanicked", "the guest's kernel panicked");
    assert.deepEqual(story(observe(), vmi({ phase: "Scheduling" }), on, on, panicked), [
      "Normal SuccessfulCreate: Started the virtual machine by creating the virtual machine instance tiny",
      "Normal Started: The guest runs on node node-1",
      "Warning GuestPanicked: the guest's kernel panicked",
      "Warning CrashLoopBackOff: the start failed, the next one is due at 2026-01-01T00:10:11Z: the guest's kernel panicked",
      "Normal SuccessfulDelete: Stopped the virtual machine by deleting the virtual machine instance tiny",
    ]);
  });

  it("tell of a node that is lost, of an eviction, and of a template that waits for the next start", () => {
    const lost = {
      type: "Ready",
      status: "Unknown" as const,
      reason: "NodeUnresponsive",
      message: "node node-1 does not answer",
    };
    const evicted = {
      type: "EvictionRequested",
      status: "True" as const,
      reason: "EvictionByEvictionAPI",
      message: "the launcher pod is taken off its node",
    };
    const running = { phase: "Running", nodeName: "node-1" } as const;
    const told = story(
      observe({ vm: vm(), vmi: on }),
      vmi({ ...running, conditions: [lost] }),
      on,
      vmi({ ...running, conditions: [{ type: "Ready", status: "True" }, evicted] }),
    );
    assert.deepEqual(told, [
      "Normal Started: The guest runs on node node-1",
      "Warning NodeUnresponsive: node node-1 does not answer",
      "Normal NodeResponsive: The guest runs on node node-1",
      "Warning EvictionRequested: the launcher pod is taken off its node",
    ]);
  });

  it("tell why none is started", () => {
    const scheduled = {
      type: "PodScheduled",
      status: "False" as const,
      reason: "Unschedulable",
      message: "no node",
    };
    assert.deepEqual(story(observe({ vmi: vmi({ phase: "Scheduling", conditions: [scheduled] }) })), [
      "Warning Unschedulable: no node",
    ]);
  });
});
