import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { DEFAULT_BURST_STRATEGY } from "../../api/cpu-burst.ts";
import type { Cpu, Domain } from "../../api/domain.ts";
import { ENV_NODE_NAME } from "../../api/names.ts";
import type { Pod, PodSpec } from "../../kube/resources.ts";
import { parseQuantity } from "../../lib/quantity.ts";
import { announcedCpu, cpuChange } from "./cpu.ts";
import { instance } from "./instance.fixture.ts";
import { resolveLaunchSpec } from "./launch-spec.ts";
import { launcherPod } from "./launcher-pod.ts";
import { podCpu } from "./pod-cpu.ts";
import { RUNNING_POD } from "./pod-facts.fixture.ts";

function made(cpu: Cpu, domain: Partial<Domain> = {}) {
  const vmi = instance({ domain: { memory: { guest: "256Mi" }, cpu, ...domain } });
  const launch = resolveLaunchSpec(vmi, "kvm");
  const pod = launcherPod(vmi, launch, {
    image: "launcher:1",
    imagePullSecrets: [],
    overcommit: { cpuAllocationRatio: 10, memoryOvercommit: 200 },
  });
  const container = pod.spec.containers[0];
  return { vmi, launch, pod, container, resources: container?.resources };
}

/** Kubernetes' rule: each container has limits of CPU and memory, and requests as much. */
function isGuaranteed({ containers, initContainers = [] }: PodSpec): boolean {
  return [...containers, ...initContainers].every(({ resources }) =>
    ["cpu", "memory"].every((name) => {
      const [limit, request] = [resources?.limits?.[name], resources?.requests?.[name]];
      return limit !== undefined && limit === (request ?? limit) && parseQuantity(limit) > 0;
    }),
  );
}

const pinned = { cores: 2, dedicatedCpuPlacement: true };

describe("a machine with dedicated CPUs", () => {
  it("has a pod of class Guaranteed that asks for a whole CPU per vCPU, whatever is overcommitted elsewhere", () => {
    for (const [cpu, resources, cpus] of [
      [pinned, undefined, "2"],
      [{ ...pinned, sockets: 2, threads: 2 }, undefined, "8"],
      [{ dedicatedCpuPlacement: true }, undefined, "1"],
      [{ dedicatedCpuPlacement: true }, { limits: { cpu: "3" } }, "3"],
      [{ dedicatedCpuPlacement: true }, { requests: { cpu: 3, memory: "300Mi" } }, "3"],
      [pinned, { requests: { cpu: "2000m" }, limits: { memory: "512Mi" } }, "2"],
      [{ ...pinned, isolateEmulatorThread: true }, undefined, "3"],
      [{ ...pinned, isolateEmulatorThread: true }, { limits: { cpu: "2" } }, "3"],
    ] as const satisfies readonly (readonly [Cpu, Domain["resources"], string])[]) {
      const { pod, resources: amounts } = made(cpu, resources === undefined ? {} : { resources });
      assert(isGuaranteed(pod.spec), JSON.stringify(amounts));
      assert.equal(amounts?.requests?.["cpu"], cpus);
    }
    assert(!isGuaranteed(made({ cores: 2 }).pod.spec));
    assert(!isGuaranteed(made({ ...pinned, dedicatedCpuPlacement: false }).pod.spec));
  });

  it("of huge pages is Guaranteed as well", () => {
    const { pod } = made(pinned, { memory: { guest: "256Mi", hugepages: { pageSize: "2Mi" } } });
    assert(isGuaranteed(pod.spec));
  });

  it("has its launcher told of it, and of the node's name to tell", () => {
    const { container, launch } = made({ ...pinned, isolateEmulatorThread: true });
    assert.deepEqual(launch.domain.cpu.dedicated, { isolateEmulatorThread: true });
    assert(container?.env?.some(({ name }) => name === ENV_NODE_NAME));
    assert(!made({ cores: 2 }).container?.env?.some(({ name }) => name === ENV_NODE_NAME));
  });

  it("has nothing to burst above, and no other CPU while it runs", () => {
    const { pod, vmi } = made(
      { ...pinned, isolateEmulatorThread: true },
      { resources: { limits: { cpu: 2 } } },
    );
    const cpu = podCpu(pod as Pod);
    assert.equal(cpu.limit, 3000);
    const running = { ...RUNNING_POD, cpu };
    assert.equal(announcedCpu(vmi, running, { ...DEFAULT_BURST_STRATEGY, policy: "auto" }), undefined);
    assert.equal(cpuChange(vmi, running), undefined);
  });
});
