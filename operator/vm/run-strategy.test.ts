import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { RunStrategy, VirtualMachine } from "../../api/virtual-machine.ts";
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import { ago, apply, NOW, vm, vmi } from "./plan.fixture.ts";
import { type Observed, plan } from "./plan.ts";
import { isPauseAsked, type StateChangeRequest } from "./run-strategy.ts";

const UID = "vmi-uid";
const START: StateChangeRequest = { action: "Start" };
const STOP: StateChangeRequest = { action: "Stop", uid: UID };

interface Outcome {
  /** What stands at last: the VMI of before, another one, or none. */
  readonly vmi: "same" | "another" | "none";
  /** Every word that `kubectl get vm` has said, from when the end began. */
  readonly said: readonly string[];
}

type End = "powers off" | "fails" | "is deleted by hand" | "is asked to stop" | "is asked to restart";

const same = (...said: string[]): Outcome => ({ vmi: "same", said });
const another = (...said: string[]): Outcome => ({ vmi: "another", said });
const none = (...said: string[]): Outcome => ({ vmi: "none", said });

/** Always starts again whatever was asked for: its stop is a change of the strategy. */
const OUTCOMES: Readonly<Record<Exclude<RunStrategy, "Halted">, Readonly<Record<End, Outcome>>>> = {
  Always: {
    "powers off": another("Starting", "Running"),
    fails: another("CrashLoopBackOff", "Starting", "Running"),
    "is deleted by hand": another("Stopping", "Starting", "Running"),
    "is asked to stop": another("Stopping", "Starting", "Running"),
    "is asked to restart": another("Stopping", "Starting", "Running"),
  },
  RerunOnFailure: {
    "powers off": none("Stopped"),
    fails: another("CrashLoopBackOff", "Starting", "Running"),
    "is deleted by hand": none("Stopping", "Stopped"),
    "is asked to stop": none("Stopping", "Stopped"),
    "is asked to restart": another("Stopping", "Starting", "Running"),
  },
  Manual: {
    "powers off": same("Stopped"),
    fails: same("Stopped"),
    "is deleted by hand": none("Stopping", "Stopped"),
    "is asked to stop": none("Stopping", "Stopped"),
    "is asked to restart": another("Stopping", "Starting", "Running"),
  },
  Once: {
    "powers off": same("Stopped"),
    fails: same("Stopped"),
    "is deleted by hand": none("Stopping", "Stopped"),
    "is asked to stop": none("Stopping", "Stopped"),
    "is asked to restart": another("Stopping", "Starting", "Running"),
  },
};

/** The world of one VM: what its operator, its launcher and its users do to it, one step at a time. */
class World {
  observed: Observed;
  readonly said: string[] = [];
  #made = 0;
  #writesUntilKill: number;
  /** Writes that the operator has made. */
  writes = 0;

  constructor(runStrategy: RunStrategy, writesUntilKill: number) {
    const { template } = vm().spec;
    this.observed = { vm: vm({ spec: { template, runStrategy } }), vmi: livingVmi(UID), now: NOW };
    this.#writesUntilKill = writesUntilKill;
    this.reconcile();
    this.said.length = 0;
    this.writes = 0;
  }

  /** Plans and writes until there is nothing left to do; the operator dies once, after the write that it may make. */
  reconcile(): void {
    for (let round = 0; round < 20; round++) {
      const { writes, requeueAfterMs } = plan(this.observed);
      if (writes.length === 0 && requeueAfterMs === undefined) return;
      if (writes.length === 0) {
        this.observed = { ...this.observed, now: this.observed.now + (requeueAfterMs ?? 0) };
        continue;
      }
      for (const write of writes) {
        this.#write(write);
        if (--this.#writesUntilKill === 0) break;
      }
      this.#settle();
    }
    assert.fail("the operator never comes to rest");
  }

  #write(write: ReturnType<typeof plan>["writes"][number]): void {
    this.writes++;
    this.observed = apply(this.observed, [write]);
    if (write.kind === "createInstance") this.#setVmi(livingVmi(`made-${++this.#made}`, "Scheduling"));
    const word = this.observed.vm.status?.printableStatus ?? "";
    if (write.kind === "updateStatus" && this.said.at(-1) !== word) this.said.push(word);
  }

  /** What launchers do meanwhile: guests start, and those that leave are gone. */
  #settle(): void {
    const { vmi: instance } = this.observed;
    if (instance?.status?.phase === "Scheduling") this.#setVmi(livingVmi(instance.metadata.uid ?? ""));
    if (instance?.metadata.deletionTimestamp !== undefined) this.#leave(instance);
  }

  /** Told in two steps: that it leaves, which is seen, and that it has gone. */
  #leave(instance: VirtualMachineInstance): void {
    if (instance.metadata.annotations?.["seen"] !== undefined) {
      const { vmi: _, ...rest } = this.observed;
      this.observed = rest;
      return;
    }
    const phase = instance.status?.phase === "Failed" ? "Failed" : "Succeeded";
    const metadata = { ...instance.metadata, annotations: { seen: "" } };
    this.#setVmi({ ...instance, metadata, status: { ...instance.status, phase } });
  }

  #setVmi(instance: VirtualMachineInstance): void {
    this.observed = { ...this.observed, vmi: instance };
  }

  begin(end: End): void {
    const { vm: machine, vmi: instance = livingVmi(UID) } = this.observed;
    const finish = (phase: "Succeeded" | "Failed") =>
      this.#setVmi({
        ...instance,
        status: {
          phase,
          phaseTransitionTimestamps: [
            { phase: "Running", phaseTransitionTimestamp: ago(5) },
            { phase, phaseTransitionTimestamp: ago(0) },
          ],
        },
      });
    const ask = (...stateChangeRequests: StateChangeRequest[]) => {
      const status = { ...machine.status, stateChangeRequests };
      this.observed = { ...this.observed, vm: { ...machine, status } };
    };
    if (end === "powers off") finish("Succeeded");
    if (end === "fails") finish("Failed");
    if (end === "is deleted by hand") this.#setVmi(leaving(instance));
    if (end === "is asked to stop") ask(STOP);
    if (end === "is asked to restart") ask(STOP, START);
  }

  /** Until the world rests: what leaves has gone, what starts has started. */
  run(): void {
    for (let before = ""; before !== JSON.stringify(this.observed); ) {
      before = JSON.stringify(this.observed);
      this.reconcile();
      this.#settle();
    }
  }

  outcome(): Outcome {
    const { uid } = this.observed.vmi?.metadata ?? {};
    return { vmi: uid === undefined ? "none" : uid === UID ? "same" : "another", said: this.said };
  }

  get made(): number {
    return this.#made;
  }
}

function livingVmi(uid: string, phase: "Scheduling" | "Running" = "Running"): VirtualMachineInstance {
  const { metadata, ...rest } = vmi({
    phase,
    phaseTransitionTimestamps: phase === "Running" ? [{ phase, phaseTransitionTimestamp: ago(5) }] : [],
  });
  return { ...rest, metadata: { ...metadata, uid } };
}

function leaving(instance: VirtualMachineInstance): VirtualMachineInstance {
  return { ...instance, metadata: { ...instance.metadata, deletionTimestamp: ago(1) } };
}

describe("a guest that ends", () => {
  for (const [strategy, row] of Object.entries(OUTCOMES)) {
    for (const [end, outcome] of Object.entries(row)) {
      const at = (kill: number): World => {
        const world = new World(strategy as RunStrategy, kill);
        world.begin(end as End);
        world.run();
        return world;
      };
      it(`${end} under ${strategy}: ${outcome.said.at(-1)}`, () => {
        assert.deepEqual(at(Number.POSITIVE_INFINITY).outcome(), outcome);
      });
      it(`${end} under ${strategy}: likewise, and no VMI twice, when the operator dies after any write`, () => {
        const { writes } = at(Number.POSITIVE_INFINITY);
        for (let kill = 1; kill <= writes; kill++) {
          const world = at(kill);
          assert.equal(world.outcome().vmi, outcome.vmi, `killed after write ${kill}`);
          assert.equal(world.said.at(-1), outcome.said.at(-1), `killed after write ${kill}`);
          assert.equal(world.made, outcome.vmi === "another" ? 1 : 0, `killed after write ${kill}`);
        }
      });
    }
  }
});

describe("a VM that has no VMI", () => {
  const without = (runStrategy: RunStrategy, status: VirtualMachine["status"] = {}): Observed => {
    const { template } = vm().spec;
    return { vm: vm({ spec: { template, runStrategy }, status }), now: NOW };
  };
  const creates = (observed: Observed) => plan(observed).writes.some(({ kind }) => kind === "createInstance");

  for (const [strategy, starts] of [
    ["Always", true],
    ["RerunOnFailure", true],
    ["Once", true],
    ["Manual", false],
    ["Halted", false],
  ] as const) {
    it(`is ${starts ? "" : "not "}started by itself under ${strategy}`, () => {
      assert.equal(creates(without(strategy)), starts);
    });
  }

  it("is started on request under Manual, and the request goes with the start", () => {
    const asked = without("Manual", { stateChangeRequests: [START] });
    const { writes } = plan(asked);
    assert.deepEqual(
      writes.map(({ kind }) => kind),
      ["createInstance", "updateStatus"],
    );
    assert.deepEqual(apply(asked, writes).vm.status?.stateChangeRequests, undefined);
  });

  it("is started on request at once, whatever back-off is due", () => {
    const startFailure = {
      consecutiveFailCount: 5,
      retryAfterTimestamp: new Date(NOW + 60_000).toISOString(),
    };
    assert.equal(creates(without("RerunOnFailure", { startFailure })), false);
    assert.equal(creates(without("RerunOnFailure", { startFailure, stateChangeRequests: [START] })), true);
  });

  it("is started paused where that was asked for, also while its strategy is still Halted", () => {
    const stateChangeRequests = [{ ...START, data: { paused: "true" } }];
    const halted = without("Halted", { stateChangeRequests });
    const kept = apply(halted, plan(halted).writes);
    assert.deepEqual(kept.vm.status?.stateChangeRequests, stateChangeRequests);
    const { template } = kept.vm.spec;
    const started = { ...kept, vm: { ...kept.vm, spec: { template, runStrategy: "Always" as const } } };
    assert.equal(isPauseAsked(started), true);
    assert.deepEqual(
      plan(started).writes.flatMap((write) => (write.kind === "createInstance" ? [write.paused] : [])),
      [true],
    );
  });

  it("forgets under Halted what was asked for before", () => {
    const halted = without("Halted", { stateChangeRequests: [STOP, START] });
    assert.deepEqual(apply(halted, plan(halted).writes).vm.status?.stateChangeRequests, undefined);
  });

  it("forgets a stop of a VMI that has gone", () => {
    const stale = without("Always", { stateChangeRequests: [{ action: "Stop", uid: "another" }] });
    const after = apply(stale, plan(stale).writes);
    assert.deepEqual(after.vm.status?.stateChangeRequests, undefined);
    assert.equal(after.vmi !== undefined, true);
  });
});
