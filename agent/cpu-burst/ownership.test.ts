import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { judgeQuota, type QuotaOwnership, STRANGER_GRACE_MS } from "./ownership.ts";

const BASE = 50_000;
const at = (ownership: QuotaOwnership | undefined, actual: number | null, nowMs = 0, base = BASE) =>
  judgeQuota(ownership, actual, base, nowMs);

describe("a quota in a cgroup", () => {
  it("is expected where it is what the kubelet or the agent wrote last", () => {
    assert.equal(at(undefined, BASE).finding, "expected");
    assert.equal(at({ lawful: BASE }, BASE).finding, "expected");
    assert.deepEqual(at({ lawful: BASE, scaled: 60_000 }, 60_000), {
      finding: "expected",
      ownership: { lawful: BASE, scaled: 60_000 },
    });
  });

  it("is adopted where the kubelet has put it back to the base", () => {
    assert.deepEqual(at({ lawful: BASE, scaled: 60_000 }, BASE), {
      finding: "adopted",
      ownership: { lawful: BASE },
    });
  });

  it("is adopted at a resize, told to the agent before or after it", () => {
    const told = at({ lawful: BASE, scaled: 60_000 }, 80_000, 0, 80_000);
    assert.deepEqual(told, { finding: "adopted", ownership: { lawful: 80_000 } });

    const early = at({ lawful: BASE }, 80_000, 1_000);
    assert.equal(early.finding, "strange");
    assert.deepEqual(at(early.ownership, 80_000, 2_000, 80_000), {
      finding: "adopted",
      ownership: { lawful: 80_000 },
    });
  });

  it("stays the kubelet's old one until the kubelet has written the new base", () => {
    assert.deepEqual(at({ lawful: BASE }, BASE, 60_000, 30_000).finding, "expected");
    assert.deepEqual(at({ lawful: BASE, scaled: 60_000 }, BASE, 60_000, 30_000).finding, "adopted");
  });

  it("is repaired where a stranger's has stood for the time of grace, and not before", () => {
    const first = at({ lawful: BASE, scaled: 60_000 }, 77_777, 1_000);
    assert.equal(first.finding, "strange");
    const second = at(first.ownership, 77_777, 999 + STRANGER_GRACE_MS);
    assert.equal(second.finding, "strange");
    assert.deepEqual(at(second.ownership, 77_777, 1_000 + STRANGER_GRACE_MS), {
      finding: "repairable",
      ownership: { lawful: BASE },
    });
  });

  it("has its time of grace anew with each other value", () => {
    const first = at({ lawful: BASE }, 77_777, 0);
    const second = at(first.ownership, 88_888, STRANGER_GRACE_MS);
    assert.equal(second.finding, "strange");
    assert.equal(at(second.ownership, 88_888, STRANGER_GRACE_MS + 5_000).finding, "strange");
  });

  it("that is missing is a stranger's too", () => {
    const first = at({ lawful: BASE }, null, 0);
    assert.equal(first.finding, "strange");
    assert.equal(at(first.ownership, null, STRANGER_GRACE_MS).finding, "repairable");
  });

  it("ends at the base or at what is lawful, whoever writes what and however the clock runs", () => {
    const value = fc.option(fc.constantFrom(30_000, BASE, 60_000, 77_777), { freq: 5 });
    fc.assert(
      fc.property(fc.array(fc.tuple(value, fc.nat(20_000)), { maxLength: 20 }), (steps) => {
        let nowMs = 0;
        let ownership: QuotaOwnership | undefined;
        for (const [actual, elapsedMs] of steps) {
          nowMs += elapsedMs;
          ownership = at(ownership, actual, nowMs).ownership;
        }
        assert.equal(ownership?.lawful ?? BASE, BASE);
      }),
    );
  });
});
