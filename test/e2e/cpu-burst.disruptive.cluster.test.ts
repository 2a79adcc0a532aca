/**
 * CPU burst on a real launcher, beside the real kubelet and runtime. It changes the configuration, and takes the agent
 * away.
 */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { CpuBurst } from "../../api/cpu-burst-schema.ts";
import { mergePatch } from "../../kube/request.ts";
import { CONFIG_MAPS, PODS, type Pod } from "../../kube/resources.ts";
import { VIRTUAL_MACHINES } from "../../operator/kinds.ts";
import { conditionOf } from "../../operator/vmi/conditions.ts";
import { podCpu } from "../../operator/vmi/pod-cpu.ts";
import { kubeconfigPath, until } from "../harness/cluster.ts";
import { capture, clusterTool } from "../harness/command.ts";
import { ask, Guests } from "../harness/guest.ts";
import { LauncherCgroups, type PodAndContainer } from "../harness/launcher-cgroups.ts";
import { untilMeasured } from "../harness/metrics.ts";
import { killSystem, SYSTEM } from "../harness/system.ts";

const CHANGE_MS = 60_000;
const START_MS = 60_000;
/** A look of the agent's, its time of grace and the look after that; and the same again on a busy machine. */
const REPAIR_MS = 60_000;
const LIMIT = 50_000;

describe("CPU burst of a launcher", { concurrency: 1 }, () => {
  let guests: Guests;
  let pod: Pod;
  let address: string;
  let cgroups: LauncherCgroups;
  let configuration: string;

  before(async () => {
    guests = await Guests.open("cpu-burst");
    configuration = (await configMap().get("virtpod-config")).data?.["config.json"] ?? "";
    await guests.create("tiny", { domain: { resources: { limits: { cpu: "500m" } } } });
    ({ pod, address } = await guests.answering("tiny", START_MS));
    cgroups = new LauncherCgroups(pod);
  });
  after(async () => {
    await configMap().patch("virtpod-config", mergePatch({ data: { "config.json": configuration } }));
    agentsOn(null);
    await guests.close();
  });

  const configMap = () => guests.client.resource(CONFIG_MAPS).namespace(SYSTEM);
  const kubectl = (...args: string[]) =>
    capture(clusterTool("kubectl"), args, { ...process.env, KUBECONFIG: kubeconfigPath() });
  const change = (domain: object) =>
    guests.resource(VIRTUAL_MACHINES).patch("tiny", mergePatch({ spec: { template: { spec: { domain } } } }));
  const burst = (strategy: CpuBurst | null) => change({ cpu: { burst: strategy } });
  const labels = () => ({ namespace: guests.namespace, name: "tiny" });

  /** Agents run on nodes with that label only; on all with null. */
  const agentsOn = (label: string | null) =>
    kubectl(
      ...["patch", "daemonset", "virtpod-agent", "--namespace", SYSTEM, "--type", "merge", "--patch"],
      JSON.stringify({ spec: { template: { spec: { nodeSelector: { "virtpod.test/agents": label } } } } }),
    );

  const untilQuotas = (quotas: PodAndContainer, timeoutMs = CHANGE_MS) =>
    cgroups.until(`quotas ${quotas}`, timeoutMs, (now) => `${now.quotas}` === `${quotas}`);
  const untilBursts = (bursts: PodAndContainer, timeoutMs = CHANGE_MS) =>
    cgroups.until(`bursts ${bursts}`, timeoutMs, (now) => `${now.bursts}` === `${bursts}`);

  const limit = (milliCpu: number) => change({ resources: { limits: { cpu: `${milliCpu}m` } } });
  /** The kubelet has made it so. */
  const untilLimit = (milliCpu: number, timeoutMs = CHANGE_MS) =>
    until(guests.client, PODS, {
      namespace: guests.namespace,
      name: pod.metadata.name,
      what: `CPU limit ${milliCpu}m`,
      timeoutMs,
      when: (seen) => {
        const { actual, resize } = seen === undefined ? {} : podCpu(seen);
        return actual?.limit === milliCpu && resize === undefined;
      },
    });

  /** The guest works without end until the function that it returns is called. */
  function busy(): () => Promise<void> {
    let isWanted = true;
    const work = (async () => {
      while (isWanted) await ask(address, "/burn?iterations=20", CHANGE_MS);
    })();
    return async () => {
      isWanted = false;
      await work;
    };
  }

  it("is in force in the pod's cgroup and in the container's", async () => {
    await untilBursts([LIMIT, LIMIT]);
    assert.deepEqual(cgroups.quotas, [LIMIT, LIMIT]);
  });

  it("has a stranger's quota taken back, and counts it", async () => {
    cgroups.setQuotas(77_000);
    await untilQuotas([LIMIT, LIMIT], REPAIR_MS);
    await untilMeasured(
      guests.client,
      "virtpod_vmi_cpu_quota_repaired_total",
      labels(),
      (count = 0) => count >= 2,
      CHANGE_MS,
    );
  });

  it("raises a busy guest's quota, and makes way for the kubelet", async () => {
    // Whatever else this machine does meanwhile.
    const eager = JSON.parse(configuration) as { cpuBurst?: { clusterStrategy?: object } };
    const clusterStrategy = { ...eager.cpuBurst?.clusterStrategy, sharePoolThresholdPercent: 100 };
    const data = {
      "config.json": JSON.stringify({ ...eager, cpuBurst: { ...eager.cpuBurst, clusterStrategy } }),
    };
    await configMap().patch("virtpod-config", mergePatch({ data }));
    await burst({ policy: "auto", quotaPercent: 150 });
    const rest = busy();
    try {
      await cgroups.until("raised quota", REPAIR_MS, ({ quotas: [above, own] }) => {
        return (above ?? 0) > LIMIT && (own ?? 0) > LIMIT;
      });
      await limit(400);
      await untilLimit(400);
      await untilBursts([40_000, 40_000]);
      await cgroups.until("quota raised above the new limit", REPAIR_MS, ({ quotas: [, own] }) => {
        return (own ?? 0) > 40_000 && (own ?? 0) <= 60_000;
      });
    } finally {
      await rest();
    }
    await burst({ policy: "none", quotaPercent: 150 });
    // A quota may be back at the limit before the agent has heard of the policy: the guest is idle.
    await cgroups.until("bursts of 0 at the limit's quotas", CHANGE_MS, ({ bursts, quotas }) => {
      return `${bursts}` === "0,0" && `${quotas}` === "40000,40000";
    });
    await burst(null);
    await untilBursts([40_000, 40_000]);
  });

  it("ends with the agent, and comes back with it, as does a change of the limit", async () => {
    agentsOn("none");
    await untilBursts([0, 0]);
    assert.deepEqual(cgroups.quotas, [40_000, 40_000]);
    await limit(300);
    await guests.untilVmi("tiny", "the resize deferred", CHANGE_MS, ({ status }) => {
      return conditionOf(status?.conditions, "Synchronized")?.reason === "ResizeDeferred";
    });
    assert.deepEqual(cgroups.quotas, [40_000, 40_000]);
    agentsOn(null);
    await untilLimit(300, START_MS);
    await untilBursts([30_000, 30_000]);
  });

  it("is taken over from an agent that was killed", async () => {
    const untilBack = await killSystem(guests.client, "virtpod-agent");
    // What a stranger has done meanwhile the next agent takes back, and what is no longer wanted.
    cgroups.setBursts(0);
    await untilBursts([30_000, 30_000], START_MS);
    await untilBack();
  });

  it("goes with the VM", async () => {
    await guests.remove("tiny", CHANGE_MS);
    assert.throws(() => cgroups.quotas, { code: "ENOENT" });
  });
});
