import assert from "node:assert/strict";
import { test } from "node:test";
import { parseExchange } from "./exchange.ts";
import type { Write } from "./journal.ts";
import { overlaps, reigns, usurpations } from "./leadership.ts";

const LEASE = "/apis/coordination.k8s.io/v1/namespaces/virtpod/leases/virtpod-operator";
const POD = "/api/v1/namespaces/vms/pods/launcher";

function lease(client: string, atMs: number, holderIdentity: string, leaseTransitions: number): Write {
  const exchange = parseExchange("PUT", LEASE, { spec: { holderIdentity, leaseTransitions } }, client);
  return { sequence: 0, exchange, status: 200, answer: undefined, sentMs: atMs, answeredMs: atMs };
}

function write(client: string, atMs: number, status = 200): Write {
  const exchange = parseExchange("DELETE", POD, undefined, client);
  return { sequence: 0, exchange, status, answer: undefined, sentMs: atMs, answeredMs: atMs };
}

const orderly = [
  lease("a", 0, "a", 1),
  lease("a", 2_000, "a", 1),
  write("a", 3_000),
  lease("b", 17_500, "b", 2),
  write("b", 18_000),
];

test("a successor after the lease ended is in order", () => {
  assert.equal(reigns(orderly).length, 2);
  assert.deepEqual(overlaps(reigns(orderly)), []);
  assert.deepEqual(usurpations(orderly, "vms"), []);
});

test("a released lease may be taken at once", () => {
  const released = [lease("a", 0, "a", 1), lease("a", 1_000, "", 1), lease("b", 1_001, "b", 2)];
  assert.deepEqual(overlaps(reigns(released)), []);
});

test("a successor before the deadline of the one before overlaps", () => {
  const hasty = [lease("a", 0, "a", 1), lease("b", 9_000, "b", 2)];
  assert.equal(overlaps(reigns(hasty)).length, 1);
});

test("a term that does not grow is told", () => {
  const same = [lease("a", 0, "a", 1), lease("b", 20_000, "b", 1)];
  assert.equal(overlaps(reigns(same)).length, 1);
});

test("an accepted write after its writer's lease is told, a refused one is not", () => {
  assert.equal(usurpations([...orderly, write("a", 18_500)], "vms").length, 1);
  assert.deepEqual(usurpations([...orderly, write("a", 18_500, 409)], "vms"), []);
  assert.equal(usurpations([...orderly, write("c", 18_500)], "vms").length, 1);
});
