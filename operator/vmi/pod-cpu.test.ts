import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Container, Pod } from "../../kube/resources.ts";
import { podCpu } from "./pod-cpu.ts";

const compute = (resources?: Container["resources"]): Container => ({
  name: "compute",
  ...(resources === undefined ? {} : { resources }),
});

function pod(containers: readonly Container[], status: Pod["status"] = {}): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "p" } as never,
    spec: { containers: [...containers] },
    status,
  };
}

const condition = (type: string, reason: string, message: string) => ({
  conditions: [{ type, status: "True" as const, reason, message }],
});

describe("a pod's CPU", () => {
  it("is in thousandths, rounded up", () => {
    const resources = { limits: { cpu: "1.5" }, requests: { cpu: "100500u" } };
    assert.deepEqual(podCpu(pod([compute(resources)])), { limit: 1500, request: 101, podLimit: 1500 });
    assert.deepEqual(podCpu(pod([compute()])), {});
    assert.deepEqual(podCpu(pod([compute({ limits: { cpu: "0" } })])), {}, "a limit of 0 is none");
  });

  it("adds up over containers, and is without limit where one of them is", () => {
    const sidecar = (limits: Record<string, string>): Container => ({ name: "proxy", resources: { limits } });
    const own = compute({ limits: { cpu: "1" } });
    assert.equal(podCpu(pod([own, sidecar({ cpu: "100m" })])).podLimit, 1100);
    assert.equal(podCpu(pod([sidecar({}), own])).podLimit, undefined);
    assert.equal(podCpu(pod([sidecar({}), own])).limit, 1000);
  });

  it("tells what the kubelet made of it, and why it has not", () => {
    const told = { name: "compute", resources: { limits: { cpu: "500m" }, requests: { cpu: "250m" } } };
    const containerStatuses = [{ name: "proxy" }, told] as never;
    const status = { containerStatuses, ...condition("PodResizePending", "Deferred", "no room") };
    assert.deepEqual(podCpu(pod([compute({ limits: { cpu: "1" } })], status)), {
      limit: 1000,
      podLimit: 1000,
      actual: { limit: 500, request: 250 },
      resize: { reason: "Deferred", message: "no room" },
    });
    const resize = (type: string, reason: string) =>
      podCpu(pod([compute()], condition(type, reason, ""))).resize;
    assert.equal(resize("PodResizeInProgress", "")?.reason, "InProgress");
    assert.equal(resize("PodResizeInProgress", "Error")?.reason, "Error");
    assert.equal(resize("PodScheduled", "x"), undefined);
  });
});
