import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { NodeLoad, parseCpuTimes } from "./node-load.ts";

/** As proc_stat(5) has it: user nice system idle iowait irq softirq steal guest guest_nice. */
const stat = (...cpus: readonly (readonly number[])[]) =>
  [
    `cpu  ${cpus[0]?.join(" ") ?? ""}`,
    ...cpus.map((ticks, cpu) => `cpu${cpu} ${ticks.join(" ")}`),
    "intr 12 3 4",
    "ctxt 5",
    "",
  ].join("\n");

describe("the node's load", () => {
  it("is what its CPUs did between the first look and the last", () => {
    const load = new NodeLoad();
    assert.equal(load.use(), undefined);
    load.add(stat([100, 0, 0, 900, 0, 0, 0, 0], [0, 0, 0, 1000, 0, 0, 0, 0]), 0);
    assert.equal(load.use(), undefined);
    load.add(stat([150, 10, 20, 920, 0, 0, 0, 0], [0, 0, 0, 1100, 0, 0, 0, 0]), 1_000);
    assert.equal(load.use(), 0.4);
    assert.equal(load.use(new Set([0])), 0.8);
    assert.equal(load.use(new Set([1])), 0);
    assert.equal(load.use(new Set([7])), undefined);
  });

  it("counts interrupts and stolen time as use, waiting for disks as none, and a guest's time once", () => {
    const load = new NodeLoad();
    load.add(stat([0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), 0);
    load.add(stat([10, 0, 0, 50, 10, 10, 10, 10, 10, 0]), 1_000);
    assert.equal(load.use(), 0.4);
  });

  it("is that of the last five seconds", () => {
    const load = new NodeLoad();
    for (let second = 0; second <= 20; second++) {
      const busy = second <= 10 ? second * 100 : 1_000;
      load.add(stat([busy, 0, 0, second * 100 - busy, 0, 0, 0, 0]), second * 1_000);
    }
    assert.equal(load.use(), 0);
  });

  it("is unknown once nobody has looked for a while", () => {
    const load = new NodeLoad();
    load.add(stat([0, 0, 0, 0, 0, 0, 0, 0]), 0);
    load.add(stat([0, 0, 0, 100, 0, 0, 0, 0]), 60_000);
    assert.equal(load.use(), undefined);
    load.clear();
    assert.equal(load.use(), undefined);
  });

  it("is a share whatever the counters do: CPUs come and go, and counters begin anew", () => {
    const ticks = fc.array(fc.nat(1_000), { minLength: 4, maxLength: 10 });
    fc.assert(
      fc.property(fc.array(fc.array(ticks, { maxLength: 4 }), { maxLength: 8 }), (looks) => {
        const load = new NodeLoad();
        for (const [second, cpus] of looks.entries()) load.add(stat(...cpus), second * 1_000);
        const use = load.use();
        assert.ok(use === undefined || (use >= 0 && use <= 1), `${use}`);
      }),
    );
  });

  it("is read from whatever /proc/stat holds without a throw", () => {
    fc.assert(fc.property(fc.string(), (text) => assert.equal(parseCpuTimes(text).size, 0)));
  });
});
