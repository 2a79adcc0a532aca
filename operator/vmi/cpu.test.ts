import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { DEFAULT_BURST_STRATEGY } from "../../api/cpu-burst.ts";
import type { Cpu, Resources } from "../../api/domain.ts";
import { announcedCpu, cpuChange, isResizing } from "./cpu.ts";
import { instance } from "./instance.fixture.ts";
import type { PodCpu } from "./pod-cpu.ts";
import { RUNNING_POD } from "./pod-facts.fixture.ts";

const vmi = (resources: Resources, cpu: Cpu = {}) => instance({ domain: { cpu, resources } });
const limited = (limit: string) => vmi({ limits: { cpu: limit } });
const pod = (cpu: PodCpu) => ({ ...RUNNING_POD, cpu });
const made = (limit: number): PodCpu => ({
  limit,
  request: limit,
  others: { beside: 0, before: 0 },
  actual: { limit, request: limit },
});
const announced = (limit: string, cpu: PodCpu) =>
  announcedCpu(limited(limit), pod(cpu), DEFAULT_BURST_STRATEGY);
const { sharePoolThresholdPercent: _, ...STRATEGY } = DEFAULT_BURST_STRATEGY;

describe("the CPU that an agent is told", () => {
  it("is the limit, with the strategy of VM, node and cluster, in that order", () => {
    assert.deepEqual(announced("500m", made(500)), { baseMilliCpu: 500, burst: STRATEGY });
    const own = vmi({ limits: { cpu: 1 } }, { burst: { policy: "auto", quotaPercent: 200 } });
    const node = { ...DEFAULT_BURST_STRATEGY, percent: 50, quotaPercent: 150 };
    assert.deepEqual(announcedCpu(own, pod(made(1000)), node), {
      baseMilliCpu: 1000,
      burst: { policy: "auto", percent: 50, quotaPercent: 200, quotaPeriodSeconds: -1 },
    });
  });

  it("is none without a limit, and one that somebody else set where the VM has none", () => {
    assert.equal(announcedCpu(vmi({}), pod({ request: 100 }), DEFAULT_BURST_STRATEGY), undefined);
    assert.equal(announcedCpu(vmi({}), pod(made(300)), DEFAULT_BURST_STRATEGY)?.baseMilliCpu, 300);
  });

  it("is none of a limit beyond all machines, which would not be taken", () => {
    assert.equal(announced("1k", made(1_000_000))?.baseMilliCpu, 1_000_000);
    assert.equal(announced("1G", made(1e12)), undefined);
    assert.equal(announced("1", { ...made(1000), others: { beside: 1e12, before: 0 } }), undefined);
  });

  it("has the pod's own limit where a sidecar adds to it", () => {
    const beside = (besides: number, before: number) =>
      announced("500m", { ...made(500), others: { beside: besides, before } })?.podBaseMilliCpu;
    assert.deepEqual([beside(200, 0), beside(200, 600), beside(200, 2000)], [700, 700, 2000]);
    assert.equal(beside(0, 500), undefined);
    const { others: _, ...unlimited } = made(500);
    assert.equal(announced("500m", unlimited)?.podBaseMilliCpu, undefined);
  });

  it("is the lower limit before a shrink is asked for, and the lower one until a growth is made", () => {
    assert.deepEqual(announced("200m", made(500)), { baseMilliCpu: 200, burst: STRATEGY, isResizing: true });
    assert.deepEqual(announced("800m", made(500)), { baseMilliCpu: 500, burst: STRATEGY, isResizing: true });
    const asked = { ...made(800), actual: { limit: 500, request: 500 } };
    assert.deepEqual(announced("800m", asked), { baseMilliCpu: 500, burst: STRATEGY, isResizing: true });
    assert.deepEqual(announced("800m", made(800)), { baseMilliCpu: 800, burst: STRATEGY });
  });

  it("never lets anything burst above the least of what is wanted, asked for and made", () => {
    const amount = fc.integer({ min: 10, max: 4000 });
    fc.assert(
      fc.property(amount, amount, amount, (wanted, spec, actual) => {
        const cpu = { ...made(spec), actual: { limit: actual, request: actual } };
        const told = announced(`${wanted}m`, cpu);
        assert.equal(told?.baseMilliCpu, Math.min(wanted, spec, actual));
        assert.equal(told?.isResizing === true, wanted !== spec || spec !== actual);
      }),
    );
  });
});

describe("a pod's resize", () => {
  it("is asked for where the VMI names another amount than the pod has, and not where it names none", () => {
    assert.deepEqual(cpuChange(limited("1"), pod(made(500))), { limit: 1000, request: 1000 });
    assert.equal(cpuChange(limited("0.5"), pod(made(500))), undefined);
    assert.equal(cpuChange(vmi({}), pod(made(500))), undefined);
    const requested = vmi({ limits: { cpu: 1 }, requests: { cpu: "250m" } });
    assert.deepEqual(cpuChange(requested, pod(made(1000))), { limit: 1000, request: 250 });
  });

  it("is over when the kubelet has made it, however small, and when it never will", () => {
    assert.equal(
      isResizing(limited("500m"), pod({ ...made(500), resize: { reason: "InProgress", message: "" } })),
      true,
    );
    assert.equal(
      isResizing(
        limited("4"),
        pod({ ...made(4000), actual: { limit: 500 }, resize: { reason: "Deferred", message: "" } }),
      ),
      true,
    );
    assert.equal(
      isResizing(
        limited("4"),
        pod({ ...made(4000), actual: { limit: 500 }, resize: { reason: "Infeasible", message: "" } }),
      ),
      false,
    );
    // The kernel's least quota is 1 ms of 100.
    assert.equal(isResizing(limited("1m"), pod({ ...made(1), actual: { limit: 10 } })), false);
    assert.equal(isResizing(limited("500m"), { ...pod({ limit: 500 }), isRunning: false }), false);
  });
});
