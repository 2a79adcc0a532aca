/** CPU burst on real cgroups of this machine, whose version may be either; root. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { pino } from "pino";
import type { LauncherCpuMetrics } from "../../api/agent-metrics.ts";
import { type BurstPolicy, DEFAULT_BURST_STRATEGY } from "../../api/cpu-burst.ts";
import type { AgentSettings, AnnouncedCpu, AnnouncedLauncher } from "../../api/uplink-protocol.ts";
import { FakeClock } from "../../lib/fake-clock.ts";
import { announced as announcedLauncher } from "../launchers/announced.fixture.ts";
import { CGROUP_ROOT, CgroupLab, HIERARCHIES, type PodCgroups, VERSION } from "./cgroups.fixture.ts";
import { CpuBurst, type CpuBurstOptions } from "./cpu-burst.ts";
import { resetAll } from "./reset.ts";
import { watchFiles } from "./watch.ts";

const SETTINGS: AgentSettings = { version: "1", logLevel: "info", sharePoolThresholdPercent: 50 };
const log = pino({ level: "silent" });

let lab: CgroupLab;
let clock: FakeClock;
let agents: CpuBurst[];

beforeEach(async () => {
  lab = await CgroupLab.open();
  clock = new FakeClock();
  agents = [];
});

afterEach(async () => {
  for (const agent of agents) agent.stop();
  await lab[Symbol.asyncDispose]();
});

function agent(options: Partial<CpuBurstOptions> = {}): CpuBurst {
  const made = new CpuBurst({
    cgroupRoot: CGROUP_ROOT,
    stateDirectory: lab.state,
    clock,
    random: () => 0.5,
    readStat: idle(),
    // The clock is the test's, and events are not: those that are about them say so.
    watch: () => undefined,
    log,
    ...options,
  });
  agents.push(made);
  return made;
}

/** /proc/stat of a node with nothing to do, one second later at each look. */
function idle(): () => string {
  let seconds = 0;
  return () => `cpu0 0 0 0 ${++seconds * 100} 0 0 0 0 0 0\n`;
}

function cpu(policy: BurstPolicy, change: Partial<AnnouncedCpu> = {}): AnnouncedCpu {
  const { sharePoolThresholdPercent: _, ...strategy } = DEFAULT_BURST_STRATEGY;
  return { baseMilliCpu: 500, burst: { ...strategy, policy }, ...change };
}

function announced({ podUid }: PodCgroups, cpu?: AnnouncedCpu): AnnouncedLauncher {
  return { ...announcedLauncher(podUid), ...(cpu && { cpu }) };
}

/** An agent that has the pod's launcher attached, with that announcement. */
async function attached(pod: PodCgroups, cpu: AnnouncedCpu, options?: Partial<CpuBurstOptions>) {
  const made = agent(options);
  made.start([], undefined);
  made.announce([announced(pod, cpu)], SETTINGS);
  made.attach(pod.podUid, await pod.processCgroup());
  return made;
}

function told(agent: CpuBurst, pod: PodCgroups): LauncherCpuMetrics {
  const found = agent.metrics().launchers.find(({ podUid }) => podUid === pod.podUid);
  assert.ok(found, "the agent measures the launcher");
  return found.cpu;
}

function records(): readonly string[] {
  return readdirSync(lab.state);
}

describe("a launcher with a CPU limit", () => {
  it("may save up its quota, in its container's cgroup and its pod's", async () => {
    const pod = lab.pod();
    const made = await attached(pod, cpu("cpuBurstOnly"));
    assert.deepEqual(pod.bursts, [50_000, 50_000]);
    assert.deepEqual(pod.quotas, [50_000, 50_000]);
    assert.equal(made.metrics().node.kernelBurst, "supported");
    assert.equal(made.metrics().node.cgroupVersion, VERSION);
    const { burstMicros, baseQuotaMicros, periodMicros, problem } = told(made, pod);
    assert.deepEqual(
      [burstMicros, baseQuotaMicros, periodMicros, problem],
      [50_000, 50_000, 100_000, undefined],
    );
  });

  it("may save up as much of it as its strategy says, and never more than the kernel takes", async () => {
    const pod = lab.pod();
    const made = await attached(pod, cpu("cpuBurstOnly"));
    for (const [percent, micros] of [
      [40, 20_000],
      [1, 500],
      [1000, 50_000],
      [10_000, 50_000],
    ] as const) {
      const { burst } = cpu("cpuBurstOnly");
      made.announce([announced(pod, cpu("cpuBurstOnly", { burst: { ...burst, percent } }))], SETTINGS);
      assert.deepEqual(pod.bursts, [micros, micros]);
    }
  });

  it("is let burst when the announcement comes after it", async () => {
    const pod = lab.pod();
    const made = agent();
    made.start([], undefined);
    made.attach(pod.podUid, await pod.processCgroup());
    assert.deepEqual(pod.bursts, [0, 0]);
    made.announce([announced(pod, cpu("cpuBurstOnly"))], SETTINGS);
    assert.deepEqual(pod.bursts, [50_000, 50_000]);
  });

  it("has a pod left alone whose other containers have none", async () => {
    const pod = lab.pod();
    pod.writeQuota("pod", null);
    await attached(pod, cpu("cpuBurstOnly"));
    assert.deepEqual(pod.quotas, [null, 50_000]);
    assert.deepEqual(pod.bursts, [0, 50_000]);
  });
});

describe("bursts end at the base", () => {
  const ends: readonly (readonly [string, (made: CpuBurst, pod: PodCgroups) => void])[] = [
    ["by policy none", (made, pod) => made.announce([announced(pod, cpu("none"))], SETTINGS)],
    ["without a limit, or with CPUs of its own", (made, pod) => made.announce([announced(pod)], SETTINGS)],
    ["when the VM is no longer announced", (made) => made.announce([], SETTINGS)],
    ["when the agent stops", (made) => made.stop()],
    ["by the hook of an agent that hangs", () => resetAll(lab.state, log)],
  ];
  for (const [name, finish] of ends) {
    it(name, async () => {
      const pod = lab.pod();
      const made = await attached(pod, cpu("cpuBurstOnly"));
      assert.equal(records().length, 1);
      finish(made, pod);
      assert.deepEqual(pod.bursts, [0, 0]);
      assert.deepEqual(pod.quotas, [50_000, 50_000]);
      assert.deepEqual(records(), []);
    });
  }

  it("in the pod, when the container has gone", async () => {
    const pod = lab.pod();
    const made = await attached(pod, cpu("cpuBurstOnly"));
    await pod.removeContainer();
    clock.advance(10_000);
    assert.equal(pod.at("pod").burstMicros, 0);
    assert.deepEqual(made.metrics().launchers, []);
    assert.deepEqual(records(), []);
  });

  it("without a word, when both cgroups have gone", async () => {
    const pod = lab.pod();
    const made = await attached(pod, cpu("auto"));
    await pod.remove();
    clock.advance(10_000);
    assert.deepEqual(made.metrics().launchers, []);
    made.announce([], SETTINGS);
    assert.deepEqual(records(), []);
  });

  it("after a crash, by the next agent, for VMs that are announced no longer", async () => {
    const pod = lab.pod();
    await attached(pod, cpu("cpuBurstOnly"));
    agents.pop();
    agent().start([], SETTINGS);
    assert.deepEqual(pod.bursts, [0, 0]);
    assert.deepEqual(records(), []);
  });

  it("not by a crash, for VMs that are announced still: the next agent goes on before anybody dials it", async () => {
    const pod = lab.pod();
    await attached(pod, cpu("cpuBurstOnly"));
    agents.pop();
    const next = agent();
    next.start([announced(pod, cpu("cpuBurstOnly", { baseMilliCpu: 400 }))], SETTINGS);
    assert.deepEqual(pod.bursts, [40_000, 40_000]);
    next.attach(pod.podUid, await pod.processCgroup());
    assert.equal(next.metrics().launchers.length, 1);
  });

  it("at once after a crash that left quotas scaled", async () => {
    const pod = lab.pod();
    await attached(pod, cpu("auto"));
    scaleByHand(pod, 120_000);
    agents.pop();
    const next = agent();
    next.start([announced(pod, cpu("auto"))], SETTINGS);
    assert.deepEqual(pod.quotas, [50_000, 50_000]);
    assert.deepEqual(pod.bursts, [50_000, 50_000]);
    next.announce([], SETTINGS);
    assert.deepEqual(pod.bursts, [0, 0]);
  });
});

/** As an agent that was killed has left it: its record says that it scaled. */
function scaleByHand(pod: PodCgroups, micros: number): void {
  pod.writeQuota("pod", micros);
  pod.writeQuota("container", micros);
  const path = join(lab.state, records()[0] ?? "");
  const record = JSON.parse(execFileSync("cat", [path], { encoding: "utf8" })) as object;
  writeFileSync(path, JSON.stringify({ ...record, hasScaledQuotas: true }));
}

describe("the kubelet", () => {
  it("can write a smaller limit once it was announced, and not before", async () => {
    const pod = lab.pod();
    const made = await attached(pod, cpu("cpuBurstOnly"));
    assert.throws(() => pod.writeQuota("container", 30_000), { code: "EINVAL" });
    made.announce([announced(pod, cpu("cpuBurstOnly", { baseMilliCpu: 300, isResizing: true }))], SETTINGS);
    assert.deepEqual(pod.bursts, [30_000, 30_000]);
    assert.deepEqual(pod.quotas, [50_000, 50_000]);
    pod.resize(300);
    clock.advance(30_000);
    assert.deepEqual(pod.quotas, [30_000, 30_000]);
    assert.deepEqual([told(made, pod).adopted, told(made, pod).repaired], [2, 0]);
  });

  it("can write a larger limit, whose burst follows when it is announced", async () => {
    const pod = lab.pod();
    const made = await attached(pod, cpu("cpuBurstOnly"));
    pod.resize(800);
    clock.advance(10_000);
    assert.deepEqual(pod.quotas, [80_000, 80_000]);
    made.announce([announced(pod, cpu("cpuBurstOnly", { baseMilliCpu: 800 }))], SETTINGS);
    clock.advance(30_000);
    assert.deepEqual(pod.quotas, [80_000, 80_000]);
    assert.deepEqual(pod.bursts, [80_000, 80_000]);
    assert.deepEqual([told(made, pod).adopted, told(made, pod).repaired], [2, 0]);
  });

  it("may take the limit away while the VM bursts, once that was announced", async () => {
    const pod = lab.pod();
    const made = await attached(pod, cpu("cpuBurstOnly"));
    made.announce([announced(pod)], SETTINGS);
    pod.resize(null);
    clock.advance(30_000);
    assert.deepEqual(pod.quotas, [null, null]);
    assert.deepEqual(pod.bursts, [0, 0]);
    pod.resize(500);
    assert.deepEqual(pod.quotas, [50_000, 50_000]);
  });
});

describe("a stranger", () => {
  it("who changes a quota has it repaired after the time of grace, and is counted", async () => {
    const pod = lab.pod();
    const made = await attached(pod, cpu("cpuBurstOnly"));
    pod.writeQuota("pod", 90_000);
    pod.writeQuota("container", 90_000);
    clock.advance(10_000);
    assert.deepEqual(pod.quotas, [90_000, 90_000]);
    clock.advance(10_000);
    assert.deepEqual(pod.quotas, [50_000, 50_000]);
    assert.deepEqual([told(made, pod).adopted, told(made, pod).repaired], [0, 2]);
  });

  it("who takes a quota away has it repaired too", async () => {
    const pod = lab.pod();
    await attached(pod, cpu("cpuBurstOnly"));
    pod.writeQuota("container", null);
    clock.advance(20_000);
    assert.deepEqual(pod.quotas, [50_000, 50_000]);
    assert.deepEqual(pod.bursts, [50_000, 50_000]);
  });

  it("who changes a burst has it repaired at the next look, and is counted", async () => {
    const pod = lab.pod();
    const made = await attached(pod, cpu("cpuBurstOnly"));
    pod.writeBurst("container", 7_000);
    clock.advance(10_000);
    assert.deepEqual(pod.bursts, [50_000, 50_000]);
    assert.equal(told(made, pod).repaired, 1);
  });

  it("who changes the period has the burst fitted to the quota that the limit then is", async () => {
    const pod = lab.pod();
    await attached(pod, cpu("cpuBurstOnly"));
    pod.writeBurst("container", 0);
    pod.writePeriod("pod", 50_000);
    pod.writeQuota("container", 25_000);
    pod.writePeriod("container", 50_000);
    clock.advance(20_000);
    assert.deepEqual(pod.quotas, [25_000, 25_000]);
    assert.deepEqual(pod.bursts, [25_000, 25_000]);
  });
});

describe("what happens in a cgroup is heard of at once", () => {
  /** Fake time until it is so, a tenth of a second for each turn of the loop. */
  async function heardMs(isSo: () => boolean): Promise<number> {
    const since = clock.monotonic();
    const deadline = Date.now() + 10_000;
    while (!isSo()) {
      assert.ok(Date.now() < deadline, "it is heard of within 10 s");
      await sleep(5);
      clock.advance(100);
    }
    return clock.monotonic() - since;
  }
  const settled = async (pod: PodCgroups) => {
    const made = await attached(pod, cpu("cpuBurstOnly"), { watch: watchFiles });
    // The agent's own writes.
    await sleep(20);
    clock.advance(200);
    return made;
  };

  it("a stranger's burst", async () => {
    const pod = lab.pod();
    const made = await settled(pod);
    pod.writeBurst("pod", 7_000);
    assert.ok((await heardMs(() => pod.at("pod").burstMicros === 50_000)) < 5_000);
    assert.equal(told(made, pod).repaired, 1);
  });

  it("a stranger's quota, which is left alone for the time of grace only", async () => {
    const pod = lab.pod();
    await settled(pod);
    pod.writeQuota("pod", 90_000);
    const elapsedMs = await heardMs(() => pod.at("pod").quotaMicros === 50_000);
    assert.ok(elapsedMs >= 10_000 && elapsedMs < 15_000, `${elapsedMs} ms`);
  });

  it("the kubelet's quota", async () => {
    const pod = lab.pod();
    const made = await settled(pod);
    made.announce([announced(pod, cpu("cpuBurstOnly", { baseMilliCpu: 300 }))], SETTINGS);
    pod.resize(300);
    assert.ok((await heardMs(() => told(made, pod).adopted === 2)) < 5_000);
  });

  it("and else nothing is done for a minute", async () => {
    const pod = lab.pod();
    await settled(pod);
    assert.ok((clock.nextInMs ?? 0) > 50_000, `${clock.nextInMs}`);
    assert.equal(clock.pending, 1);
  });
});

describe("a quota that is scaled", () => {
  it("rises by a fifth after each second with throttling, in the pod and the container, and no further than allowed", async () => {
    const pod = lab.pod(20);
    const made = await attached(pod, cpu("auto", { baseMilliCpu: 20 }));
    await pod.burn();
    const seen: (number | null)[] = [];
    for (let second = 0; second < 11; second++) {
      await untilThrottled(pod);
      clock.advance(1_000);
      const [above, own] = pod.quotas;
      assert.equal(above, own);
      if (own !== seen.at(-1)) seen.push(own ?? null);
    }
    assert.deepEqual(seen, [2_000, 2_400, 2_880, 3_456, 4_147, 4_976, 5_971, 6_000]);
    assert.deepEqual(pod.bursts, [2_000, 2_000]);
    assert.equal(made.metrics().node.state, "idle");
    made.stop();
    assert.deepEqual(pod.quotas, [2_000, 2_000]);
  });

  it("goes on from the base after the kubelet has put it there", async () => {
    const pod = lab.pod(20);
    const made = await attached(pod, cpu("auto", { baseMilliCpu: 20 }));
    await pod.burn();
    await untilQuota(pod, 2_880);
    pod.resize(20);
    await untilQuota(pod, 2_400);
    assert.ok(told(made, pod).adopted > 0);
    assert.equal(told(made, pod).repaired, 0);
  });

  it("is taken back while the node is overloaded", async () => {
    const pod = lab.pod(20);
    let busy = 0;
    let all = 0;
    let load = 0;
    const readStat = () => {
      all += 100;
      busy += load;
      return `cpu0 ${busy} 0 0 ${all - busy} 0 0 0 0 0 0\n`;
    };
    await attached(pod, cpu("cfsQuotaBurstOnly", { baseMilliCpu: 20 }), { readStat });
    await pod.burn();
    await untilQuota(pod, 3_456);
    assert.deepEqual(pod.bursts, [0, 0]);
    load = 100;
    await untilQuota(pod, 2_000);
  });

  it("waits at the base while the pod is resized, so that the kubelet can write", async () => {
    const pod = lab.pod(20);
    const made = await attached(pod, cpu("auto", { baseMilliCpu: 20 }));
    await pod.burn();
    await untilQuota(pod, 3_456);
    made.announce([announced(pod, cpu("auto", { baseMilliCpu: 20, isResizing: true }))], SETTINGS);
    assert.deepEqual(pod.quotas, [2_000, 2_000]);
    await untilThrottled(pod);
    clock.advance(1_000);
    assert.deepEqual(pod.quotas, [2_000, 2_000]);
    pod.resize(30);
    made.announce([announced(pod, cpu("auto", { baseMilliCpu: 30 }))], SETTINGS);
    assert.deepEqual(pod.quotas, [3_000, 3_000]);
    await untilQuota(pod, 3_600);
  });
});

async function untilThrottled(pod: PodCgroups): Promise<void> {
  const before = pod.throttledPeriods;
  const deadline = Date.now() + 20_000;
  while (pod.throttledPeriods === before) {
    assert.ok(Date.now() < deadline, "the container is throttled within 20 s");
    await sleep(20);
  }
}

/** Seconds with throttling, until both quotas are so. */
async function untilQuota(pod: PodCgroups, micros: number): Promise<void> {
  const seen: (number | null)[] = [];
  for (let second = 0; second < 30; second++) {
    await untilThrottled(pod);
    clock.advance(1_000);
    seen.push(pod.at("container").quotaMicros);
    if (pod.quotas.every((quota) => quota === micros)) return;
  }
  assert.fail(`no quota of ${micros} in ${seen.join(", ")}`);
}

describe("what can't be written", () => {
  /** The run's cgroups, mounted at `root` so that they can be made read-only there. */
  async function onMount(
    test: (root: string, remount: (mode: "ro" | "rw") => void) => Promise<void>,
  ): Promise<void> {
    const root = mkdtempSync(join(tmpdir(), "cgroup-"));
    const mounts = HIERARCHIES.map((hierarchy) => join(root, hierarchy));
    for (const [index, mount] of mounts.entries()) {
      mkdirSync(mount, { recursive: true });
      execFileSync("mount", ["--bind", lab.directory(HIERARCHIES[index] ?? ""), mount]);
    }
    const remount = (mode: "ro" | "rw") => {
      for (const mount of mounts) execFileSync("mount", ["-o", `remount,${mode},bind`, mount]);
    };
    try {
      await test(root, remount);
    } finally {
      for (const mount of mounts) execFileSync("umount", [mount]);
      rmSync(root, { recursive: true });
    }
  }

  it("is told of, and tried again: a read-only file system", async () => {
    const pod = lab.pod();
    await onMount(async (root, remount) => {
      remount("ro");
      const made = await attached(pod, cpu("auto"), { cgroupRoot: root });
      clock.advance(60_000);
      assert.deepEqual(pod.bursts, [0, 0]);
      assert.match(told(made, pod).problem ?? "", /EROFS/);
      assert.ok(told(made, pod).failures > 1);
      remount("rw");
      clock.advance(10_000);
      assert.deepEqual(pod.bursts, [50_000, 50_000]);
      assert.equal(told(made, pod).problem, undefined);
    });
  });

  it("when it is to be reset is tried until it is, even for a VM that has left", async () => {
    const pod = lab.pod();
    await onMount(async (root, remount) => {
      const made = await attached(pod, cpu("cpuBurstOnly"), { cgroupRoot: root });
      remount("ro");
      made.announce([], SETTINGS);
      assert.deepEqual(pod.bursts, [50_000, 50_000]);
      assert.equal(records().length, 1);
      remount("rw");
      clock.advance(10_000);
      assert.deepEqual(pod.bursts, [0, 0]);
      assert.deepEqual(records(), []);
      assert.equal(clock.pending, 0);
    });
  });

  it("for a smaller limit has its pod named as pending until it is", async () => {
    const pod = lab.pod();
    await onMount(async (root, remount) => {
      const made = await attached(pod, cpu("cpuBurstOnly"), { cgroupRoot: root });
      remount("ro");
      const smaller = [announced(pod, cpu("cpuBurstOnly", { baseMilliCpu: 300, isResizing: true }))];
      assert.deepEqual(made.announce(smaller, SETTINGS), [pod.podUid]);
      assert.deepEqual(made.announce(smaller, SETTINGS), [pod.podUid]);
      remount("rw");
      assert.deepEqual(made.announce(smaller, SETTINGS), []);
      assert.deepEqual(pod.bursts, [30_000, 30_000]);
    });
  });

  it("is not raised at all while the agent can't write down that it is", async () => {
    const pod = lab.pod();
    const made = agent({ stateDirectory: join(lab.state, "gone") });
    made.start([], undefined);
    rmSync(join(lab.state, "gone"), { recursive: true });
    made.announce([announced(pod, cpu("cpuBurstOnly"))], SETTINGS);
    made.attach(pod.podUid, await pod.processCgroup());
    assert.deepEqual(pod.bursts, [0, 0]);
    assert.match(told(made, pod).problem ?? "", /can't be written/);
  });
});

it("a process outside of any pod has nothing written", () => {
  const made = agent();
  made.start([], undefined);
  made.attach(crypto.randomUUID(), "0::/\n");
  assert.deepEqual(made.metrics().launchers, []);
  assert.ok(existsSync(lab.state));
});
