import assert from "node:assert/strict";
import { test } from "node:test";
import { normalize } from "./normal.ts";

const run = (name: string, uid: string, second: number, extra: object = {}) => ({
  metadata: {
    name: `virt-launcher-${name}-x${second}z`,
    namespace: "faults-1",
    uid,
    resourceVersion: String(second),
    generation: 1,
    ownerReferences: [{ kind: "VirtualMachineInstance", name, uid }],
  },
  status: {
    podIP: `10.244.1.${second}`,
    startTime: `2026-11-21T08:00:0${second}Z`,
    conditions: [{ type: second === 1 ? "A" : "B" }, { type: second === 1 ? "B" : "A" }],
    ...extra,
  },
});
const one = run("vm-1", "11111111-2222-3333-4444-555555555555", 1);
const two = run("vm-2", "11111111-2222-3333-4444-666666666666", 2);
const of = (name: string) => ({ name, namespace: "faults-1" });

test("two runs of the same life are equal", () => {
  assert.deepEqual(normalize(one, of("vm-1")), normalize(two, of("vm-2")));
});

test("what a life decides stays: a field more, another generation, another word", () => {
  const more = run("vm-2", "11111111-2222-3333-4444-666666666666", 2, { reason: "Evicted" });
  assert.notDeepEqual(normalize(one, of("vm-1")), normalize(more, of("vm-2")));
  const later = { ...two, metadata: { ...two.metadata, generation: 2 } };
  assert.notDeepEqual(normalize(one, of("vm-1")), normalize(later, of("vm-2")));
});
