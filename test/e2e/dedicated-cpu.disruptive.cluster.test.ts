/** CPUs that the real kubelet gives to one machine alone, or doesn't. It restarts the kubelet with its static policy. */
import assert from "node:assert/strict";
import { availableParallelism } from "node:os";
import { after, before, describe, it } from "node:test";
import { mergePatch } from "../../kube/request.ts";
import type { Pod } from "../../kube/resources.ts";
import { VIRTUAL_MACHINES } from "../../operator/kinds.ts";
import { conditionOf } from "../../operator/vmi/conditions.ts";
import { manageCpus, type PodThread, threadsOf } from "../harness/cpu-manager.ts";
import { eventually } from "../harness/eventually.ts";
import { Guests } from "../harness/guest.ts";
import { LauncherCgroups } from "../harness/launcher-cgroups.ts";
import { measurementOf, operatorMetrics, untilMeasured } from "../harness/metrics.ts";
import { systemPods } from "../harness/system.ts";

const CHANGE_MS = 30_000;
const START_MS = 60_000;
/** The static policy leaves one to all others. */
const GIVEN_AWAY = availableParallelism() - 1;

describe("a machine with dedicated CPUs", { concurrency: 1 }, () => {
  let guests: Guests;
  let neighbours: readonly Pod[];
  let node: string;

  before(async () => {
    guests = await Guests.open("dedicated");
    const agents = await systemPods(guests.client, "virtpod-agent");
    neighbours = [...agents, ...(await systemPods(guests.client, "virtpod-operator"))];
    node = agents[0]?.spec.nodeName ?? "";
  });
  after(async () => {
    try {
      await guests.close();
      // Under another policy nobody would put it right.
      await untilShared();
    } finally {
      await manageCpus("none", node);
    }
  });

  const pinned = (cpu: object = {}) => ({
    domain: { cpu: { cores: 1, dedicatedCpuPlacement: true, ...cpu } },
  });
  const cpusOf = (threads: readonly PodThread[]) => new Set(threads.flatMap(({ cpus }) => cpus));
  const vcpusOf = (threads: readonly PodThread[]) =>
    threads.filter(({ name }) => /^CPU \d+\/(TCG|KVM)/.test(name));
  const ofNeighbours = () => cpusOf(neighbours.flatMap(threadsOf));

  /** The kubelet takes the CPUs from the others a moment after it has given them away. */
  const untilAlone = (own: ReadonlySet<number>) =>
    eventually(async () => {
      const others = ofNeighbours();
      const shared = [...own].filter((cpu) => others.has(cpu));
      assert(others.size > 0 && shared.length === 0, `CPU ${shared} is others' too`);
    }, CHANGE_MS);

  /** All CPUs are everybody's. */
  const untilShared = () =>
    eventually(async () => assert.equal(ofNeighbours().size, GIVEN_AWAY + 1), CHANGE_MS);

  it("fails where the kubelet gives none away, with what has to be changed and on which node", async () => {
    await guests.createInstance("shared", pinned());
    const { status } = await guests.untilVmi(
      "shared",
      "its end",
      START_MS,
      (vmi) => vmi.status?.phase === "Failed",
    );
    const sentence = new RegExp(`1 CPU of its own .* node ${node} .*cpuManagerPolicy there to static`);
    assert.equal(status?.reason, "CpusNotDedicated");
    assert.match(conditionOf(status?.conditions, "Ready")?.message ?? "", sentence);
    await guests.untilEvent("shared", "Stopped", sentence, CHANGE_MS);
    await guests.removeInstance("shared");
  });

  it("has its vCPU on a CPU that nobody else may use", async () => {
    await manageCpus("static", node);
    await guests.create("own", pinned());
    const { pod } = await guests.answering("own", START_MS);
    assert.equal(pod.status?.qosClass, "Guaranteed");
    const threads = threadsOf(pod);
    const [vcpu, ...more] = vcpusOf(threads);
    assert.deepEqual([vcpu?.cpus.length, more], [1, []], JSON.stringify(threads));
    assert.deepEqual(cpusOf(threads), new Set(vcpu?.cpus), "and so has all beside it");
    await untilAlone(new Set(vcpu?.cpus));
  });

  it("has no limit to burst above, and is measured", async () => {
    const labels = { namespace: guests.namespace, name: "own" };
    const name = "virtpod_vmi_cpu_usage_seconds_total";
    await untilMeasured(guests.client, name, labels, (seconds = 0) => seconds > 0, CHANGE_MS);
    const text = await operatorMetrics(guests.client);
    assert.equal(measurementOf(text, "virtpod_vmi_cpu_limit_cpus", labels), undefined);
    const cgroups = new LauncherCgroups(await guests.pod("own"));
    assert.deepEqual(cgroups.bursts, [0, 0]);
    assert.deepEqual(cgroups.quotas, [null, null], "the kubelet sets no quota on dedicated CPUs");
  });

  it("is given other CPUs at its next start only", async () => {
    const { metadata } = await guests.pod("own");
    const requests = { spec: { template: { spec: { domain: { resources: { requests: { cpu: 1 } } } } } } };
    await guests.resource(VIRTUAL_MACHINES).patch("own", mergePatch(requests));
    await guests.untilVm("own", "RestartRequired", CHANGE_MS, ({ status }) => {
      return conditionOf(status?.conditions, "RestartRequired") !== undefined;
    });
    assert.equal((await guests.pod("own")).metadata.uid, metadata.uid);
  });

  it("leaves its CPU to all when it goes", async () => {
    await guests.remove("own");
    await untilShared();
  });

  it("has a CPU more for all that is beside the vCPUs, on a node that has so many to give", async () => {
    await guests.create("isolated", pinned({ isolateEmulatorThread: true }));
    if (GIVEN_AWAY < 2) {
      const { status } = await guests.untilVm("isolated", "no node that has them", START_MS, (vm) => {
        return vm.status?.printableStatus === "ErrorUnschedulable";
      });
      assert.match(JSON.stringify(status?.conditions), /Insufficient cpu/);
      assert.equal((await guests.pod("isolated")).spec.containers[0]?.resources?.limits?.["cpu"], "2");
      return;
    }
    const { pod } = await guests.answering("isolated", START_MS);
    const threads = threadsOf(pod);
    const vcpu = vcpusOf(threads);
    const others = cpusOf(threads.filter((thread) => !vcpu.includes(thread)));
    assert.deepEqual(
      [cpusOf(vcpu).size, others.size, cpusOf(threads).size],
      [1, 1, 2],
      JSON.stringify(threads),
    );
    await untilAlone(cpusOf(threads));
  });
});
