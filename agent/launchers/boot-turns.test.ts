import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { LauncherStatus } from "../../api/launcher-protocol.ts";
import { FakeClock } from "../../lib/fake-clock.ts";
import { BOOT_HOLD_MS, BOOT_WAIT_MS, type BootTurn, BootTurns, hasBooted } from "./boot-turns.ts";

const forEver = new AbortController().signal;

/** Guests that ask for their turns in order; `booting` are those that have one, in the order in which they got it. */
function guests(slots: number, count: number) {
  const clock = new FakeClock();
  const turns = new BootTurns({ slots, clock });
  const booting: number[] = [];
  const taken: BootTurn[] = [];
  const aborts = Array.from({ length: count }, () => new AbortController());
  const asked = aborts.map(async ({ signal }, guest) => {
    taken[guest] = await turns.take(signal);
    booting.push(guest);
  });
  return { clock, booting, taken, aborts, asked };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

describe("the turns of booting guests", () => {
  it("are taken at once while there are slots, and then in the order of asking", async () => {
    const { booting, taken } = guests(2, 5);
    await settled();
    assert.deepEqual(booting, [0, 1]);
    taken[1]?.end();
    await settled();
    assert.deepEqual(booting, [0, 1, 2]);
    taken[0]?.end();
    taken[0]?.end();
    await settled();
    assert.deepEqual(booting, [0, 1, 2, 3], "a turn that ends twice makes room for one");
  });

  it("end by themselves for guests that never tell that they are up", async () => {
    const { clock, booting, taken } = guests(1, 3);
    await settled();
    clock.advance(BOOT_HOLD_MS - 1);
    await settled();
    assert.deepEqual(booting, [0]);
    clock.advance(1);
    await settled();
    assert.deepEqual(booting, [0, 1]);
    taken[0]?.end();
    await settled();
    assert.deepEqual(booting, [0, 1], "one that was over already ends nobody else's");
  });

  it("are waited for no longer than the limit, however many guests are before", async () => {
    const { clock, booting } = guests(1, 9);
    await settled();
    for (let passed = 0; passed < BOOT_WAIT_MS; passed += 1000) {
      clock.advance(1000);
      await settled();
    }
    assert.deepEqual(booting, [0, 1, 2, 3, 4, 5, 6, 7, 8]);
  });

  it("are given up by a guest that has gone, and the next has its place", async () => {
    const { clock, booting, taken, aborts, asked } = guests(1, 3);
    await settled();
    aborts[1]?.abort(new Error("it has gone"));
    await assert.rejects(asked[1] ?? Promise.resolve(), /it has gone/);
    taken[0]?.end();
    await Promise.all([asked[0], asked[2]]);
    assert.deepEqual(booting, [0, 2]);
    taken[2]?.end();
    assert.equal(clock.pending, 0, "no timer is left");
  });

  it("are refused to a guest that has gone before it asked", async () => {
    const turns = new BootTurns({ slots: 1, clock: new FakeClock() });
    await assert.rejects(turns.take(AbortSignal.abort(new Error("gone"))), /gone/);
    assert.ok(await turns.take(forEver), "it has taken none");
  });
});

describe("a guest", () => {
  const status: LauncherStatus = {
    phase: "running",
    interfaces: [],
    timeline: { launcherStarted: "2026-01-01T00:00:00.000Z" },
  };

  const rows: readonly [claim: string, changes: Partial<LauncherStatus>, booted: boolean][] = [
    ["boots while it runs and nothing is heard of it", {}, false],
    ["boots before its domain is there", { phase: "preparing" }, false],
    [
      "has booted with its first lease",
      { timeline: { ...status.timeline, firstLease: "2026-01-01T00:00:02.000Z" } },
      true,
    ],
    ["goes on with its boot when somebody lets it, where it is paused", { paused: { reason: "user" } }, true],
    ["has booted when it stops", { phase: "stopping" }, true],
    ["has booted when it has ended", { phase: "stopped" }, true],
  ];
  for (const [claim, changes, booted] of rows) {
    it(claim, () => assert.equal(hasBooted({ ...status, ...changes }), booted));
  }
});
