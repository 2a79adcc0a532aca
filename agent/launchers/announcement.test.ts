import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { AgentError } from "../errors.ts";
import { parseAnnouncement } from "./announcement.ts";

const launcher = {
  podUid: "0f3b6c1e-8d2a-4f5b-9c7d-1e2f3a4b5c6d",
  podName: "virt-launcher-a-x7k2p",
  namespace: "default",
  vmiName: "a",
  vmiUid: "11111111-2222-3333-4444-555555555555",
  interfaces: [{ name: "default", binding: "bridge", podInterface: "eth0", queues: 1 }],
};

test("an announcement is taken as it is", () => {
  const announcement = { term: 3, launchers: [launcher] };
  assert.deepEqual(parseAnnouncement(announcement), announcement);
  assert.deepEqual(parseAnnouncement({ term: 0, launchers: [] }), { term: 0, launchers: [] });
});

const cpu = {
  baseMilliCpu: 500,
  burst: { policy: "auto", percent: 100, quotaPercent: 300, quotaPeriodSeconds: -1 },
};
const settings = { version: "7", logLevel: "info", sharePoolThresholdPercent: 50 };

test("a CPU limit, its burst and the agent's settings are taken as they are", () => {
  const launchers = [
    { ...launcher, cpu },
    {
      ...launcher,
      podUid: "22222222-2222-3333-4444-555555555555",
      cpu: { ...cpu, podBaseMilliCpu: 700, isResizing: true },
    },
  ];
  assert.deepEqual(parseAnnouncement({ term: 3, launchers, settings }), { term: 3, launchers, settings });
});

test("a MAC address is lower-cased", () => {
  const interfaces = [{ ...launcher.interfaces[0], macAddress: "02:AB:00:00:00:01" }];
  const { launchers } = parseAnnouncement({ term: 0, launchers: [{ ...launcher, interfaces }] });
  assert.equal(launchers[0]?.interfaces[0]?.macAddress, "02:ab:00:00:00:01");
});

const bad: readonly (readonly [string, unknown])[] = [
  ["the announcement", null],
  ["term", { term: -1, launchers: [] }],
  ["term", { term: 1.5, launchers: [] }],
  ["launchers", { term: 1 }],
  ["launchers", { term: 1, launchers: Array.from({ length: 1001 }, () => launcher) }],
  ["launchers", { term: 1, launchers: [launcher, launcher] }],
  ["launchers[0]", { term: 1, launchers: ["x"] }],
  ["launchers[0].podUid", { term: 1, launchers: [{ ...launcher, podUid: "../../etc" }] }],
  ["launchers[0].podName", { term: 1, launchers: [{ ...launcher, podName: "" }] }],
  ["launchers[0].interfaces[0].binding", withInterface({ binding: "slirp" })],
  ["launchers[0].interfaces[0].podInterface", withInterface({ podInterface: "eth0; reboot" })],
  ["launchers[0].interfaces[0].podInterface", withInterface({ podInterface: "-batch" })],
  ["launchers[0].interfaces[0].queues", withInterface({ queues: 0 })],
  ["launchers[0].interfaces[0].macAddress", withInterface({ macAddress: "02:ab" })],
  ["launchers[0].cpu", withCpu("1")],
  ["launchers[0].cpu.baseMilliCpu", withCpu({ ...cpu, baseMilliCpu: 0 })],
  ["launchers[0].cpu.baseMilliCpu", withCpu({ ...cpu, baseMilliCpu: 1e9 })],
  ["launchers[0].cpu.podBaseMilliCpu", withCpu({ ...cpu, podBaseMilliCpu: 499 })],
  ["launchers[0].cpu.isResizing", withCpu({ ...cpu, isResizing: "yes" })],
  ["launchers[0].cpu.burst", withCpu({ baseMilliCpu: 500 })],
  ["launchers[0].cpu.burst.policy", withBurst({ policy: "always" })],
  ["launchers[0].cpu.burst.percent", withBurst({ percent: 0 })],
  ["launchers[0].cpu.burst.percent", withBurst({ percent: -1 })],
  ["launchers[0].cpu.burst.percent", withBurst({ percent: "100" })],
  ["launchers[0].cpu.burst.percent", withBurst({ percent: 10_001 })],
  ["launchers[0].cpu.burst.quotaPercent", withBurst({ quotaPercent: 99 })],
  ["launchers[0].cpu.burst.quotaPeriodSeconds", withBurst({ quotaPeriodSeconds: -2 })],
  ["settings", { term: 1, launchers: [], settings: [] }],
  ["settings.version", { term: 1, launchers: [], settings: { ...settings, version: "v".repeat(65) } }],
  ["settings.logLevel", { term: 1, launchers: [], settings: { ...settings, logLevel: "loud" } }],
  [
    "settings.sharePoolThresholdPercent",
    { term: 1, launchers: [], settings: { ...settings, sharePoolThresholdPercent: 101 } },
  ],
];

function withCpu(value: unknown): unknown {
  return { term: 1, launchers: [{ ...launcher, cpu: value }] };
}

function withBurst(change: object): unknown {
  return withCpu({ ...cpu, burst: { ...cpu.burst, ...change } });
}

function withInterface(change: object): unknown {
  return { term: 1, launchers: [{ ...launcher, interfaces: [{ ...launcher.interfaces[0], ...change }] }] };
}

for (const [at, value] of bad) {
  test(`a bad ${at} is refused by name: ${JSON.stringify(value)?.slice(0, 60)}`, () => {
    assert.throws(
      () => parseAnnouncement(value),
      (error) =>
        error instanceof AgentError && error.code === "InvalidAnnouncement" && error.message.startsWith(at),
    );
  });
}

test("no value makes it throw anything else", () => {
  fc.assert(
    fc.property(fc.anything(), (value) => {
      assert.throws(() => parseAnnouncement(value), { code: "InvalidAnnouncement" });
    }),
  );
});
