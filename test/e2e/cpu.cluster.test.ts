/** The CPU of running guests, changed by the real kubelet: limits, requests and burst; and what is measured of them. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { Domain } from "../../api/domain.ts";
import { mergePatch } from "../../kube/request.ts";
import { PODS, type Pod } from "../../kube/resources.ts";
import { VIRTUAL_MACHINES } from "../../operator/kinds.ts";
import { conditionOf } from "../../operator/vmi/conditions.ts";
import { podCpu } from "../../operator/vmi/pod-cpu.ts";
import { until } from "../harness/cluster.ts";
import { ask, Guests } from "../harness/guest.ts";
import { measurementOf, operatorMetrics, untilMeasured } from "../harness/metrics.ts";

const CHANGE_MS = 60_000;
const START_MS = 60_000;

describe("a running guest's CPU", { concurrency: 1 }, () => {
  let guests: Guests;
  let pod: Pod;
  let address: string;

  before(async () => {
    guests = await Guests.open("cpu");
    await guests.create("tiny", { domain: { cpu: { cores: 1 }, resources: { limits: { cpu: "900m" } } } });
    ({ address, pod } = await guests.answering("tiny", START_MS));
  });
  after(() => guests.close());

  const change = (domain: object) =>
    guests.resource(VIRTUAL_MACHINES).patch("tiny", mergePatch({ spec: { template: { spec: { domain } } } }));
  const labels = () => ({ namespace: guests.namespace, name: "tiny" });
  const measured = (name: string, value: number) =>
    untilMeasured(guests.client, name, labels(), (now) => now === value, CHANGE_MS);

  /** What the kubelet says that it has made. */
  async function made(limit: number, request: number): Promise<void> {
    await until(guests.client, PODS, {
      namespace: guests.namespace,
      name: pod.metadata.name,
      what: `CPU limit ${limit}m, request ${request}m`,
      timeoutMs: CHANGE_MS,
      when: (seen) => {
        const { actual, resize } = seen === undefined ? {} : podCpu(seen);
        return actual?.limit === limit && actual.request === request && resize === undefined;
      },
    });
  }

  /** The same guest in the same pod, and nobody asks for a restart. */
  async function untouched(): Promise<void> {
    const vm = await guests.untilVm("tiny", "its generation seen", CHANGE_MS, ({ metadata, status }) => {
      return status?.observedGeneration === metadata.generation;
    });
    assert.equal(conditionOf(vm.status?.conditions, "RestartRequired"), undefined);
    assert.equal((await guests.pod("tiny")).metadata.uid, pod.metadata.uid);
    await ask(address, "/uptime");
  }

  it("may burst to its limit again, unless somebody says otherwise", async () => {
    await measured("virtpod_vmi_cpu_limit_cpus", 0.9);
    await measured("virtpod_vmi_cpu_burst_seconds", 0.09);
  });

  it("shrinks under a burst, and grows, without a restart", async () => {
    await change({ resources: { limits: { cpu: "300m" } } });
    await made(300, 300);
    await measured("virtpod_vmi_cpu_burst_seconds", 0.03);
    await untouched();
    await change({ resources: { limits: { cpu: "800m" }, requests: { cpu: "150m" } } });
    await made(800, 150);
    await measured("virtpod_vmi_cpu_limit_cpus", 0.8);
    await measured("virtpod_vmi_cpu_burst_seconds", 0.08);
    await untouched();
    await guests.untilEvent("tiny", "ResizeRequested", /CPU limit 800m, request 150m/, CHANGE_MS);
  });

  it("bursts as its template says from now on", async () => {
    const burst = (value: Domain["cpu"] | object) => change({ cpu: { burst: value } });
    await burst({ percent: 50 });
    await measured("virtpod_vmi_cpu_burst_seconds", 0.04);
    await burst({ policy: "none", percent: null });
    await measured("virtpod_vmi_cpu_burst_seconds", 0);
    await change({ cpu: { burst: null } });
    await measured("virtpod_vmi_cpu_burst_seconds", 0.08);
    await untouched();
  });

  it("that its node never has is refused with the reason, and leaves the guest as it was", async () => {
    await change({ resources: { limits: { cpu: "4k" }, requests: { cpu: "4k" } } });
    const vm = await guests.untilVm("tiny", "Synchronized: False", CHANGE_MS, ({ status }) => {
      return conditionOf(status?.conditions, "Synchronized")?.reason === "FailedResize";
    });
    assert.match(
      conditionOf(vm.status?.conditions, "Synchronized")?.message ?? "",
      /allocatable.*requested: 4000000/,
    );
    assert.equal(vm.status?.printableStatus, "Running");
    await change({ resources: { limits: { cpu: "800m" }, requests: { cpu: "150m" } } });
    await made(800, 150);
    await guests.untilVm("tiny", "Synchronized again", CHANGE_MS, ({ status }) => {
      return conditionOf(status?.conditions, "Synchronized") === undefined;
    });
    await untouched();
  });

  it("waits for a restart where a running pod can't be given it", async () => {
    await change({ resources: { limits: null } });
    const vm = await guests.untilVm("tiny", "RestartRequired", CHANGE_MS, ({ status }) => {
      return conditionOf(status?.conditions, "RestartRequired") !== undefined;
    });
    assert.equal(vm.status?.printableStatus, "Running");
    await change({ resources: { limits: { cpu: "800m" } } });
    await guests.untilVm("tiny", "no RestartRequired", CHANGE_MS, ({ status }) => {
      return conditionOf(status?.conditions, "RestartRequired") === undefined;
    });
    assert.equal((await guests.pod("tiny")).metadata.uid, pod.metadata.uid);
  });

  it("and memory are measured, by KubeVirt's names", async () => {
    const of = (text: string, name: string) =>
      measurementOf(text, `kubevirt_vmi_${name}`, labels()) ?? Number.NaN;
    const before = await operatorMetrics(guests.client);
    await untilMeasured(
      guests.client,
      "kubevirt_vmi_cpu_usage_seconds_total",
      labels(),
      (now) => (now ?? 0) > of(before, "cpu_usage_seconds_total"),
      CHANGE_MS,
    );
    const text = await operatorMetrics(guests.client);
    assert(of(text, "vcpu_seconds_total") > 0.5);
    assert.equal(of(text, "memory_domain_bytes"), 128 * 1024 * 1024);
    assert(of(text, "memory_resident_bytes") > 100 * 1024 * 1024);
    const used = of(text, "memory_used_bytes");
    assert(used > 8 * 1024 * 1024 && used < of(text, "memory_available_bytes"), `${used}`);
    assert.equal(measurementOf(text, "virtpod_node_agent_measured", {}), 1);
  });
});
