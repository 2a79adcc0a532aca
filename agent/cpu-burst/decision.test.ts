import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { BURST_POLICIES, type CpuBurstStrategy, hasQuotaBurst } from "../../api/cpu-burst.ts";
import type { AnnouncedCpu } from "../../api/uplink-protocol.ts";
import type { Level, PodBandwidth } from "./bandwidth.ts";
import { type BurstState, baseQuotas, decide, resetTarget, withQuota } from "./decision.ts";
import { applyWrite, type CgroupVersion } from "./kernel.fixture.ts";
import { STRANGER_GRACE_MS } from "./ownership.ts";
import { planWrites } from "./plan.ts";

/** A node as far as one launcher goes: its kernel, its kubelet, a stranger, and the agent. */
class World {
  readonly version: CgroupVersion;
  kernel: PodBandwidth;
  announced: AnnouncedCpu;
  #state: BurstState = { ownership: {} };
  #nowMs = 0;

  constructor(version: CgroupVersion, announced: AnnouncedCpu) {
    this.version = version;
    this.announced = announced;
    const at = { quotaMicros: announced.baseMilliCpu * 100, periodMicros: 100_000, burstMicros: 0 };
    this.kernel = { pod: at, container: at };
  }

  /** The agent looks. Its writes are taken by the kernel, or this throws. */
  look(elapsedMs: number, scaledShare?: number): void {
    this.#nowMs += elapsedMs;
    const base = baseQuotas(this.announced, this.kernel).container;
    if (scaledShare !== undefined && hasQuotaBurst(this.announced.burst.policy)) {
      const scaledMicros = Math.round(base * (1 + scaledShare * 2));
      if (this.#state.ownership.container?.lawful === base) this.#state = { ...this.#state, scaledMicros };
    }
    const decision = decide(this.#state, this.kernel, this.announced, this.#nowMs);
    this.#state = decision.state;
    for (const write of planWrites(this.kernel, decision.target)) {
      this.kernel = applyWrite(this.version, this.kernel, write);
      if (write.value === "quota") this.#state = withQuota(this.#state, write.level, write.micros);
    }
  }

  /** As its keeper does when an announcement says that quotas are no longer scaled. */
  stopScaling(): void {
    const { scaledMicros: _, ...state } = this.#state;
    this.#state = state;
  }

  reset(): void {
    const target = resetTarget(this.#state, this.kernel, baseQuotas(this.announced, this.kernel));
    for (const write of planWrites(this.kernel, target))
      this.kernel = applyWrite(this.version, this.kernel, write);
    this.#state = { ownership: {} };
  }

  /** What the runtime writes whenever the kubelet updates the container. @throws where the kernel refuses it */
  updateContainer(): void {
    const micros = this.announced.baseMilliCpu * 100;
    this.kernel = applyWrite(this.version, this.kernel, { level: "container", value: "quota", micros });
  }

  /** Somebody writes something, as far as the kernel takes it. */
  disturb(level: Level, value: "quota" | "burst", micros: number | null): void {
    try {
      this.kernel = applyWrite(this.version, this.kernel, { level, value, micros });
    } catch {
      // Refused, as it would be.
    }
  }

  get quotas() {
    return [this.kernel.pod.quotaMicros, this.kernel.container.quotaMicros];
  }

  get bursts() {
    return [this.kernel.pod.burstMicros, this.kernel.container.burstMicros];
  }
}

const strategy: fc.Arbitrary<CpuBurstStrategy> = fc.record({
  policy: fc.constantFrom(...BURST_POLICIES.filter((policy) => policy !== "none")),
  percent: fc.constantFrom(1, 50, 100, 1_000),
  quotaPercent: fc.constantFrom(100, 150, 300),
  quotaPeriodSeconds: fc.constant(-1),
});
const announced: fc.Arbitrary<AnnouncedCpu> = fc.record({
  baseMilliCpu: fc.integer({ min: 10, max: 8_000 }),
  burst: strategy,
});
const version = fc.constantFrom<CgroupVersion>(1, 2);

type Step = (world: World) => void;
const look: fc.Arbitrary<Step> = fc
  .tuple(fc.nat(12_000), fc.option(fc.double({ min: 0, max: 1, noNaN: true })))
  .map(
    ([elapsedMs, share]) =>
      (world) =>
        world.look(elapsedMs, share ?? undefined),
  );
const rewrite: fc.Arbitrary<Step> = fc.constant((world) => world.updateContainer());
const stranger: fc.Arbitrary<Step> = fc
  .tuple(
    fc.constantFrom<Level>("pod", "container"),
    fc.constantFrom("quota" as const, "burst" as const),
    fc.integer({ min: 1_000, max: 1_000_000 }),
  )
  .map(
    ([level, value, micros]) =>
      (world) =>
        world.disturb(level, value, micros),
  );

/** Everybody is quiet: longer than a stranger's write is let stand. */
function settle(world: World): void {
  for (let second = 0; second < 4; second++) world.look(STRANGER_GRACE_MS);
}

describe("what an agent decides of a launcher", () => {
  it("never stands in the way of the runtime, which writes the base whenever it likes", () => {
    fc.assert(
      fc.property(
        version,
        announced,
        fc.array(fc.oneof(look, rewrite), { maxLength: 30 }),
        (of, cpu, steps) => {
          const world = new World(of, cpu);
          world.look(0);
          for (const step of steps) step(world);
          world.updateContainer();
        },
      ),
      { numRuns: 500 },
    );
  });

  it("ends at the announced limit and burst once everybody is quiet, whoever wrote what", () => {
    fc.assert(
      fc.property(
        version,
        announced,
        fc.array(fc.oneof(look, rewrite, stranger), { maxLength: 30 }),
        (of, cpu, steps) => {
          const world = new World(of, cpu);
          // A container whose quota a stranger has put below the base can't be written by the runtime on cgroup v1.
          for (const step of steps) attempt(() => step(world));
          world.announced = { ...cpu, burst: { ...cpu.burst, policy: "cpuBurstOnly" } };
          world.stopScaling();
          settle(world);
          const base = cpu.baseMilliCpu * 100;
          const burst = Math.min(base, Math.floor((base * cpu.burst.percent) / 100));
          assert.deepEqual(
            [world.quotas, world.bursts],
            [
              [base, base],
              [burst, burst],
            ],
          );
        },
      ),
      { numRuns: 500 },
    );
  });

  it("leaves nothing raised of its own after a reset at any moment", () => {
    fc.assert(
      fc.property(
        version,
        announced,
        fc.array(fc.oneof(look, rewrite), { maxLength: 30 }),
        (of, cpu, steps) => {
          const world = new World(of, cpu);
          for (const step of steps) step(world);
          world.reset();
          const base = cpu.baseMilliCpu * 100;
          assert.deepEqual(
            [world.quotas, world.bursts],
            [
              [base, base],
              [0, 0],
            ],
          );
        },
      ),
      { numRuns: 500 },
    );
  });

  it("limits nothing that the kubelet has not limited, until it does", () => {
    fc.assert(
      fc.property(version, announced, fc.array(look, { maxLength: 10 }), (of, cpu, steps) => {
        const world = new World(of, cpu);
        const none = { quotaMicros: null, periodMicros: 100_000, burstMicros: 0 };
        world.kernel = { pod: none, container: none };
        for (const step of steps) step(world);
        assert.deepEqual(world.kernel, { pod: none, container: none });
        const base = cpu.baseMilliCpu * 100;
        for (const level of ["pod", "container"] as const) {
          world.kernel = applyWrite(of, world.kernel, { level, value: "quota", micros: base });
        }
        settle(world);
        assert.deepEqual(world.quotas, [base, base]);
        assert.equal(world.bursts[0], world.bursts[1]);
      }),
    );
  });

  it("makes room for every smaller limit before the kubelet writes it", () => {
    fc.assert(
      fc.property(
        version,
        announced,
        fc.array(look, { maxLength: 10 }),
        fc.double({ min: 0.2, max: 1, noNaN: true }),
        (of, cpu, steps, share) => {
          const world = new World(of, cpu);
          for (const step of steps) step(world);
          world.announced = {
            ...cpu,
            baseMilliCpu: Math.max(10, Math.floor(cpu.baseMilliCpu * share)),
            isResizing: true,
          };
          world.stopScaling();
          world.look(0);
          const micros = world.announced.baseMilliCpu * 100;
          for (const level of ["container", "pod"] as const) {
            world.kernel = applyWrite(of, world.kernel, { level, value: "quota", micros });
          }
          settle(world);
          assert.deepEqual(world.quotas, [micros, micros]);
        },
      ),
      { numRuns: 500 },
    );
  });
});

function attempt(step: () => void): void {
  try {
    step();
  } catch (error) {
    assert.match(String(error), /EINVAL/);
  }
}
