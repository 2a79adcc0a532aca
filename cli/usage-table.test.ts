import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { InstanceUsage } from "../api/usage.ts";
import { usageTable } from "./usage-table.ts";

const MIB = 1024 * 1024;

function usage(atMs: number, usageSeconds: number, periods: number, throttledPeriods: number): InstanceUsage {
  return {
    nodeName: "node-1",
    atMs,
    launcher: {
      podUid: "p",
      cpu: {
        usageSeconds,
        periods,
        throttledPeriods,
        throttledSeconds: 0,
        quotaMicros: 75_000,
        periodMicros: 100_000,
        burstMicros: 50_000,
        baseQuotaMicros: 50_000,
        adopted: 0,
        repaired: 0,
        resets: 0,
        failures: 0,
      },
    },
    domain: {
      cpu: { seconds: 0, userSeconds: 0, systemSeconds: 0 },
      vcpus: [],
      memory: { available: 100 * MIB, usable: 60 * MIB, resident: 200 * MIB },
    },
  };
}

const rows = (text: string) =>
  text
    .trimEnd()
    .split("\n")
    .map((line) => line.split(/ {2,}/));

describe("the table of what machines use", () => {
  it("has rates between the two measurements", () => {
    const measured = {
      namespace: "a",
      name: "tiny",
      usage: [usage(0, 1, 10, 1), usage(2000, 1.9, 30, 6)] as const,
    };
    assert.deepEqual(rows(usageTable([measured], false)), [
      ["NAME", "NODE", "CPU", "LIMIT", "QUOTA", "BURST", "THROTTLED", "GUEST MEMORY", "RESIDENT"],
      ["tiny", "node-1", "450m", "500m", "750m", "50 ms", "25 %", "40.0 MiB of 100.0 MiB", "200.0 MiB"],
    ]);
  });

  it("says what could not be measured, and leaves out what is not known", () => {
    const bare: InstanceUsage = { nodeName: "node-1", atMs: 5 };
    const text = usageTable(
      [
        { namespace: "a", name: "tiny", usage: [bare, bare] },
        { namespace: "b", name: "gone", usage: "not running\u001b[2J" },
      ],
      true,
    );
    const [, first, second] = rows(text);
    assert.deepEqual(first, ["a", "tiny", "node-1", "-", "-", "-", "-", "-", "-", "-"]);
    assert.deepEqual(second, ["b", "gone", "not running?[2J"]);
  });

  it("takes counters that began anew for no use, not for a negative one", () => {
    const measured = {
      namespace: "a",
      name: "tiny",
      usage: [usage(0, 9, 90, 9), usage(1000, 1, 1, 0)] as const,
    };
    const [, row] = rows(usageTable([measured], false));
    assert.deepEqual([row?.[2], row?.[6]], ["0m", "0 %"]);
  });
});
