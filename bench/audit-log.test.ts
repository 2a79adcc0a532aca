import assert from "node:assert/strict";
import { test } from "node:test";
import { type AuditEvent, AuditLogError, countWrites, parseAuditLine } from "./audit-log.ts";

const line = (change: object) =>
  JSON.stringify({
    kind: "Event",
    apiVersion: "audit.k8s.io/v1",
    level: "Metadata",
    stage: "ResponseComplete",
    verb: "patch",
    user: { username: "system:serviceaccount:virtpod:operator" },
    userAgent: "virtpod-operator/0.1.0",
    objectRef: { resource: "virtualmachines", subresource: "status", namespace: "a", name: "vm" },
    responseStatus: { code: 200 },
    ...change,
  });

const events = (...lines: readonly string[]): AuditEvent[] =>
  lines.flatMap((text) => parseAuditLine(text) ?? []);

test("a line tells verb, resource with its subresource, object, agent and answer", () => {
  assert.deepEqual(parseAuditLine(line({})), {
    verb: "patch",
    userAgent: "virtpod-operator/0.1.0",
    resource: "virtualmachines/status",
    namespace: "a",
    name: "vm",
    code: 200,
  });
});

test("a request that is logged in two stages counts once", () => {
  const counts = countWrites(events(line({ stage: "RequestReceived" }), line({})), "virtpod-operator/");
  assert.equal(counts.writes, 1);
});

test("a request without an object, such as /healthz, has no resource", () => {
  assert.equal(parseAuditLine(line({ objectRef: undefined }))?.resource, "");
});

test("reads are no writes", () => {
  const counts = countWrites(
    events(...["get", "list", "watch"].map((verb) => line({ verb }))),
    "virtpod-operator/",
  );
  assert.equal(counts.writes, 0);
});

test("other programs' writes are not counted", () => {
  const others = ["kubectl/v1.36", "kubelet/v1.36", "virtpod-agent/0.1.0", ""];
  const counts = countWrites(events(...others.map((userAgent) => line({ userAgent }))), "virtpod-operator/");
  assert.deepEqual([counts.writes, counts.byVerbAndResource], [0, {}]);
});

test("events, leases and reviews stand apart from writes", () => {
  const of = (resource: string) => line({ verb: "create", objectRef: { resource } });
  const counts = countWrites(
    events(
      of("events"),
      of("events"),
      of("leases"),
      of("tokenreviews"),
      of("subjectaccessreviews"),
      line({}),
    ),
    "virtpod-operator/",
  );
  assert.deepEqual(counts, {
    writes: 1,
    byVerbAndResource: { "patch virtualmachines/status": 1 },
    events: 2,
    leases: 1,
    reviews: 2,
    failed: 0,
  });
});

test("a write that the API server refuses is a write, and is told", () => {
  const counts = countWrites(events(line({ responseStatus: { code: 409 } }), line({})), "virtpod-operator/");
  assert.deepEqual([counts.writes, counts.failed], [2, 1]);
});

test("a line that is cut short is an error, not a request less", () => {
  assert.throws(() => parseAuditLine(line({}).slice(0, 40)), AuditLogError);
});
