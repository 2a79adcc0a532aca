/** The agent as a process: start, stop, and the reasons to end by itself. Root. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, beforeEach, describe, it, test } from "node:test";
import { DEFAULT_BURST_STRATEGY } from "../api/cpu-burst.ts";
import { CgroupLab, type PodCgroups, VERSION } from "./cpu-burst/cgroups.fixture.ts";
import type { RaisedRecord } from "./cpu-burst/record.ts";

const TIMEOUT = { timeout: 60_000 };
let directory: string;
let agent: ChildProcess | undefined;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "agent-"));
  await mkdir(join(directory, "plugins"));
});

afterEach(async () => {
  if (agent?.exitCode === null && agent.signalCode === null) {
    agent.kill("SIGKILL");
    await once(agent, "exit");
  }
  await rm(directory, { recursive: true });
});

function start(
  environment: Record<string, string>,
  nodeArguments: readonly string[] = [],
): AsyncIterator<string> {
  agent = spawn(process.execPath, [...nodeArguments, join(import.meta.dirname, "main.ts")], {
    env: environment,
    stdio: ["ignore", "pipe", "inherit"],
  });
  return createInterface({ input: agent.stdout ?? process.stdin })[Symbol.asyncIterator]();
}

function environment(): Record<string, string> {
  return {
    VIRTPOD_UPLINK: "localhost",
    VIRTPOD_CA: join(directory, "ca.crt"),
    VIRTPOD_STATE: join(directory, "state"),
    VIRTPOD_DEVICE_PLUGINS: join(directory, "plugins"),
    VIRTPOD_HOST_NETNS: "/proc/self/ns/net",
  };
}

async function logged(lines: AsyncIterator<string>, message: string): Promise<Record<string, unknown>> {
  for (let line = await lines.next(); !line.done; line = await lines.next()) {
    const entry = JSON.parse(line.value) as Record<string, unknown>;
    if (entry["msg"] === message) return entry;
  }
  throw new Error(`the agent ended without logging: ${message}`);
}

test("an agent without kubelet and operator waits for both, and stops when told", TIMEOUT, async () => {
  const lines = start(environment());
  await logged(lines, "no connection to the operator");
  const socket = join(directory, "state/socket/agent.sock");
  assert.ok(existsSync(socket));
  agent?.kill("SIGTERM");
  assert.deepEqual(await once(agent as ChildProcess, "exit"), [0, null]);
  assert.equal(existsSync(socket), false);
});

test("an agent that does not know its operator ends and says so", TIMEOUT, async () => {
  const { VIRTPOD_UPLINK: _, ...rest } = environment();
  const { err } = (await logged(start(rest), "the agent ends")) as { err: { message: string } };
  assert.match(err.message, /VIRTPOD_UPLINK/);
  assert.deepEqual(await once(agent as ChildProcess, "exit"), [1, null]);
});

test("an agent that can't tell the node's network from a pod's ends and says so", TIMEOUT, async () => {
  const lines = start({ ...environment(), VIRTPOD_HOST_NETNS: join(directory, "absent") });
  const { err } = (await logged(lines, "the agent ends")) as { err: { message: string } };
  assert.match(err.message, /absent/);
});

describe("what an agent has raised", () => {
  let lab: CgroupLab;
  let pod: PodCgroups;

  /** As an agent that was killed has left it. */
  beforeEach(async () => {
    lab = await CgroupLab.open();
    pod = lab.pod();
    const { sharePoolThresholdPercent: _, ...burst } = DEFAULT_BURST_STRATEGY;
    const { podUid } = pod;
    const launcher = { podUid, podName: "p", namespace: "n", vmiName: "v", vmiUid: podUid, interfaces: [] };
    const [container, accounting] = [pod.directory("container"), pod.accounting];
    const record: RaisedRecord = {
      podUid,
      location: { version: VERSION, pod: pod.directory("pod"), container, accounting },
      baseMilliCpu: 500,
      podBaseMilliCpu: 500,
      hasScaledQuotas: false,
    };
    const records = join(directory, "state/state/cpu-burst");
    await mkdir(records, { recursive: true });
    await writeFile(join(records, `${podUid}.json`), JSON.stringify(record));
    const launchers = [{ ...launcher, cpu: { baseMilliCpu: 500, burst } }];
    await writeFile(join(directory, "state/state/launchers.json"), JSON.stringify({ launchers }));
  });
  afterEach(() => lab[Symbol.asyncDispose]());

  it("is put back when it is told to stop", TIMEOUT, async () => {
    const lines = start(environment());
    await logged(lines, "no connection to the operator");
    assert.deepEqual(pod.bursts, [50_000, 50_000]);
    agent?.kill("SIGTERM");
    await once(agent as ChildProcess, "exit");
    assert.deepEqual(pod.bursts, [0, 0]);
  });

  it("is put back when it ends by an error of its own", TIMEOUT, async () => {
    const fault = 'process.on("SIGUSR2", () => { throw new Error("of its own"); });';
    const lines = start(environment(), ["--import", `data:text/javascript,${encodeURIComponent(fault)}`]);
    await logged(lines, "no connection to the operator");
    assert.deepEqual(pod.bursts, [50_000, 50_000]);
    agent?.kill("SIGUSR2");
    assert.deepEqual(await once(agent as ChildProcess, "exit"), [1, null]);
    assert.deepEqual(pod.bursts, [0, 0]);
  });

  it("is put back by the hook of its pod while it hangs", TIMEOUT, async () => {
    const lines = start(environment());
    await logged(lines, "no connection to the operator");
    agent?.kill("SIGSTOP");
    const hook = spawn(process.execPath, [join(import.meta.dirname, "main.ts"), "reset"], {
      env: environment(),
      stdio: ["ignore", "ignore", "inherit"],
    });
    assert.deepEqual(await once(hook, "exit"), [0, null]);
    assert.deepEqual(pod.bursts, [0, 0]);
  });

  it("stays where it was killed, for the next one", TIMEOUT, async () => {
    await logged(start(environment()), "no connection to the operator");
    agent?.kill("SIGKILL");
    await once(agent as ChildProcess, "exit");
    assert.deepEqual(pod.bursts, [50_000, 50_000]);
    await writeFile(join(directory, "state/state/launchers.json"), JSON.stringify({ launchers: [] }));
    await logged(start(environment()), "no connection to the operator");
    assert.deepEqual(pod.bursts, [0, 0]);
  });
});
