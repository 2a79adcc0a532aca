/** Trees as kernels have written them, in plain folders. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { pino } from "pino";
import { DEFAULT_BURST_STRATEGY } from "../../api/cpu-burst.ts";
import { FakeClock } from "../../lib/fake-clock.ts";
import { cpuCgroup, parseStat, usageSeconds } from "./cgroup.ts";
import { CpuBurst } from "./cpu-burst.ts";

const UID = "0f3b6c1e-8d2a-4f5b-9c7d-1e2f3a4b5c6d";
const ID = "a1".repeat(32);
let root: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "cgroups-"));
});

afterEach(() => rmSync(root, { recursive: true }));

function folder(path: string, files: Readonly<Record<string, string>>): string {
  const directory = join(root, path);
  mkdirSync(directory, { recursive: true });
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
  return directory;
}

/** Linux 6.18, cgroup v1. */
const V1 = {
  "cpu.cfs_quota_us": "50000\n",
  "cpu.cfs_period_us": "100000\n",
  "cpu.cfs_burst_us": "0\n",
  "cpu.stat": "nr_periods 202\nnr_throttled 51\nthrottled_time 2406171930\nnr_bursts 0\nburst_time 0\n",
};
/** Linux 4.18, cgroup v1: no burst. */
const V1_OLD = {
  "cpu.cfs_quota_us": "-1\n",
  "cpu.cfs_period_us": "100000\n",
  "cpu.stat": "nr_periods 0\nnr_throttled 0\nthrottled_time 0\n",
};
/** Linux 6.12, cgroup v2. */
const V2 = {
  "cpu.max": "50000 100000\n",
  "cpu.max.burst": "50000\n",
  "cpu.stat":
    "usage_usec 4120931\nuser_usec 3900000\nsystem_usec 220931\nnice_usec 0\ncore_sched.force_idle_usec 0\n" +
    "nr_periods 310\nnr_throttled 12\nthrottled_usec 480213\nnr_bursts 44\nburst_usec 903112\n",
  "memory.current": "209715200\n",
};
/** Linux 5.10, cgroup v2: no burst. */
const V2_OLD = { "cpu.max": "max 100000\n", "cpu.stat": "usage_usec 1\nnr_periods 0\nnr_throttled 0\n" };

describe("a cgroup", () => {
  it("of version 1 has its bandwidth in three files", () => {
    const cgroup = cpuCgroup(1, folder("a", V1));
    assert.deepEqual(cgroup.bandwidth(), { quotaMicros: 50_000, periodMicros: 100_000, burstMicros: 0 });
    assert.deepEqual(cgroup.stat(), { periods: 202, throttledPeriods: 51, throttledSeconds: 2.40617193 });
  });

  it("of version 2 has it in two", () => {
    const directory = folder("a", V2);
    const cgroup = cpuCgroup(2, directory);
    assert.deepEqual(cgroup.bandwidth(), { quotaMicros: 50_000, periodMicros: 100_000, burstMicros: 50_000 });
    assert.deepEqual(cgroup.stat(), { periods: 310, throttledPeriods: 12, throttledSeconds: 0.480213 });
    assert.equal(usageSeconds(2, directory), 4.120931);
  });

  it("without a quota, on a kernel without burst, says so", () => {
    const none = { quotaMicros: null, periodMicros: 100_000, burstMicros: null };
    assert.deepEqual(cpuCgroup(1, folder("a", V1_OLD)).bandwidth(), none);
    assert.deepEqual(cpuCgroup(2, folder("b", V2_OLD)).bandwidth(), none);
  });

  it("is written as its kernel reads it", () => {
    const [v1, v2] = [folder("a", V1), folder("b", V2)];
    cpuCgroup(1, v1).setQuota(null);
    cpuCgroup(2, v2).setQuota(null);
    assert.match(readFileSync(join(v1, "cpu.cfs_quota_us"), "utf8"), /^-1/);
    assert.match(readFileSync(join(v2, "cpu.max"), "utf8"), /^max/);
  });

  it("that holds something else is unreadable", () => {
    assert.throws(() => cpuCgroup(1, folder("a", { ...V1, "cpu.cfs_quota_us": "" })).bandwidth(), {
      code: "CgroupUnreadable",
    });
    assert.throws(() => cpuCgroup(2, folder("b", { ...V2, "cpu.max": "lots\n" })).bandwidth(), {
      code: "CgroupUnreadable",
    });
  });

  it("whose kernel counts less has zeroes there", () => {
    assert.deepEqual(parseStat("nr_periods 3\n"), { periods: 3, throttledPeriods: 0, throttledSeconds: 0 });
  });

  it("never has a file made that its kernel lacks", () => {
    const directory = folder("a", V2_OLD);
    assert.throws(() => cpuCgroup(2, directory).setBurst(1), { code: "ENOENT" });
  });
});

it("a kernel without burst is told of, and quotas are kept all the same", () => {
  const files = { ...V2_OLD, "cpu.max": "50000 100000\n" };
  const pod = folder(`kubepods/pod${UID}`, files);
  folder(`kubepods/pod${UID}/${ID}`, files);
  const clock = new FakeClock();
  const agent = new CpuBurst({
    cgroupRoot: root,
    stateDirectory: join(root, "state"),
    clock,
    readStat: () => "",
    log: pino({ level: "silent" }),
  });
  agent.start([], undefined);
  const { sharePoolThresholdPercent: _, ...burst } = DEFAULT_BURST_STRATEGY;
  const launcher = { podUid: UID, podName: "p", namespace: "n", vmiName: "v", vmiUid: UID, interfaces: [] };
  agent.announce([{ ...launcher, cpu: { baseMilliCpu: 500, burst } }], undefined);
  agent.attach(UID, `0::/kubepods/pod${UID}/${ID}\n`);
  const { node, launchers } = agent.metrics();
  assert.equal(node.kernelBurst, "unsupported");
  assert.equal(launchers[0]?.cpu.burstMicros, null);
  assert.match(launchers[0]?.cpu.problem ?? "", /no CPU burst/);
  writeFileSync(join(pod, "cpu.max"), "77000 100000\n");
  clock.advance(20_000);
  assert.match(readFileSync(join(pod, "cpu.max"), "utf8"), /^50000/);
  agent.stop();
});
