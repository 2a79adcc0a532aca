/** The oracle of the plans is what this machine's kernel does; root. */
import assert from "node:assert/strict";
import { after, before, it } from "node:test";
import fc from "fast-check";
import { LEVELS, type PodBandwidth, type PodTarget } from "./bandwidth.ts";
import { CgroupLab, type PodCgroups, VERSION } from "./cgroups.fixture.ts";
import { applyWrite } from "./kernel.fixture.ts";
import { type BandwidthWrite, lawfulTarget, planWrites } from "./plan.ts";

let lab: CgroupLab;
let pod: PodCgroups;

before(async () => {
  lab = await CgroupLab.open();
  pod = lab.pod();
});

after(() => lab[Symbol.asyncDispose]());

const micros = fc.oneof(fc.integer({ min: 900, max: 200_000 }), fc.constantFrom(999, 1_000, 50_000, 100_000));
const write: fc.Arbitrary<BandwidthWrite> = fc.oneof(
  fc.record({
    level: fc.constantFrom(...LEVELS),
    value: fc.constant("quota" as const),
    micros: fc.option(micros, { freq: 6 }),
  }),
  fc.record({
    level: fc.constantFrom(...LEVELS),
    value: fc.constant("burst" as const),
    micros: fc.oneof(fc.constant(0), micros),
  }),
);

it("the kernel takes and refuses what the oracle does, whatever is written in whatever order", () => {
  fc.assert(
    fc.property(fc.array(write, { maxLength: 30 }), (writes) => {
      let expected: PodBandwidth = pod.bandwidth;
      for (const one of writes) {
        const predicted = outcome(() => applyWrite(VERSION, expected, one));
        const actual = outcome(() => perform(one));
        assert.equal(actual.refused, predicted.refused, JSON.stringify({ one, expected }));
        if (!predicted.refused) expected = predicted.value;
        assert.deepEqual(pod.bandwidth, expected);
      }
    }),
    { numRuns: 300 },
  );
});

it("a plan ends at its target, from wherever the cgroups are", () => {
  const level = fc.record({
    quotaMicros: fc.option(fc.integer({ min: 0, max: 200_000 }), { freq: 6 }),
    burstMicros: fc.integer({ min: 0, max: 200_000 }),
  });
  fc.assert(
    fc.property(fc.record({ pod: level, container: level }), (target: PodTarget) => {
      const actual = pod.bandwidth;
      for (const one of planWrites(actual, target)) perform(one);
      const { pod: above, container } = lawfulTarget(target, actual);
      assert.deepEqual(pod.quotas, [above.quotaMicros, container.quotaMicros]);
      assert.deepEqual(pod.bursts, [above.burstMicros, container.burstMicros]);
    }),
    { numRuns: 300 },
  );
});

function perform({ level, value, micros }: BandwidthWrite): void {
  if (value === "quota") pod.writeQuota(level, micros);
  else pod.writeBurst(level, micros ?? 0);
}

function outcome<T>(
  run: () => T,
): { readonly refused: true } | { readonly refused: false; readonly value: T } {
  try {
    return { refused: false, value: run() };
  } catch (error) {
    assert.match(String(error), /EINVAL/);
    return { refused: true };
  }
}
