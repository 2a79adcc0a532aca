import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { FINALIZER_VM } from "../../api/names.ts";
import type { VirtualMachine } from "../../api/virtual-machine.ts";
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import type { VirtualMachineInstanceStatus } from "../../api/virtual-machine-instance-status.ts";
import { NOT_RUNNING } from "../vmi/status.ts";
import { instanceOf } from "./instance.ts";
import { type Observed, plan, type Write } from "./plan.ts";
import { backoffMs } from "./start-failure.ts";

const NOW = Date.parse("2026-01-01T00:10:00Z");
const ago = (seconds: number) => new Date(NOW - seconds * 1000).toISOString();

function vm(over: Partial<VirtualMachine> = {}): VirtualMachine {
  return {
    metadata: {
      name: "tiny",
      namespace: "default",
      uid: "vm-uid",
      resourceVersion: "1",
      creationTimestamp: "2026-01-01T00:00:00Z",
      generation: 3,
      finalizers: [FINALIZER_VM],
    },
    spec: {
      runStrategy: "Always",
      template: { spec: { domain: { devices: {}, memory: { guest: "128Mi" } } } },
    },
    ...over,
  };
}

const deleted = (machine: VirtualMachine): VirtualMachine => ({
  ...machine,
  metadata: { ...machine.metadata, deletionTimestamp: "2026-01-01T00:09:59Z" },
});

function vmi(status: VirtualMachineInstanceStatus, isLeaving = false): VirtualMachineInstance {
  const { metadata, spec } = instanceOf(vm());
  return {
    metadata: {
      ...metadata,
      uid: "vmi-uid",
      resourceVersion: "1",
      creationTimestamp: ago(100),
      ...(isLeaving ? { deletionTimestamp: ago(1) } : {}),
    },
    spec,
    status,
  };
}

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

const observe = (over: Partial<Observed> = {}): Observed => ({ vm: vm(), now: NOW, ...over });
const kinds = (writes: readonly Write[]) => writes.map((write) => write.kind);

function statusOf(writes: readonly Write[]) {
  const write = writes.find((one) => one.kind === "updateStatus");
  return write?.kind === "updateStatus" ? write.status : undefined;
}

/** The world after a plan's writes; deletions are over at once where `isGone`. */
function apply(observed: Observed, writes: readonly Write[], isGone = false): Observed {
  let { vm: machine, vmi: instance } = observed;
  for (const write of writes) {
    if (write.kind === "createInstance") instance = vmi({});
    if (write.kind === "deleteInstance") instance = isGone ? undefined : vmi(instance?.status ?? {}, true);
    if (write.kind === "updateStatus") machine = { ...machine, status: write.status };
    const metadata = machine.metadata;
    if (write.kind === "addFinalizer")
      machine = { ...machine, metadata: { ...metadata, finalizers: [FINALIZER_VM] } };
    if (write.kind === "removeFinalizer") machine = { ...machine, metadata: { ...metadata, finalizers: [] } };
  }
  const { vmi: _, ...rest } = observed;
  return { ...rest, vm: machine, ...(instance === undefined ? {} : { vmi: instance }) };
}

describe("a VM that shall run", () => {
  it("gets its finalizer, its VMI and the status Starting in one go", () => {
    const fresh = vm();
    const { writes, events } = plan(
      observe({ vm: { ...fresh, metadata: { ...fresh.metadata, finalizers: [] } } }),
    );
    assert.deepEqual(kinds(writes), ["addFinalizer", "createInstance", "updateStatus"]);
    assert.equal(statusOf(writes)?.printableStatus, "Starting");
    assert.equal(statusOf(writes)?.created, true);
    assert.deepEqual(
      events.map((event) => event.reason),
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
    assert.deepEqual(kinds(first.writes), ["deleteInstance", "updateStatus"]);
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
  for (const [name, spec] of [
    ["runStrategy Halted", { runStrategy: "Halted" as const }],
    ["running false", { running: false }],
  ] as const) {
    it(`by ${name} loses its VMI and then is Stopped`, () => {
      const { runStrategy: _, ...rest } = vm().spec;
      const halted = observe({ vm: vm({ spec: { ...rest, ...spec } }), vmi: running(100) });
      const first = plan(halted);
      assert.deepEqual(kinds(first.writes), ["deleteInstance", "updateStatus"]);
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
    runStrategy: fc.constantFrom<"Always" | "Halted">("Always", "Halted"),
    isForeign: fc.boolean(),
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
          machine = { ...machine, spec: { template, runStrategy: world.runStrategy } };
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
          const after = apply(seen, plan(seen).writes);
          // A VMI that starts to leave is news for the VM's word of its state; nothing else is.
          const settled = apply(
            after,
            plan(after).writes.filter((write) => write.kind === "updateStatus"),
          );
          assert.deepEqual(plan(settled).writes, []);
          machine = { ...machine, ...(settled.vm.status === undefined ? {} : { status: settled.vm.status }) };
        }
      }),
    );
  });
});
