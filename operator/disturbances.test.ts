/**
 * What people do to a VM at the worst moment: whatever it is doing, it ends as they want it, nothing hangs, and there
 * are never two of it.
 */
import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import { isDeepStrictEqual } from "node:util";
import type { RunStrategy, VirtualMachine } from "../api/virtual-machine.ts";
import { ignoreNotFound } from "../kube/errors.ts";
import { mergePatch } from "../kube/request.ts";
import { PODS, type Pod } from "../kube/resources.ts";
import { VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINES } from "./kinds.ts";
import { PANICKED } from "./testing/kubelet.ts";
import { machine, NAMESPACE, World } from "./testing/world.ts";
import { isTrue } from "./vmi/conditions.ts";
import { podFacts } from "./vmi/pod-facts.ts";

const vms = (w: World) => w.user.resource(VIRTUAL_MACHINES).namespace(NAMESPACE);
const vmis = (w: World) => w.user.resource(VIRTUAL_MACHINE_INSTANCES).namespace(NAMESPACE);
const says = (w: World) => w.vm("tiny")?.status?.printableStatus;
const set = (w: World, spec: object) => vms(w).patch("tiny", mergePatch({ spec }));
const podUid = (w: World) => w.pods.at(-1)?.metadata.uid ?? "";

/** Brings a VM that has just been created to where it is disturbed. */
const MOMENTS: Readonly<Record<string, (w: World) => Promise<void>>> = {
  "on its way to a node": async (w) => {
    w.kubelet.script = { unschedulable: true };
    await w.until("unschedulable", () => says(w) === "ErrorUnschedulable");
    w.kubelet.script = {};
  },
  starting: async (w) => {
    w.kubelet.script = { stuckOnNode: true };
    await w.until("a pod on its node", () => w.pods[0]?.spec.nodeName !== undefined);
    w.kubelet.script = {};
  },
  running: (w) => w.until("Running", () => says(w) === "Running"),
  paused: async (w) => {
    await w.until("Running", () => says(w) === "Running");
    w.agent.tell(podUid(w), "running", { paused: { reason: "user" } });
    await w.until("Paused", () => says(w) === "Paused");
  },
  stopping: async (w) => {
    await w.until("Running", () => says(w) === "Running");
    w.kubelet.script = { isAway: true };
    await vmis(w).delete("tiny");
    await w.until("Stopping", () => says(w) === "Stopping");
    w.kubelet.script = {};
  },
  "crash-looping": async (w) => {
    await w.until("Running", () => says(w) === "Running");
    w.kubelet.end(podUid(w), PANICKED);
    await w.until("backing off", () => says(w) === "CrashLoopBackOff" && w.vmi("tiny") === undefined);
  },
};

type Wish = "runs" | "goes on as it was" | "is stopped" | "is gone";

/** What is done to it, and how it is to end. */
const DISTURBANCES: Readonly<Record<string, readonly [Wish, (w: World) => Promise<unknown>]>> = {
  "its template is edited": [
    "goes on as it was",
    (w) => set(w, { template: { spec: { domain: { memory: { guest: "256Mi" } } } } }),
  ],
  "its guest is renamed": ["goes on as it was", (w) => set(w, { template: { spec: { hostname: "other" } } })],
  "it is halted": ["is stopped", (w) => set(w, { runStrategy: "Halted" })],
  "it is halted by one and started by another": [
    "runs",
    async (w) => {
      await set(w, { runStrategy: "Halted" });
      await set(w, { runStrategy: "Always" });
    },
  ],
  "it is started and stopped, and started and stopped, as it goes": [
    "is stopped",
    async (w) => {
      for (const runStrategy of ["Halted", "Always", "Halted", "Always", "Halted"] satisfies RunStrategy[]) {
        await set(w, { runStrategy });
        for (let steps = 0; steps < 3; steps++) await w.kubelet.step();
      }
    },
  ],
  "its instance is deleted": ["runs", (w) => vmis(w).delete("tiny").catch(ignoreNotFound)],
  "its pod is deleted": [
    "runs",
    async (w) => {
      const [pod] = w.pods;
      if (pod !== undefined)
        await w.user.resource(PODS).namespace(NAMESPACE).delete(pod.metadata.name).catch(ignoreNotFound);
    },
  ],
  "it is deleted": ["is gone", (w) => vms(w).delete("tiny")],
  "it is deleted, and made again under its name": [
    "runs",
    async (w) => {
      await vms(w).delete("tiny");
      await w.until("gone", () => w.vm("tiny") === undefined);
      await vms(w).create(machine("tiny"));
    },
  ],
};

const ENDS: Readonly<Record<Wish, (w: World) => boolean>> = {
  runs: (w) => says(w) === "Running" && w.vm("tiny")?.status?.ready === true,
  "goes on as it was": (w) =>
    ["Running", "Paused"].includes(says(w) ?? "") &&
    isTrue(w.vm("tiny")?.status?.conditions, "RestartRequired") === hasOtherTemplate(w),
  "is stopped": (w) => says(w) === "Stopped" && w.pods.length === 0 && w.vmi("tiny") === undefined,
  "is gone": (w) => w.vm("tiny") === undefined && w.vmi("tiny") === undefined && w.pods.length === 0,
};

/** What runs was started before the edit. */
function hasOtherTemplate(w: World): boolean {
  return !isDeepStrictEqual(w.vmi("tiny")?.spec, w.vm("tiny")?.spec.template.spec);
}

async function begin(t: TestContext, over: Partial<VirtualMachine["spec"]> = {}): Promise<World> {
  const w = new World();
  t.after(() => w.close());
  await w.user.resource(VIRTUAL_MACHINES).create(machine("tiny", over));
  return w;
}

describe("a VM that is disturbed while it is", () => {
  for (const [moment, bring] of Object.entries(MOMENTS)) {
    for (const [disturbance, [wish, disturb]] of Object.entries(DISTURBANCES)) {
      it(`${moment}: ${disturbance}, and it ${wish}`, async (t) => {
        const w = await begin(t);
        const running = new Set<string>();
        let most = 0;
        w.server.storage.get(PODS).listeners.add(({ type, object }) => {
          const { isRunning, uid } = podFacts(object as unknown as Pod);
          if (isRunning && type !== "DELETED") running.add(uid);
          else running.delete(uid);
          most = Math.max(most, running.size);
        });
        await bring(w);
        await disturb(w);
        // A back-off of up to 15 s is part of it.
        await w.until(wish, () => ENDS[wish](w), 20);
        await w.quiet(2);
        assert(ENDS[wish](w), `it ${says(w)} when all is quiet`);
        assert(most <= 1, `${most} guests ran at once`);
        assert(w.pods.length <= 1);
      });
    }
  }
});
