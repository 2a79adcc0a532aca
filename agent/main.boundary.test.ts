/** The agent as a process: start, stop, and the reasons to end by itself. Root. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, beforeEach, test } from "node:test";

const TIMEOUT = { timeout: 20_000 };
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

function start(environment: Record<string, string>): AsyncIterator<string> {
  agent = spawn(process.execPath, [join(import.meta.dirname, "main.ts")], {
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
