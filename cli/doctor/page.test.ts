import assert from "node:assert/strict";
import { test } from "node:test";
import type { Facts } from "./facts.ts";
import { age, doctorPage } from "./page.ts";

const plain = (_colour: string, text: string) => text;
const FACTS: Facts = {
  namespace: "demo",
  name: "web",
  nowMs: Date.parse("2026-01-01T00:10:00Z"),
  isInstalled: true,
  vm: {
    metadata: { name: "web" },
    spec: { runStrategy: "Always" },
    status: { printableStatus: "ErrorUnschedulable" },
  },
  vmi: { metadata: { name: "web" }, status: { phase: "Scheduling" } },
  pods: [{ metadata: { name: "virt-launcher-web-1" }, spec: {}, status: { phase: "Pending" } }],
  claims: {},
  nodes: [],
  events: [
    {
      reason: "FailedScheduling",
      message: "0/1 nodes\u001b[2J",
      involvedObject: { kind: "Pod", name: "virt-launcher-web-1" },
      lastTimestamp: "2026-01-01T00:09:30Z",
    },
  ],
  unseen: ["nodes: forbidden"],
};

test("the page tells what is wrong, what hangs on what, what happened and what could not be seen", () => {
  const findings = [
    { level: "error", code: "Unschedulable", what: "no node takes it", todo: "add one" },
    { level: "note", code: "X", what: "by the way" },
  ] as const;
  assert.equal(
    doctorPage(FACTS, findings, plain),
    [
      "demo/web: ErrorUnschedulable",
      "",
      "✗ no node takes it",
      "  → add one",
      "· by the way",
      "",
      "  virtual machine  web                  Always",
      "  instance         web                  Scheduling",
      "  launcher pod     virt-launcher-web-1  Pending",
      "  node             none",
      "  agent",
      "  guest",
      "",
      "Last events:",
      "  30s  Pod/virt-launcher-web-1  FailedScheduling  0/1 nodes?[2J",
      "",
      "Not looked at:",
      "  nodes: forbidden",
      "",
    ].join("\n"),
  );
});

test("a machine on which nothing is found is told to be well", () => {
  assert.match(
    doctorPage({ ...FACTS, events: [], unseen: [] }, [], plain),
    /, nothing keeps it from running\n/,
  );
});

test("ages have one unit", () => {
  assert.deepEqual([-5, 119_000, 120_000, 7_199_000, 7_200_000, 172_800_000].map(age), [
    "0s",
    "119s",
    "2m",
    "119m",
    "2h",
    "2d",
  ]);
});
