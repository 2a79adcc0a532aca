import assert from "node:assert/strict";
import { test } from "node:test";
import type { LauncherPhase, LauncherStatus } from "../../api/launcher-protocol.ts";
import type { AgentStatus, NodeFacts } from "../../api/uplink-protocol.ts";
import { StatusRegistry } from "./registry.ts";

const node: NodeFacts = { kvm: { usable: false, reason: "test" }, agentVersion: "0" };

function status(phase: LauncherPhase): LauncherStatus {
  return { phase, interfaces: [], timeline: { launcherStarted: "2026-01-01T00:00:00.000Z" } };
}

function brief(line: AgentStatus | undefined): string {
  if (line === undefined) return "end";
  switch (line.type) {
    case "launcher":
      return `${line.podUid} ${line.status.phase}`;
    case "refused":
      return `${line.podUid} ${line.code}`;
    case "disconnected":
      return `${line.podUid} disconnected`;
    default:
      return line.type;
  }
}

async function take(lines: AsyncIterator<AgentStatus, undefined>, count: number): Promise<string[]> {
  const result: string[] = [];
  for (let i = 0; i < count; i++) result.push(brief((await lines.next()).value));
  return result;
}

test("a reader gets the node, every launcher, and synced", async () => {
  const registry = new StatusRegistry(node);
  registry.connected("a");
  registry.update("a", status("running"));
  registry.update("b", status("stopped"));
  registry.disconnected("b");
  registry.refused("c", "NotAnnounced", "…");
  assert.deepEqual(await take(registry.subscribe(), 6), [
    "node",
    "a running",
    "b stopped",
    "b disconnected",
    "c NotAnnounced",
    "synced",
  ]);
});

test("a reader of an empty agent is synced at once", async () => {
  assert.deepEqual(await take(new StatusRegistry(node).subscribe(), 2), ["node", "synced"]);
});

test("changes wake a reader that waits", async () => {
  const registry = new StatusRegistry(node);
  const lines = registry.subscribe();
  await take(lines, 2);
  const next = lines.next();
  registry.update("a", status("starting"));
  assert.equal(brief((await next).value), "a starting");
});

test("a slow reader gets only the newest state of each launcher, and misses none", async () => {
  const registry = new StatusRegistry(node);
  const lines = registry.subscribe();
  await take(lines, 2);
  for (let i = 0; i < 1000; i++) {
    registry.update("a", status("preparing"));
    registry.update("b", status("starting"));
  }
  registry.update("a", status("running"));
  assert.deepEqual(await take(lines, 2), ["a running", "b starting"]);
});

test("a launcher that changes all the time does not hold synced back", async () => {
  const registry = new StatusRegistry(node);
  registry.update("a", status("starting"));
  const lines = registry.subscribe();
  const seen: string[] = [];
  for (let i = 0; i < 4; i++) {
    seen.push(...(await take(lines, 1)));
    registry.update("a", status("running"));
  }
  assert.deepEqual(seen, ["node", "a running", "synced", "a running"]);
});

test("two readers are independent", async () => {
  const registry = new StatusRegistry(node);
  const first = registry.subscribe();
  const second = registry.subscribe();
  await take(first, 2);
  registry.update("a", status("running"));
  assert.deepEqual(await take(first, 1), ["a running"]);
  assert.deepEqual(await take(second, 3), ["node", "synced", "a running"]);
});

test("returning ends a read that waits", async () => {
  const lines = new StatusRegistry(node).subscribe();
  await take(lines, 2);
  const next = lines.next();
  await lines.return?.();
  assert.equal((await next).done, true);
});

test("a connection after a refusal takes the refusal back", async () => {
  const registry = new StatusRegistry(node);
  registry.refused("a", "NotAnnounced", "…");
  registry.connected("a");
  assert.deepEqual(await take(registry.subscribe(), 2), ["node", "synced"]);
});

test("launchers that are no longer announced are forgotten", async () => {
  const registry = new StatusRegistry(node);
  registry.update("a", status("running"));
  registry.update("b", status("running"));
  registry.retain(new Set(["b"]));
  assert.deepEqual(await take(registry.subscribe(), 3), ["node", "b running", "synced"]);
});

test("refusals without end are remembered only so far", async () => {
  const registry = new StatusRegistry(node);
  registry.update("a", status("running"));
  for (let i = 0; i < 1000; i++) registry.refused(`pod${i}`, "NotAnnounced", "…");
  const seen = await take(registry.subscribe(), 1 + 1 + 256 + 1);
  assert.deepEqual([seen[1], seen.at(-2), seen.at(-1)], ["a running", "pod999 NotAnnounced", "synced"]);
});
