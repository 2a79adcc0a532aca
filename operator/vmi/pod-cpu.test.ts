import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Container, Pod } from "../../kube/resources.ts";
import { podCpu } from "./pod-cpu.ts";

const compute = (resources?: Container["resources"]): Container => ({
  name: "compute",
  ...(resources === undefined ? {} : { resources }),
});

function pod(
  containers: readonly Container[],
  status: Pod["status"] = {},
  initContainers: readonly Container[] = [],
): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "p" } as never,
    spec: { containers: [...containers], initContainers: [...initContainers] },
    status,
  };
}

const condition = (type: string, reason: string, message: string) => ({
  conditions: [{ type, status: "True" as const, reason, message }],
});

describe("a pod's CPU", () => {
  it("is in thousandths, rounded up", () => {
    const resources = { limits: { cpu: "1.5" }, requests: { cpu: "100500u" } };
    assert.deepEqual(podCpu(pod([compute(resources)])), {
      limit: 1500,
      request: 101,
      others: { beside: 0, before: 0 },
    });
    assert.deepEqual(podCpu(pod([compute()])), {});
    assert.deepEqual(podCpu(pod([compute({ limits: { cpu: "0" } })])), {}, "a limit of 0 is none");
  });

  const other = (cpu?: string, restartPolicy?: "Always"): Container => ({
    name: "other",
    resources: { limits: cpu === undefined ? {} : { cpu } },
    ...(restartPolicy === undefined ? {} : { restartPolicy }),
  });
  const own = compute({ limits: { cpu: "1" } });

  it("has the other containers beside it, none where one of them has no limit", () => {
    assert.deepEqual(podCpu(pod([own, other("100m")])).others, { beside: 100, before: 0 });
    assert.equal(podCpu(pod([other(), own])).others, undefined);
    assert.equal(podCpu(pod([other(), own])).limit, 1000);
    assert.equal(podCpu(pod([own], {}, [other()])).others, undefined);
  });

  it("has init containers before it, and those that are always restarted beside it as well", () => {
    const before = (...initContainers: Container[]) =>
      podCpu(pod([own, other("100m")], {}, initContainers)).others;
    assert.deepEqual(before(other("2")), { beside: 100, before: 2000 });
    assert.deepEqual(before(other("2", "Always")), { beside: 2100, before: 2000 });
    const proxy = other("300m", "Always");
    assert.deepEqual(before(other("2"), proxy, other("1"), other("2500m")), { beside: 400, before: 2800 });
  });

  it("tells what the kubelet made of it, and why it has not", () => {
    const told = { name: "compute", resources: { limits: { cpu: "500m" }, requests: { cpu: "250m" } } };
    const containerStatuses = [{ name: "proxy" }, told] as never;
    const status = { containerStatuses, ...condition("PodResizePending", "Deferred", "no room") };
    assert.deepEqual(podCpu(pod([compute({ limits: { cpu: "1" } })], status)), {
      limit: 1000,
      others: { beside: 0, before: 0 },
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
