import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Domain, Resources } from "../../api/domain.ts";
import { parseQuantity } from "../../lib/quantity.ts";
import { instance } from "./instance.fixture.ts";
import { resolveLaunchSpec } from "./launch-spec.ts";
import { overheadBytes } from "./memory.ts";
import { resourcesOf } from "./resources.ts";

const KUBEVIRT = { cpuAllocationRatio: 10, memoryOvercommit: 100 };
const MIB = 1024 * 1024;

function made(
  resources: Resources | undefined,
  overcommit = KUBEVIRT,
  cores = 2,
  memory: NonNullable<Domain["memory"]> = { guest: "256Mi" },
) {
  const vmi = instance({
    domain: { memory, cpu: { cores }, ...(resources === undefined ? {} : { resources }) },
  });
  const launch = resolveLaunchSpec(vmi, "kvm");
  const { limits = {}, requests = {} } = resourcesOf(vmi, launch, overcommit);
  const overhead = overheadBytes(launch.domain) / MIB;
  /** In MiB, the launcher's own left out. */
  const guest = (quantity: string | undefined) =>
    quantity === undefined ? undefined : parseQuantity(quantity) / MIB - overhead;
  return {
    cpu: [requests["cpu"], limits["cpu"]],
    memory: [guest(requests["memory"]), guest(limits["memory"])],
    hugepages: hugepagesOf(requests, limits),
    overhead,
  };
}

/** A pod that requests other amounts of them than its limits would be refused. */
function hugepagesOf(...[requests, limits]: readonly Readonly<Record<string, string>>[]) {
  const huge = (amounts = {}) =>
    Object.fromEntries(Object.entries(amounts).filter(([name]) => name.startsWith("hugepages-")));
  assert.deepEqual(huge(requests), huge(limits));
  return huge(requests);
}

/** A pod of one container with both amounts of both resources equal is Guaranteed. */
const isGuaranteed = ({ cpu, memory }: ReturnType<typeof made>) =>
  cpu[0] === cpu[1] && memory[0] === memory[1];

describe("the resources of a launcher pod, as KubeVirt maps them", () => {
  it("are a tenth of a CPU per vCPU and the guest's memory, and no limits, where the VM names nothing", () => {
    const { cpu, memory } = made(undefined);
    assert.deepEqual(
      [cpu, memory],
      [
        ["200m", undefined],
        [256, undefined],
      ],
    );
  });

  it("go by the configured ratios there, and only there", () => {
    const dense = { cpuAllocationRatio: 4, memoryOvercommit: 200 };
    assert.deepEqual(made(undefined, dense).cpu[0], "500m");
    assert.deepEqual(made(undefined, dense).memory[0], 128);
    const named = made({ requests: { cpu: "300m", memory: "64Mi" } }, dense);
    assert.deepEqual([named.cpu[0], named.memory[0]], ["300m", 64]);
    assert.equal(made(undefined, { ...KUBEVIRT, cpuAllocationRatio: 1000 }, 1).cpu[0], "1m");
  });

  it("request a limit where nothing else is requested, as in any pod: such a VM is Guaranteed", () => {
    const both = made({ limits: { cpu: 2, memory: "512Mi" } });
    assert.deepEqual(
      [both.cpu, both.memory],
      [
        ["2", "2"],
        [512, 512],
      ],
    );
    assert(isGuaranteed(both));
    assert(!isGuaranteed(made({ limits: { cpu: 2, memory: "512Mi" }, requests: { cpu: 1 } })));
    assert(!isGuaranteed(made({ limits: { memory: "512Mi" } })));
  });

  it("are huge pages for the guest, and of ordinary memory what was asked for beyond", () => {
    const dense = { cpuAllocationRatio: 10, memoryOvercommit: 200 };
    const huge = (resources?: Resources, memory: NonNullable<Domain["memory"]> = { guest: "1Gi" }) =>
      made(resources, dense, 2, { ...memory, hugepages: { pageSize: "2Mi" } });
    const plain = huge();
    assert.deepEqual([plain.hugepages, plain.memory], [{ "hugepages-2Mi": "1024Mi" }, [0, undefined]]);
    assert.deepEqual(made(undefined, dense, 1, { guest: "3Gi", hugepages: { pageSize: "1Gi" } }).hugepages, {
      "hugepages-1Gi": "3072Mi",
    });
    const byRequest = huge({ requests: { memory: "64Mi" } }, {});
    assert.deepEqual([byRequest.hugepages, byRequest.memory], [{ "hugepages-2Mi": "64Mi" }, [0, undefined]]);
    assert.deepEqual(huge({ limits: { memory: "3Gi" } }).memory, [2048, 2048]);
    assert.deepEqual(huge({ limits: { memory: "3Gi" }, requests: { memory: "1Gi" } }).memory, [0, 2048]);
    assert(isGuaranteed(huge({ limits: { cpu: 2, memory: "1Gi" } })));
    assert(!isGuaranteed(huge({ limits: { cpu: 2 } })));
    const { memory, overhead } = huge({ overcommitGuestOverhead: true });
    assert.deepEqual(memory, [-overhead, undefined]);
  });

  it("leave the overhead out of the request, and not out of the limit, where it is to be overcommitted", () => {
    const { memory, overhead } = made({ limits: { memory: "512Mi" }, overcommitGuestOverhead: true });
    assert.deepEqual(memory, [512 - overhead, 512]);
  });
});
