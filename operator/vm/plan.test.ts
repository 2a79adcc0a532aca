import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { RunStrategy } from "../../api/virtual-machine.ts";
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import type { VirtualMachineInstanceStatus } from "../../api/virtual-machine-instance-status.ts";
import { NOT_RUNNING } from "../vmi/status.ts";
import { ago, apply, deleted, kinds, NOW, observe, statusOf, vm, vmi } from "./plan.fixture.ts";
import { eventsOf, type Observed, plan } from "./plan.ts";
import { backoffMs } from "./start-failure.ts";

const ready = (status: "True" | "False") => ({ type: "Ready", status });

function running(sinceSeconds: number): VirtualMachineInstance {
  return vmi({
    phase: "Running",
    conditions: [ready("True")],
    phaseTransitionTimestamps: [{ phase: "Running", phaseTransitionTimestamp: ago(sinceSeconds) }],
  });
}

function failed(ranForSeconds: number | undefined): VirtualMachineInstance {
  const ran =
    ranForSeconds === undefined
      ? []
      : [{ phase: "Running" as const, phaseTransitionTimestamp: ago(ranForSeconds) }];
  return vmi({
    phase: "Failed",
    conditions: [ready("False")],
    phaseTransitionTimestamps: [...ran, { phase: "Failed", phaseTransitionTimestamp: ago(0) }],
  });
}

/** The worlds in which the instance has gone, after the plan's last write or one before it. */
function goneAfter(observed: Observed): Observed[] {
  const { writes } = plan(observed);
  const cuts = writes.map((_, index) => apply(observed, writes.slice(0, index + 1), true));
  return cuts.filter(({ vmi: instance }) => instance === undefined);
}

describe("a VM that shall run", () => {
  it("gets its finalizer, its VMI and the status Starting in one go", () => {
    const fresh = vm();
    const { writes } = plan(observe({ vm: { ...fresh, metadata: { ...fresh.metadata, finalizers: [] } } }));
    assert.deepEqual(kinds(writes), ["addFinalizer", "createInstance", "updateStatus"]);
    assert.equal(statusOf(writes)?.printableStatus, "Starting");
    assert.equal(statusOf(writes)?.created, true);
    assert.deepEqual(
      eventsOf(writes).map((event) => event.reason),
      ["SuccessfulCreate"],
    );
  });

  it("writes nothing while its VMI only makes its way, and once when it runs", () => {
    const world = apply(observe(), plan(observe()).writes);
    assert.deepEqual(plan(world).writes, []);
    for (const phase of ["Pending", "Scheduling", "Scheduled"] as const) {
      assert.deepEqual(plan({ ...world, vmi: vmi({ phase, conditions: [NOT_RUNNING] }) }).writes, []);
    }
    const { writes } = plan({ ...world, vmi: running(1) });
    assert.deepEqual(kinds(writes), ["updateStatus"]);
    assert.equal(statusOf(writes)?.printableStatus, "Running");
    assert.equal(statusOf(writes)?.ready, true);
  });

  it("leaves a VMI alone that isn't its own and says so", () => {
    const { writes } = plan(observe({ foreign: true }));
    assert.deepEqual(kinds(writes), ["updateStatus"]);
    const failure = statusOf(writes)?.conditions?.find((one) => one.type === "Failure");
    assert.equal(failure?.reason, "InstanceNotOwned");
  });

  for (const [condition, expected] of [
    [{ type: "Synchronized", status: "False", reason: "ErrImagePull" }, "ErrImagePull"],
    [{ type: "Synchronized", status: "False", reason: "ImagePullBackOff" }, "ImagePullBackOff"],
    [{ type: "Synchronized", status: "False", reason: "ErrImageNeverPull" }, "ErrImagePull"],
    [{ type: "PodScheduled", status: "False", reason: "Unschedulable" }, "ErrorUnschedulable"],
  ] as const) {
    it(`is ${expected} while its VMI says ${condition.reason}`, () => {
      const { writes } = plan(observe({ vmi: vmi({ phase: "Scheduling", conditions: [condition] }) }));
      assert.equal(statusOf(writes)?.printableStatus, expected);
    });
  }
});

describe("a VM whose guest failed", () => {
  it("clears the VMI away, waits, and starts again when the time has come", () => {
    const first = plan(observe({ vmi: failed(undefined) }));
    assert.deepEqual(kinds(first.writes), ["updateStatus", "deleteInstance"]);
    assert.equal(statusOf(first.writes)?.printableStatus, "CrashLoopBackOff");
    assert.equal(statusOf(first.writes)?.startFailure?.consecutiveFailCount, 1);

    const waiting = apply(observe({ vmi: failed(undefined) }), first.writes, true);
    const second = plan(waiting);
    assert(!kinds(second.writes).includes("createInstance"));
    const waitMs = second.requeueAfterMs ?? 0;
    assert(waitMs >= 9_000 && waitMs <= 15_000, `${waitMs} ms`);

    const due = plan({ ...waiting, now: NOW + waitMs + 1 });
    assert(kinds(due.writes).includes("createInstance"));
  });

  it("says why the start failed, also when the VMI that said so is gone", () => {
    const message = "the guest's kernel panicked";
    const dead = failed(undefined);
    const conditions = [{ ...ready("False"), message }];
    const first = statusOf(
      plan(observe({ vmi: { ...dead, status: { ...dead.status, conditions } } })).writes,
    );
    const said = first?.conditions?.find(({ type }) => type === "Failure")?.message;
    assert.match(said ?? "", /^the start failed, the next one is due at .*: the guest's kernel panicked$/);
    assert.ok(first !== undefined);
    const later = statusOf(plan(observe({ vm: vm({ status: first }) })).writes);
    assert.equal(later?.conditions?.find(({ type }) => type === "Failure")?.message, said);
  });

  it("counts one failed VMI once, however often it is looked at", () => {
    const world = apply(observe({ vmi: failed(2) }), plan(observe({ vmi: failed(2) })).writes);
    const again = plan({
      ...world,
      vmi: { ...failed(2), metadata: { ...failed(2).metadata, deletionTimestamp: ago(0) } },
    });
    assert.equal(statusOf(again.writes)?.startFailure?.consecutiveFailCount ?? 1, 1);
  });

  it("counts one that reached Running and died at once, but none that ran for a minute", () => {
    const short = statusOf(plan(observe({ vmi: failed(5) })).writes);
    assert.equal(short?.startFailure?.consecutiveFailCount, 1);
    const long = statusOf(plan(observe({ vmi: failed(120) })).writes);
    assert.equal(long?.startFailure, undefined);
  });

  it("is held against it whichever write was the last", () => {
    const failing = observe({ vmi: failed(2) });
    for (const after of goneAfter(failing)) {
      const { writes, requeueAfterMs = 0 } = plan(after);
      assert(!kinds(writes).includes("createInstance"));
      assert(requeueAfterMs >= 9_000, `${requeueAfterMs} ms`);
    }
  });

  it("holds nothing against a guest that was stopped and did not obey", () => {
    const stopped = failed(10);
    const deletionTimestamp = ago(5);
    const metadata = { ...stopped.metadata, deletionTimestamp };
    const { writes } = plan(observe({ vmi: { ...stopped, metadata } }));
    assert.equal(statusOf(writes)?.startFailure, undefined);
  });

  it("is forgiven once it has run for a minute", () => {
    const startFailure = {
      consecutiveFailCount: 4,
      lastFailedVMIUID: "earlier",
      retryAfterTimestamp: ago(30),
    };
    const young = observe({ vm: vm({ status: { startFailure } }), vmi: running(20) });
    assert.equal(plan(young).requeueAfterMs, 40_000);
    const old = { ...young, vmi: running(61) };
    assert.equal(statusOf(plan(old).writes)?.startFailure, undefined);
  });

  it("waits by KubeVirt's formula, never more than five minutes", () => {
    assert.deepEqual(
      [1, 2, 3, 4, 5, 6].map((n) => backoffMs(n, 0) / 1000),
      [10, 40, 90, 160, 250, 300],
    );
    assert.deepEqual(
      [1, 2, 3].map((n) => backoffMs(n, 0.999_999) / 1000 < 15 * n * n),
      [true, true, true],
    );
  });
});

describe("a VM that shall not run", () => {
  it("is not started again where it is asked to stop, whichever write was the last", () => {
    const { template } = vm().spec;
    const status = { stateChangeRequests: [{ action: "Stop" as const, uid: "vmi-uid" }] };
    for (const runStrategy of ["RerunOnFailure", "Once"] as const) {
      const stopping = observe({
        vm: vm({ spec: { template, runStrategy }, status }),
        vmi: running(100),
      });
      for (const after of goneAfter(stopping)) {
        const { writes } = plan(after);
        assert(!kinds(writes).includes("createInstance"), runStrategy);
      }
    }
  });

  for (const [name, spec] of [
    ["runStrategy Halted", { runStrategy: "Halted" as const }],
    ["running false", { running: false }],
  ] as const) {
    it(`by ${name} loses its VMI and then is Stopped`, () => {
      const { runStrategy: _, ...rest } = vm().spec;
      const halted = observe({ vm: vm({ spec: { ...rest, ...spec } }), vmi: running(100) });
      const first = plan(halted);
      assert.deepEqual(kinds(first.writes), ["updateStatus", "deleteInstance"]);
      assert.equal(statusOf(first.writes)?.printableStatus, "Stopping");
      const stopped = plan(apply(halted, first.writes, true));
      assert.equal(statusOf(stopped.writes)?.printableStatus, "Stopped");
      assert.equal(statusOf(stopped.writes)?.created, false);
    });
  }
});

describe("a deleted VM", () => {
  it("stays Terminating until its VMI is gone, then lets go", () => {
    const observed = observe({ vm: deleted(vm()), vmi: running(100) });
    const first = plan(observed);
    assert.deepEqual(kinds(first.writes), ["deleteInstance", "updateStatus"]);
    assert.equal(statusOf(first.writes)?.printableStatus, "Terminating");
    const leaving = apply(observed, first.writes);
    assert.deepEqual(plan(leaving).writes, []);
    const { vmi: _, ...gone } = leaving;
    assert.deepEqual(kinds(plan(gone).writes), ["removeFinalizer"]);
  });
});

describe("plans of a VM", () => {
  const worlds = fc.record({
    isDeleted: fc.boolean(),
    runStrategy: fc.constantFrom<RunStrategy>("Always", "RerunOnFailure", "Manual", "Once", "Halted"),
    isForeign: fc.boolean(),
    requests: fc.array(
      fc.record({
        action: fc.constantFrom("Start", "Stop" as const),
        uid: fc.constantFrom("vmi-uid", "other"),
      }),
      { maxLength: 3 },
    ),
    instance: fc.option(
      fc.record({
        phase: fc.constantFrom("Pending", "Scheduling", "Running", "Succeeded", "Failed" as const),
        isLeaving: fc.boolean(),
        since: fc.integer({ min: 0, max: 200 }),
      }),
    ),
  });

  it("leave nothing to do once applied, whatever happened before", () => {
    fc.assert(
      fc.property(fc.array(worlds, { minLength: 1, maxLength: 6 }), (history) => {
        let machine = vm();
        for (const world of history) {
          const { template } = machine.spec;
          const status = { ...machine.status, stateChangeRequests: world.requests };
          machine = { ...machine, spec: { template, runStrategy: world.runStrategy }, status };
          const { instance } = world;
          const seen: Observed = {
            vm: world.isDeleted ? deleted(machine) : machine,
            now: NOW,
            ...(instance === null
              ? { foreign: world.isForeign }
              : {
                  vmi: vmi(
                    {
                      phase: instance.phase as NonNullable<VirtualMachineInstanceStatus["phase"]>,
                      conditions: [ready(instance.phase === "Running" ? "True" : "False")],
                      phaseTransitionTimestamps: [
                        { phase: "Running", phaseTransitionTimestamp: ago(instance.since) },
                      ],
                    },
                    instance.isLeaving,
                  ),
                }),
          };
          let settled = apply(seen, plan(seen).writes);
          // A VMI that was made or starts to leave is news for the VM's word of its state, and may be what the next
          // request waits for; that a guest succeeded is on record before its VMI goes. Nothing else is.
          for (const _ of ["recorded", "left", ...world.requests])
            settled = apply(settled, plan(settled).writes);
          assert.deepEqual(plan(settled).writes, []);
          machine = { ...machine, ...(settled.vm.status === undefined ? {} : { status: settled.vm.status }) };
        }
      }),
    );
  });
});
