import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { CoreEvent } from "../../kube/resources.ts";
import { instance } from "./instance.fixture.ts";
import { mountFailure, slimEvent } from "./mount-failures.ts";

function event(message: string, over: Partial<CoreEvent> = {}): CoreEvent {
  return {
    apiVersion: "v1",
    kind: "Event",
    metadata: {
      name: message,
      namespace: "default",
      uid: message,
      resourceVersion: "1",
      creationTimestamp: "2026-01-01T00:00:00Z",
    },
    involvedObject: { kind: "Pod", name: "p", uid: "pod-uid" },
    type: "Warning",
    reason: "FailedMount",
    lastTimestamp: "2026-01-01T00:00:00Z",
    source: { component: "kubelet", host: "node-1" },
    message,
    ...over,
  };
}

const { spec } = instance({
  volumes: [
    { name: "root", emptyDisk: { capacity: "1Gi" } },
    { name: "keys", secret: { secretName: "keys" } },
  ],
});
const told = (...events: readonly CoreEvent[]) => mountFailure(spec, events);

describe("what the kubelet says of a pod's volumes", () => {
  const missing = event('MountVolume.SetUp failed for volume "volume-1" : secret "keys" not found');

  it("is told with the volume's own name", () => {
    assert.deepEqual(told(missing), {
      reason: "FailedMount",
      message: 'MountVolume.SetUp failed for volume "keys" : secret "keys" not found',
    });
    assert.match(told(event('"volume-1-network" and "volume-9"'))?.message ?? "", /^"keys" and "volume-9"$/);
  });

  it("is nothing where nothing, or something else, is wrong", () => {
    assert.equal(told(), undefined);
    assert.equal(told(event("no network", { reason: "FailedCreatePodSandBox" })), undefined);
  });

  it("is each failure once, in an order that stays, without the sum of them", () => {
    const other = event("b is attached to another node", { reason: "FailedAttachVolume" });
    const sum = event("Unable to attach or mount volumes: unmounted volumes=[volume-1]");
    const both = told(missing, other, sum, missing);
    assert.deepEqual(both, told(other, missing));
    assert.match(both?.message ?? "", /^MountVolume.*not found; b is attached/);
    assert.equal(told(sum)?.message, sum.message);
  });

  it("is forgotten when the kubelet has gone on to something else", () => {
    const later = event("a", { lastTimestamp: "2026-01-01T00:06:00Z" });
    assert.equal(told(missing, later)?.message, "a");
    const soon = event("a", { lastTimestamp: "2026-01-01T00:02:02Z" });
    assert.match(told(missing, soon)?.message ?? "", /not found; a$/);
  });

  it("is what the cache keeps of it, and of other events only that they were", () => {
    const other = event("no network", { reason: "FailedCreatePodSandBox" });
    assert.deepEqual(told(slimEvent(missing)), told(missing));
    assert.deepEqual([slimEvent(other).message, slimEvent(other).reason], [undefined, other.reason]);
  });
});
