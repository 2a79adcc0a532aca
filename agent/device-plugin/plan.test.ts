import assert from "node:assert/strict";
import { test } from "node:test";
import { planResource, type ResourceState, WATCH_GRACE_MS } from "./plan.ts";

const settled: ResourceState = {
  available: true,
  kubelet: "7:1",
  bound: "8:1",
  found: "8:1",
  registeredWith: "7:1",
  sinceRegistrationMs: 60_000,
  watched: true,
  healthy: true,
};
const nothing = { listen: false, register: false, health: undefined };

test("a registered, watched plugin is left alone", () => {
  assert.deepEqual(planResource(settled), nothing);
});

test("a new plugin listens before it registers", () => {
  const fresh = { ...settled, bound: undefined, found: undefined, registeredWith: undefined, watched: false };
  assert.deepEqual(planResource(fresh), { ...nothing, listen: true, register: true });
});

test("a kubelet that restarted deleted the socket: listen and register again", () => {
  const restarted = { ...settled, kubelet: "9:2", found: undefined, watched: false };
  assert.deepEqual(planResource(restarted), { ...nothing, listen: true, register: true });
});

test("a new kubelet socket alone is reason to register again", () => {
  assert.deepEqual(planResource({ ...settled, kubelet: "7:2" }), { ...nothing, register: true });
});

test("a foreign file under the plugin's name is replaced", () => {
  assert.deepEqual(planResource({ ...settled, found: "8:2" }), { ...nothing, listen: true, register: true });
});

test("while there is no kubelet socket nothing is made or registered", () => {
  const away = { ...settled, kubelet: undefined, found: undefined, watched: false };
  assert.deepEqual(planResource(away), nothing);
});

test("a kubelet that closed the stream without restarting gets a new registration, after a grace", () => {
  const dropped = { ...settled, watched: false };
  assert.equal(planResource({ ...dropped, sinceRegistrationMs: WATCH_GRACE_MS - 1 }).register, false);
  assert.equal(planResource({ ...dropped, sinceRegistrationMs: WATCH_GRACE_MS }).register, true);
});

test("a resource that the node never had is not advertised", () => {
  const absent = {
    ...settled,
    available: false,
    bound: undefined,
    found: undefined,
    registeredWith: undefined,
  };
  const plan = planResource(absent);
  assert.deepEqual([plan.listen, plan.register], [false, false]);
});

test("a resource that the node lost turns unhealthy, and healthy when it is back", () => {
  assert.deepEqual(planResource({ ...settled, available: false }), { ...nothing, health: false });
  assert.deepEqual(planResource({ ...settled, healthy: false }), { ...nothing, health: true });
});

test("a lost resource is registered with a restarted kubelet too, so that its capacity does not just vanish", () => {
  const plan = planResource({ ...settled, available: false, healthy: false, kubelet: "7:2" });
  assert.equal(plan.register, true);
});
