import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { DomainFact, Effect, MachineEvent, MachineState, PauseReason, TimerName } from "./events.ts";
import { initialState, reduce, START_DEADLINE_MS } from "./machine.ts";
import { ACPI_RESEND_MS, DESTROY_DEADLINE_MS } from "./stopping.ts";

type Untimed = MachineEvent extends infer E ? (E extends unknown ? Omit<E, "atMs"> : never) : never;

const PREPARED: readonly Untimed[] = [
  { type: "prepared", step: "network" },
  { type: "prepared", step: "libvirt" },
  { type: "prepared", step: "disks" },
];
const RUNNING: readonly Untimed[] = [
  ...PREPARED,
  fact({ kind: "running" }),
  fact({ kind: "started" }),
  { type: "created" },
];

function fact(value: DomainFact): Untimed {
  return { type: "domain", fact: value };
}

function stop(gracePeriodMs: number): Untimed {
  return { type: "shutdownRequested", gracePeriodMs };
}

/** Plays the events one millisecond apart. */
function play(events: readonly Untimed[], startPaused = false): { state: MachineState; effects: Effect[] } {
  let state = initialState({ startPaused });
  const effects: Effect[] = [];
  events.forEach((event, i) => {
    const step = reduce(state, { ...event, atMs: i } as MachineEvent);
    state = step.state;
    effects.push(...step.effects);
  });
  return { state, effects };
}

function kinds(effects: readonly Effect[]): string[] {
  return effects.map((effect) =>
    effect.type === "arm" || effect.type === "disarm" ? `${effect.type} ${effect.timer}` : effect.type,
  );
}

function endOf(events: readonly Untimed[], startPaused = false): string {
  const { end } = play(events, startPaused).state;
  return end === undefined ? "none" : `${end.reason} ${end.code} acpi=${end.acpiRequested}`;
}

describe("the start", () => {
  it("creates the domain once, when network, libvirtd and disks are ready in any order", () => {
    fc.assert(
      fc.property(
        fc.shuffledSubarray([...PREPARED, ...PREPARED], { minLength: 6, maxLength: 6 }),
        (order) => {
          const { state, effects } = play(order);
          assert.equal(state.phase, "starting");
          assert.deepEqual(kinds(effects), ["create", "arm start"]);
        },
      ),
    );
  });

  it("runs with the first word of the domain, whether that is an event or the create call's reply", () => {
    for (const first of [
      fact({ kind: "running" }),
      fact({ kind: "started" }),
      { type: "created" } as Untimed,
    ]) {
      const { state, effects } = play([...PREPARED, first]);
      assert.equal(state.phase, "running");
      assert.equal(state.domainStartedAtMs, 3);
      assert.deepEqual(kinds(effects), ["create", "arm start", "disarm start"]);
    }
  });

  it("fails with the code of the step that failed", () => {
    assert.equal(
      endOf([{ type: "preparationFailed", step: "disks", code: "ImageNotFound", message: "m" }]),
      "failed ImageNotFound acpi=false",
    );
    assert.equal(
      endOf([...PREPARED, { type: "createFailed", code: "DomainCreation", message: "m" }]),
      "failed DomainCreation acpi=false",
    );
  });

  it("fails when the create call never comes to anything", () => {
    const { effects } = play(PREPARED);
    assert.deepEqual(effects.at(-1), { type: "arm", timer: "start", delayMs: START_DEADLINE_MS });
    assert.equal(endOf([...PREPARED, { type: "timer", name: "start" }]), "failed DomainCreation acpi=false");
    assert.equal(
      endOf([...PREPARED, fact({ kind: "gone", how: "unknown" })]),
      "failed DomainCreation acpi=false",
    );
  });

  it("leaves the failure of a start to the create call's own answer", () => {
    assert.equal(play([...PREPARED, fact({ kind: "gone", how: "crashed" })]).state.phase, "starting");
  });

  it("is over at once when a stop is asked for before the domain is created", () => {
    assert.equal(endOf([stop(30_000)]), "destroyed StoppedBeforeStart acpi=false");
  });
});

describe("a shutdown", () => {
  it("asks the guest, asks again every 5 s, and destroys it at the deadline", () => {
    const asked = play([...RUNNING, stop(30_000)]);
    assert.equal(asked.state.phase, "stopping");
    assert.deepEqual(asked.effects.slice(-3), [
      { type: "acpiShutdown" },
      { type: "arm", timer: "resend", delayMs: ACPI_RESEND_MS },
      { type: "arm", timer: "grace", delayMs: 30_000 },
    ]);
    const again = reduce(asked.state, { type: "timer", name: "resend", atMs: 5_006 });
    assert.deepEqual(kinds(again.effects), ["acpiShutdown", "arm resend"]);
    const late = reduce(again.state, { type: "timer", name: "grace", atMs: 30_006 });
    assert.deepEqual(kinds(late.effects), ["disarm resend", "disarm grace", "destroy", "arm destroy"]);
  });

  it("destroys at once with a grace period of 0", () => {
    assert.deepEqual(kinds(play([...RUNNING, stop(0)]).effects).slice(-2), ["destroy", "arm destroy"]);
  });

  it("asked for during the create call begins when the domain exists", () => {
    const events = [...PREPARED, stop(30_000)];
    assert.equal(play(events).state.phase, "starting");
    const { state, effects } = play([...events, { type: "created" }]);
    assert.equal(state.phase, "stopping");
    assert(kinds(effects).includes("acpiShutdown"));
    assert.deepEqual(kinds(play([...PREPARED, stop(0), { type: "created" }]).effects).slice(-2), [
      "destroy",
      "arm destroy",
    ]);
  });

  it("asked for during a create call that hangs ends the launcher after grace and destroy deadline", () => {
    const { effects } = play([...PREPARED, stop(1_000)]);
    assert.deepEqual(effects.at(-1), { type: "arm", timer: "destroy", delayMs: 1_000 + DESTROY_DEADLINE_MS });
    assert.equal(
      endOf([...PREPARED, stop(1_000), { type: "timer", name: "destroy" }]),
      "destroyed DestroyUnconfirmed acpi=false",
    );
  });

  it("asked for again may come sooner, never later", () => {
    const sooner = play([...RUNNING, stop(30_000), stop(1_000)]);
    assert.deepEqual(sooner.effects.at(-1), { type: "arm", timer: "grace", delayMs: 1_000 });
    assert.equal(kinds(sooner.effects).filter((kind) => kind === "acpiShutdown").length, 1);
    const later = play([...RUNNING, stop(1_000), stop(30_000)]);
    assert.deepEqual(later.state, play([...RUNNING, stop(1_000)]).state);
    assert(kinds(play([...RUNNING, stop(30_000), stop(0)]).effects).includes("destroy"));
  });

  it("of a paused guest resumes it first, for a paused guest can't answer ACPI", () => {
    const paused = fact({ kind: "paused", reason: "user" });
    assert.deepEqual(kinds(play([...RUNNING, paused, stop(30_000)]).effects).slice(-4), [
      "resume",
      "acpiShutdown",
      "arm resend",
      "arm grace",
    ]);
  });

  it("of a guest that was started paused and never ran destroys it at once", () => {
    const { effects } = play([...PREPARED, { type: "created" }, stop(30_000)], true);
    assert.deepEqual(kinds(effects).slice(-2), ["destroy", "arm destroy"]);
  });

  it("is asked for again when libvirtd died meanwhile", () => {
    const asked = play([...RUNNING, stop(30_000)]);
    assert.deepEqual(reduce(asked.state, { type: "reconnected", atMs: 99 }).effects, [
      { type: "acpiShutdown" },
    ]);
    const forced = play([...RUNNING, stop(0)]);
    assert.deepEqual(reduce(forced.state, { type: "reconnected", atMs: 99 }).effects, [{ type: "destroy" }]);
    const idle = play(RUNNING);
    assert.deepEqual(reduce(idle.state, { type: "reconnected", atMs: 99 }).effects, []);
  });

  it("resumes a guest that is still paused each time that it asks it, as after a resume that was lost", () => {
    for (const reason of ["user", "ioError"] as const) {
      const paused = fact({ kind: "paused", reason });
      const asked = play([...RUNNING, paused, stop(30_000), paused]);
      const again = reduce(asked.state, { type: "reconnected", atMs: 99 });
      assert.deepEqual(again.effects, [{ type: "resume" }, { type: "acpiShutdown" }]);
      const resent = reduce(again.state, { type: "timer", name: "resend", atMs: 5_006 });
      assert.deepEqual(kinds(resent.effects), ["resume", "acpiShutdown", "arm resend"]);
      const runs = play([...RUNNING, paused, stop(30_000), fact({ kind: "running" })]);
      const awake = reduce(runs.state, { type: "timer", name: "resend", atMs: 5_006 });
      assert.deepEqual(kinds(awake.effects), ["acpiShutdown", "arm resend"]);
    }
  });

  it("ends even when libvirt never confirms the destroy", () => {
    assert.equal(
      endOf([...RUNNING, stop(0), { type: "timer", name: "destroy" }]),
      "destroyed DestroyUnconfirmed acpi=false",
    );
  });

  it("puts a clock's early timer off to the deadline", () => {
    const asked = play([...RUNNING, stop(30_000)]);
    const early = reduce(asked.state, { type: "timer", name: "grace", atMs: 20_006 });
    assert.deepEqual(early.effects, [{ type: "arm", timer: "grace", delayMs: 10_000 }]);
  });
});

describe("the end", () => {
  const gone = (how: "shutdown" | "destroyed" | "crashed" | "unknown") => fact({ kind: "gone", how });
  const rows: readonly (readonly [claim: string, events: readonly Untimed[], end: string])[] = [
    ["of a guest that powers off by itself", [gone("shutdown")], "shutdown GuestPoweredOff acpi=false"],
    ["of a guest that was asked to", [stop(9), gone("shutdown")], "shutdown GuestPoweredOff acpi=true"],
    ["of a guest destroyed on request", [stop(0), gone("destroyed")], "destroyed Destroyed acpi=false"],
    [
      "of a guest that ignored ACPI",
      [stop(0.5), { type: "timer", name: "grace" }, gone("destroyed")],
      "destroyed Destroyed acpi=true",
    ],
    ["of a guest destroyed from outside", [gone("destroyed")], "destroyed Destroyed acpi=false"],
    ["of a qemu that was killed", [gone("crashed")], "crashed QemuCrashed acpi=false"],
    [
      "of a guest that panicked, which destroys it",
      [fact({ kind: "panicked" }), gone("destroyed")],
      "panicked GuestPanicked acpi=false",
    ],
    [
      "of a panic that libvirt cleaned up",
      [fact({ kind: "panicked" }), gone("crashed")],
      "panicked GuestPanicked acpi=false",
    ],
    ["unseen, with nothing asked for", [gone("unknown")], "crashed DomainLost acpi=false"],
    ["unseen, after an ACPI request", [stop(9), gone("unknown")], "shutdown GuestPoweredOff acpi=true"],
    ["unseen, after a destroy", [stop(0), gone("unknown")], "destroyed Destroyed acpi=false"],
    [
      "unseen, after the guest began to power off",
      [fact({ kind: "shuttingDown" }), gone("unknown")],
      "shutdown GuestPoweredOff acpi=false",
    ],
  ];
  for (const [claim, events, end] of rows) {
    it(`${claim} is ${end}`, () => assert.equal(endOf([...RUNNING, ...events]), end));
  }

  it("of a qemu that gave up has its last words, and that of one without words names a signal", () => {
    const message = (lastWords?: string) => {
      const traces = { isOutOfMemory: false, ...(lastWords !== undefined && { lastWords }) };
      return play([...RUNNING, fact({ kind: "gone", how: "crashed", traces })]).state.end?.message;
    };
    const plain = "qemu ended without the guest or the launcher asking for it";
    assert.equal(message("qemu: Bail out!"), `${plain}; it said: qemu: Bail out!`);
    assert.equal(message(""), `${plain}, and said nothing: it was ended by a signal`);
    assert.equal(message(), plain);
  });

  for (const how of ["crashed", "unknown"] as const) {
    it(`of a qemu that the kernel ended for want of memory says so, ${how} to libvirt`, () => {
      const gone = fact({ kind: "gone", how, traces: { isOutOfMemory: true, lastWords: "" } });
      assert.equal(endOf([...RUNNING, gone]), "crashed OOMKilled acpi=false");
      // What was asked for has come about all the same.
      assert.equal(
        endOf([...RUNNING, stop(0), fact({ kind: "gone", how: "destroyed" })]),
        "destroyed Destroyed acpi=false",
      );
    });
  }
});

describe("a pause", () => {
  const pausedBy = (reason: PauseReason) => fact({ kind: "paused", reason });

  it("is told with its reason and forgotten on resume", () => {
    assert.deepEqual(play([...RUNNING, pausedBy("watchdog")]).state.paused, { reason: "watchdog" });
    assert.equal(play([...RUNNING, pausedBy("watchdog"), fact({ kind: "running" })]).state.paused, undefined);
  });

  const failed = (disk: string, isOutOfRoom: boolean) =>
    fact({ kind: "diskFailed", failure: { disk, isOutOfRoom } });

  it("by a failing disk names it, in whichever order the failure and the pause are told", () => {
    for (const order of [
      [failed("data", true), pausedBy("ioError")],
      [pausedBy("ioError"), failed("data", true)],
      [failed("data", true), pausedBy("ioError"), failed("data", true), pausedBy("ioError")],
    ]) {
      const { effects, state } = play([...RUNNING, ...order]);
      assert.equal(state.paused?.reason, "ioError");
      assert.match(state.paused?.message ?? "", /^disk data: no room is left/);
      assert.equal(kinds(effects).at(-1), "arm room");
    }
  });

  it("by a disk that is broken waits for a person, by one that was missed for room or a person", () => {
    const broken = play([...RUNNING, failed("data", false), pausedBy("ioError")]);
    assert.match(broken.state.paused?.message ?? "", /^disk data failed with an I\/O error/);
    assert(!kinds(broken.effects).includes("arm room"));
    const missed = play([...RUNNING, pausedBy("ioError"), { type: "timer", name: "room" }]);
    assert.deepEqual(missed.effects.at(-1), { type: "lookForRoom", disk: undefined });
  });

  it("is not begun by a disk whose guest runs on", () => {
    const { state } = play([...RUNNING, failed("data", true)]);
    assert.equal(state.paused, undefined);
  });

  it("of a start keeps the name startPaused until the guest runs", () => {
    const started = [
      ...PREPARED,
      fact({ kind: "started" }),
      pausedBy("user"),
      { type: "created" } as Untimed,
    ];
    assert.equal(play(started, true).state.paused?.reason, "startPaused");
    const resumed = [...started, fact({ kind: "running" })];
    assert.equal(play(resumed, true).state.paused, undefined);
    assert.equal(play([...resumed, pausedBy("user")], true).state.paused?.reason, "user");
  });
});

const timers: readonly TimerName[] = ["start", "resend", "grace", "destroy", "room"];
const anyFact: fc.Arbitrary<DomainFact> = fc.oneof(
  fc.constantFrom<DomainFact>(
    { kind: "started" },
    { kind: "running" },
    { kind: "shuttingDown" },
    { kind: "panicked" },
  ),
  fc.constantFrom<PauseReason>("user", "ioError").map((reason): DomainFact => ({ kind: "paused", reason })),
  fc
    .boolean()
    .map((isOutOfRoom): DomainFact => ({ kind: "diskFailed", failure: { disk: "d", isOutOfRoom } })),
);
const anyEnd = fc
  .constantFrom("shutdown" as const, "destroyed" as const, "crashed" as const, "unknown" as const)
  .map((how): DomainFact => ({ kind: "gone", how }));
const anyEvent: fc.Arbitrary<Untimed> = fc.oneof(
  fc.constantFrom(...PREPARED),
  fc.constantFrom(...PREPARED),
  fc.constant<Untimed>({ type: "created" }),
  fc.constant<Untimed>({ type: "createFailed", code: "DomainCreation", message: "m" }),
  anyFact.map(fact),
  { weight: 1, arbitrary: anyEnd.map(fact) },
  fc.constant<Untimed>({ type: "reconnected" }),
  fc.constantFrom("found" as const, "none" as const, "unknown" as const).map((finding) => ({
    type: "room" as const,
    finding,
  })),
  fc.constantFrom(0, 1, 5_000, 60_000).map(stop),
  fc.constantFrom(...timers).map((name): Untimed => ({ type: "timer", name })),
);

/**
 * Lets time pass and nothing else: armed timers fire in order of their due time, until none is left.
 * `seed` are the effects so far, with the time at which each was returned.
 */
function waitOut(
  state: MachineState,
  armed: Map<TimerName, number>,
): { state: MachineState; effects: Effect[] } {
  const effects: Effect[] = [];
  for (let fired = 0; fired < 100_000; fired++) {
    const next = [...armed].sort((a, b) => a[1] - b[1])[0];
    if (next === undefined) break;
    const [name, atMs] = next;
    armed.delete(name);
    const step = reduce(state, { type: "timer", name, atMs });
    state = step.state;
    effects.push(...step.effects);
    applyTimers(armed, step.effects, atMs);
  }
  return { state, effects };
}

function applyTimers(armed: Map<TimerName, number>, effects: readonly Effect[], atMs: number): void {
  for (const effect of effects) {
    if (effect.type === "arm") armed.set(effect.timer, atMs + effect.delayMs);
    if (effect.type === "disarm") armed.delete(effect.timer);
  }
}

describe("whatever happens", () => {
  it("a shutdown ends in stopped by its deadlines alone, and no timer outlives the end", () => {
    fc.assert(
      fc.property(
        fc.array(anyEvent, { maxLength: 25 }),
        fc.boolean(),
        fc.nat(120_000),
        (events, startPaused, grace) => {
          let state = initialState({ startPaused });
          const armed = new Map<TimerName, number>();
          [...events, stop(grace)].forEach((event, i) => {
            const step = reduce(state, { ...event, atMs: i } as MachineEvent);
            state = step.state;
            applyTimers(armed, step.effects, i);
          });
          const final = waitOut(state, armed);
          assert.equal(final.state.phase, "stopped");
          assert.equal(armed.size, 0);
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it("the domain is created at most once and the life finished at most once", () => {
    fc.assert(
      fc.property(fc.array(anyEvent, { maxLength: 60 }), fc.boolean(), (events, startPaused) => {
        const { effects } = play(events, startPaused);
        const count = (type: Effect["type"]) => effects.filter((effect) => effect.type === type).length;
        assert(count("create") <= 1);
        assert(count("finish") <= 1);
      }),
      { numRuns: 2_000 },
    );
  });

  it("nothing is done and nothing changes after the end", () => {
    fc.assert(
      fc.property(fc.array(anyEvent, { maxLength: 30 }), (events) => {
        const { state } = play([...RUNNING, fact({ kind: "gone", how: "shutdown" })]);
        for (const event of events) {
          assert.deepEqual(reduce(state, { ...event, atMs: 0 } as MachineEvent), { state, effects: [] });
        }
      }),
    );
  });

  it("nothing is asked of a domain that was never created", () => {
    fc.assert(
      fc.property(fc.array(anyEvent, { maxLength: 40 }), (events) => {
        const order = kinds(play(events).effects);
        const created = order.indexOf("create");
        for (const call of ["acpiShutdown", "destroy", "resume"]) {
          const at = order.indexOf(call);
          assert(at === -1 || (created !== -1 && created < at), `${call} in ${order.join(", ")}`);
        }
      }),
      { numRuns: 2_000 },
    );
  });
});
