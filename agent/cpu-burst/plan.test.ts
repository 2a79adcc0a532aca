import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { Bandwidth, BandwidthTarget, PodBandwidth, PodTarget } from "./bandwidth.ts";
import { applyWrite, type CgroupVersion, violation } from "./kernel.fixture.ts";
import { type BandwidthWrite, lawfulTarget, planWrites } from "./plan.ts";

const micros = fc.oneof(fc.integer({ min: 1_000, max: 10_000_000 }), fc.constantFrom(1_000, 50_000, 100_000));
const quota = fc.option(micros, { freq: 6 });
const period = fc.oneof(
  { arbitrary: fc.constant(100_000), weight: 5 },
  { arbitrary: fc.integer({ min: 1_000, max: 1_000_000 }), weight: 1 },
);
const bandwidth: fc.Arbitrary<Bandwidth> = fc
  .record({
    quotaMicros: quota,
    periodMicros: period,
    share: fc.option(fc.double({ min: 0, max: 1, noNaN: true }), { freq: 8 }),
  })
  .map(({ quotaMicros, periodMicros, share }) => ({
    quotaMicros,
    periodMicros,
    // Without a quota the kernel keeps any burst.
    burstMicros: share === null ? null : Math.round(share * (quotaMicros ?? 20_000_000)),
  }));
const version = fc.constantFrom<CgroupVersion>(1, 2);
/** Any state that the kernel can be in. */
const state = fc
  .record({ version, pod: bandwidth, container: bandwidth })
  .filter(({ version, pod, container }) => violation(version, { pod, container }) === undefined);
/** Also what the kernel doesn't take. */
const level: fc.Arbitrary<BandwidthTarget> = fc.record({
  quotaMicros: fc.option(fc.integer({ min: -5, max: 10_000_000 }), { freq: 6 }),
  burstMicros: fc.integer({ min: -5, max: 20_000_000 }),
});
const target: fc.Arbitrary<PodTarget> = fc.record({ pod: level, container: level });

function run(version: CgroupVersion, from: PodBandwidth, writes: readonly BandwidthWrite[]): PodBandwidth {
  return writes.reduce((now, write) => applyWrite(version, now, write), from);
}

function targetOf({ pod, container }: PodBandwidth): PodTarget {
  return {
    pod: { quotaMicros: pod.quotaMicros, burstMicros: pod.burstMicros ?? 0 },
    container: { quotaMicros: container.quotaMicros, burstMicros: container.burstMicros ?? 0 },
  };
}

describe("a plan of bandwidth writes", () => {
  it("is taken by the kernel write by write and ends at the target, from any state to any", () => {
    fc.assert(
      fc.property(state, target, ({ version, pod, container }, wanted) => {
        const from = { pod, container };
        const end = run(version, from, planWrites(from, wanted));
        const lawful = lawfulTarget(wanted, from);
        for (const at of ["pod", "container"] as const) {
          assert.equal(end[at].quotaMicros, lawful[at].quotaMicros);
          assert.equal(end[at].burstMicros, from[at].burstMicros === null ? null : lawful[at].burstMicros);
          assert.equal(end[at].periodMicros, from[at].periodMicros);
        }
      }),
      { numRuns: 5_000 },
    );
  });

  it("writes each value once at most, and nothing where nothing differs", () => {
    fc.assert(
      fc.property(state, target, ({ version, pod, container }, wanted) => {
        const from = { pod, container };
        const writes = planWrites(from, wanted);
        assert.equal(new Set(writes.map(({ level, value }) => `${level} ${value}`)).size, writes.length);
        assert.deepEqual(planWrites(run(version, from, writes), wanted), []);
      }),
    );
  });

  it("leaves what the kernel takes as it is", () => {
    fc.assert(
      fc.property(state, ({ pod, container }) => {
        const wanted = targetOf({ pod, container });
        fc.pre([pod, container].every((one) => one.quotaMicros !== null || (one.burstMicros ?? 0) === 0));
        fc.pre(violation(1, { pod, container }) === undefined);
        // What a child has above its parent by the kernel's rounding of ratios is rounded up here.
        fc.pre(pod.periodMicros === container.periodMicros);
        assert.deepEqual(lawfulTarget(wanted, { pod, container }), wanted);
      }),
    );
  });

  it("may break off after any write: what is left raised has its quota", () => {
    fc.assert(
      fc.property(state, target, fc.nat(6), ({ version, pod, container }, wanted, count) => {
        const from = { pod, container };
        const half = run(version, from, planWrites(from, wanted).slice(0, count));
        assert.equal(violation(version, half), undefined);
        const back = {
          pod: { quotaMicros: 50_000, burstMicros: 0 },
          container: { quotaMicros: 50_000, burstMicros: 0 },
        };
        run(version, half, planWrites(half, back));
      }),
    );
  });
});

describe("the order of writes", () => {
  const at = (quotaMicros: number, burstMicros: number): Bandwidth => ({
    quotaMicros,
    burstMicros,
    periodMicros: 100_000,
  });
  const both = (quotaMicros: number, burstMicros: number): PodBandwidth => ({
    pod: at(quotaMicros, burstMicros),
    container: at(quotaMicros, burstMicros),
  });
  const told = (from: PodBandwidth, to: PodTarget) =>
    planWrites(from, to).map(({ level, value, micros }) => `${level} ${value} ${micros}`);

  it("raises quotas from above, then bursts", () => {
    assert.deepEqual(told(both(50_000, 0), both(100_000, 100_000) as PodTarget), [
      "pod quota 100000",
      "container quota 100000",
      "pod burst 100000",
      "container burst 100000",
    ]);
  });

  it("lowers bursts, then quotas from below", () => {
    assert.deepEqual(told(both(100_000, 100_000), both(50_000, 0) as PodTarget), [
      "container burst 0",
      "pod burst 0",
      "container quota 50000",
      "pod quota 50000",
    ]);
  });

  it("zeroes a burst before it takes the quota away", () => {
    const none = { quotaMicros: null, burstMicros: 70_000 };
    assert.deepEqual(told(both(50_000, 50_000), { pod: none, container: none }), [
      "container burst 0",
      "pod burst 0",
      "pod quota null",
      "container quota null",
    ]);
  });

  it("makes room in the pod for a container that had no quota", () => {
    const from = { pod: at(50_000, 0), container: { ...at(0, 0), quotaMicros: null } };
    assert.deepEqual(told(from, both(80_000, 0) as PodTarget), ["pod quota 80000", "container quota 80000"]);
  });
});

it("the oracle refuses what mainline kernels refuse", () => {
  const base: PodBandwidth = {
    pod: { quotaMicros: 50_000, periodMicros: 100_000, burstMicros: 0 },
    container: { quotaMicros: 50_000, periodMicros: 100_000, burstMicros: 50_000 },
  };
  const refused = (version: CgroupVersion, write: BandwidthWrite) =>
    assert.throws(() => applyWrite(version, base, write), /EINVAL/);
  refused(2, { level: "container", value: "burst", micros: 50_001 });
  refused(2, { level: "container", value: "quota", micros: 49_999 });
  refused(2, { level: "pod", value: "quota", micros: 999 });
  refused(1, { level: "container", value: "quota", micros: 60_000 });
  refused(1, { level: "pod", value: "quota", micros: 40_000 });
  applyWrite(2, base, { level: "pod", value: "quota", micros: 40_000 });
});
