import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { DomainEnd, LauncherStatus } from "../../api/launcher-protocol.ts";
import { FINALIZER_VMI } from "../../api/names.ts";
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import type { ToldLauncher } from "../uplink/statuses.ts";
import { type Observed, plan, type Write } from "./plan.ts";
import { RUNNING_POD } from "./pod-facts.fixture.ts";
import type { PodFacts } from "./pod-facts.ts";

const NOW = "2026-01-01T00:00:10Z";
const LATER = "2026-01-01T00:00:20Z";

function vmi(over: Partial<VirtualMachineInstance["metadata"]> = {}): VirtualMachineInstance {
  return {
    metadata: {
      name: "tiny",
      namespace: "default",
      uid: "vmi-uid",
      resourceVersion: "1",
      creationTimestamp: "2026-01-01T00:00:00Z",
      finalizers: [FINALIZER_VMI],
      ...over,
    },
    spec: { domain: { devices: {}, memory: { guest: "128Mi" } } },
  };
}

const livingPod: PodFacts = {
  ...RUNNING_POD,
  name: "virt-launcher-tiny-abcde",
  uid: "pod-uid",
  qosClass: "Burstable",
};

function overPod(end?: DomainEnd, over: Partial<PodFacts> = {}): PodFacts {
  return {
    ...livingPod,
    phase: end?.reason === "shutdown" ? "Succeeded" : "Failed",
    isRunning: false,
    terminated: { reason: "Completed", exitCode: 0, ...(end === undefined ? {} : { end }) },
    ...over,
  };
}

function end(reason: DomainEnd["reason"]): DomainEnd {
  return { reason, acpiRequested: false, code: `Guest-${reason}`, message: `the guest ended: ${reason}` };
}

function told(phase: LauncherStatus["phase"], over: Partial<LauncherStatus> = {}): ToldLauncher {
  const iface = { name: "default", macAddress: "02:00:00:00:00:01", podInterfaceName: "eth0" };
  return {
    status: {
      phase,
      machineType: "pc-q35-10.0",
      interfaces: [{ ...iface, ipAddresses: ["10.244.0.7"], queueCount: 1, leased: false }],
      timeline: { launcherStarted: NOW },
      ...over,
    },
  };
}

function observe(over: Partial<Observed>): Observed {
  return { vmi: vmi(), pods: [], launcherImage: "launcher:1", now: NOW, ...over };
}

const kinds = (writes: readonly Write[]) => writes.map((write) => write.kind);

function statusOf(writes: readonly Write[]) {
  const write = writes.find((one) => one.kind === "updateStatus");
  return write?.kind === "updateStatus" ? write.status : undefined;
}

const eventsOf = (writes: readonly Write[]) =>
  writes.flatMap((write) => ("events" in write ? write.events : []));

/** The world after a plan's writes, as far as the plan can see it. */
function apply(observed: Observed, writes: readonly Write[]): Observed {
  let { vmi: instance, pods } = observed;
  for (const write of writes) {
    if (write.kind === "createPod") pods = [{ ...livingPod, phase: "Pending", isRunning: false }];
    if (write.kind === "updateStatus" && instance) instance = { ...instance, status: write.status };
    if (write.kind === "deletePod") {
      pods = pods.map((pod) => (pod.uid === write.pod.uid ? { ...pod, isDeleting: true } : pod));
    }
    if (write.kind === "releasePod") {
      pods = pods
        .map((pod) => (pod.uid === write.pod.uid ? { ...pod, isHeld: false } : pod))
        .filter((pod) => pod.isHeld || !pod.isDeleting);
    }
    if (write.kind === "removeFinalizer" && instance) {
      instance = { ...instance, metadata: { ...instance.metadata, finalizers: [] } };
    }
    if (write.kind === "addFinalizer" && instance) {
      instance = { ...instance, metadata: { ...instance.metadata, finalizers: [FINALIZER_VMI] } };
    }
  }
  const { vmi: _, ...rest } = observed;
  return { ...rest, pods, now: LATER, ...(instance === undefined ? {} : { vmi: instance }) };
}

describe("a new VMI", () => {
  it("gets its pod and says Scheduling, in two writes", () => {
    const { writes } = plan(observe({}));
    assert.deepEqual(kinds(writes), ["createPod", "updateStatus"]);
    assert.equal(statusOf(writes)?.phase, "Scheduling");
    assert.deepEqual(
      statusOf(writes)?.phaseTransitionTimestamps?.map((one) => one.phase),
      ["Pending", "Scheduling"],
    );
  });

  it("that a user made gets its finalizer before its pod", () => {
    assert.deepEqual(kinds(plan(observe({ vmi: vmi({ finalizers: [] }) })).writes).slice(0, 2), [
      "addFinalizer",
      "createPod",
    ]);
  });

  it("on a claim without a volume says so until its pod has a node, and costs no write in between", () => {
    const waiting = observe({ unboundClaims: ["data"] });
    const provisioning = (seen: Observed) =>
      statusOf(plan(seen).writes)?.conditions?.find((one) => one.type === "Provisioning");
    assert.deepEqual(
      [provisioning(waiting)?.status, provisioning(waiting)?.reason],
      ["True", "WaitingForVolumeBinding"],
    );
    assert.match(provisioning(waiting)?.message ?? "", /PersistentVolumeClaim data/);
    const after = apply(waiting, plan(waiting).writes);
    const { nodeName: _, ...unscheduled } = livingPod;
    const unplaced = { ...after, pods: [{ ...unscheduled, phase: "Pending", isRunning: false }] };
    assert.deepEqual(plan(unplaced).writes, []);
    const bound = { ...unplaced, unboundClaims: [] };
    assert.deepEqual(kinds(plan(bound).writes), ["updateStatus"]);
    assert.equal(provisioning(bound), undefined);
  });

  it("whose pod can't be made says why and stays Pending", () => {
    const createFailure = { reason: "FailedCreate", message: "pods is forbidden: exceeded quota" };
    const status = statusOf(plan(observe({ createFailure })).writes);
    assert.equal(status?.phase, "Pending");
    const condition = status?.conditions?.find((one) => one.type === "Synchronized");
    assert.deepEqual([condition?.status, condition?.reason], ["False", "FailedCreate"]);
  });
});

describe("a VMI with a pod", () => {
  const scheduling = apply(observe({}), plan(observe({})).writes);
  const probedBy = (probes: Partial<VirtualMachineInstance["spec"]>): VirtualMachineInstance => {
    const { vmi: seen = vmi() } = scheduling;
    return { ...seen, spec: { ...seen.spec, ...probes } };
  };

  it("writes nothing while the pod only makes its way to the node", () => {
    for (const pod of [
      { ...livingPod, phase: "Pending", isRunning: false },
      {
        ...livingPod,
        phase: "Pending",
        isRunning: false,
        waiting: { reason: "ContainerCreating", message: "" },
      },
      livingPod,
    ]) {
      assert.deepEqual(plan({ ...scheduling, pods: [pod] }).writes, []);
      assert.deepEqual(plan({ ...scheduling, pods: [pod], told: told("preparing") }).writes, []);
    }
  });

  it("tells the link of a card that started with it down", () => {
    const down = { name: "default", state: "down" as const };
    const spec = {
      domain: { devices: { interfaces: [down] }, memory: { guest: "128Mi" } },
      networks: [{ name: "default", pod: {} }],
    };
    const { vmi: before } = scheduling;
    assert.ok(before);
    const linkState = (one: VirtualMachineInstance) =>
      statusOf(plan({ ...scheduling, vmi: one, pods: [livingPod], told: told("running") }).writes)
        ?.interfaces?.[0]?.linkState;
    assert.equal(linkState({ ...before, spec }), "down");
    assert.equal(linkState(before), "up");
  });

  it("turns Running with node, addresses and machine in one write when its launcher says so", () => {
    const { writes } = plan({ ...scheduling, pods: [livingPod], told: told("running") });
    assert.deepEqual(kinds(writes), ["updateStatus"]);
    const status = statusOf(writes);
    assert.equal(status?.phase, "Running");
    assert.equal(status?.nodeName, "node-1");
    assert.deepEqual(status?.activePods, { "pod-uid": "node-1" });
    assert.equal(status?.interfaces?.[0]?.ipAddress, "10.244.0.7");
    assert.equal(status?.machine?.type, "pc-q35-10.0");
    assert.equal(status?.conditions?.find((one) => one.type === "Ready")?.status, "True");
    assert.deepEqual(
      eventsOf(writes).map((event) => event.reason),
      ["Started"],
    );
  });

  it("says Paused and not ready while the guest is paused", () => {
    const paused = told("running", { paused: { reason: "user" } });
    const status = statusOf(plan({ ...scheduling, pods: [livingPod], told: paused }).writes);
    assert.equal(status?.conditions?.find((one) => one.type === "Paused")?.status, "True");
    assert.equal(status?.conditions?.find((one) => one.type === "Ready")?.reason, "GuestPaused");
  });

  it("is not ready before its readinessProbe succeeds, nor after that fails", () => {
    const readinessProbe = { httpGet: { port: 80 } };
    const probed = probedBy({ readinessProbe });
    const ready = (isReady: boolean) => {
      const pods = [{ ...livingPod, isReady }];
      const { writes } = plan({ ...scheduling, vmi: probed, pods, told: told("running") });
      return statusOf(writes)?.conditions?.find((one) => one.type === "Ready");
    };
    assert.deepEqual([ready(false)?.status, ready(false)?.reason], ["False", "GuestNotReady"]);
    assert.equal(ready(true)?.status, "True");
  });

  it("has failed when the kubelet stopped it for its livenessProbe, also where it obeyed", () => {
    const livenessProbe = { tcpSocket: { port: 80 } };
    const probed = probedBy({ livenessProbe });
    const obeyed = { ...end("shutdown"), acpiRequested: true };
    const ended = (pod: PodFacts) => statusOf(plan({ ...scheduling, vmi: probed, pods: [pod] }).writes);
    const stopped = ended(overPod(obeyed));
    assert.deepEqual([stopped?.phase, stopped?.reason], ["Failed", "LivenessProbeFailed"]);
    assert.equal(ended(overPod(obeyed, { isDeleting: true }))?.phase, "Succeeded");
    assert.equal(ended(overPod(end("shutdown")))?.phase, "Succeeded");
  });

  it("is told of in events when it is paused and when it runs again: aloud if a disk is the reason", () => {
    const running = { ...scheduling, pods: [livingPod], told: told("running") };
    const before = apply(running, plan(running).writes);
    const events = (seen: Observed) =>
      eventsOf(plan(seen).writes).map(({ type, reason, message }) => [type, reason, message]);
    const message = "disk data: no room is left";
    const full = { ...before, told: told("running", { paused: { reason: "ioError", message } }) };
    assert.deepEqual(events(full), [["Warning", "PausedIOError", message]]);
    const after = apply(full, plan(full).writes);
    assert.deepEqual(events(after), []);
    assert.deepEqual(events({ ...after, told: told("running") }), [
      ["Normal", "Resumed", "The guest runs again"],
    ]);
    const byUser = { ...before, told: told("running", { paused: { reason: "user" } }) };
    assert.deepEqual(events(byUser), [["Normal", "PausedByUser", "the guest is paused"]]);
  });

  it("tells what keeps the pod from starting, and on which node", () => {
    const waiting = { reason: "ErrImagePull", message: "no such image" };
    const pod = { ...livingPod, phase: "Pending", isRunning: false, waiting };
    const status = statusOf(plan({ ...scheduling, pods: [pod] }).writes);
    assert.equal(status?.conditions?.find((one) => one.type === "Synchronized")?.message, "no such image");
    assert.equal(status?.nodeName, "node-1");
  });

  it("tells what keeps its volumes from being mounted, until they are", () => {
    const mountFailure = { reason: "FailedMount", message: 'secret "keys" not found' };
    const waiting = { reason: "ContainerCreating", message: "" };
    const pod = { ...livingPod, phase: "Pending", hasSandbox: false, isRunning: false, waiting };
    const seen = { ...scheduling, pods: [pod], mountFailure };
    const { writes } = plan(seen);
    const condition = statusOf(writes)?.conditions?.find((one) => one.type === "Synchronized");
    assert.deepEqual(
      [condition?.status, condition?.reason, condition?.message],
      ["False", mountFailure.reason, mountFailure.message],
    );
    const after = apply(seen, writes);
    assert.deepEqual(plan({ ...after, pods: [pod] }).writes, []);
    const mounted = { ...after, pods: [{ ...pod, hasSandbox: true }] };
    const status = statusOf(plan(mounted).writes);
    assert.equal(
      status?.conditions?.find((one) => one.type === "Synchronized"),
      undefined,
    );
  });

  it("tells that no node fits", () => {
    const { nodeName: _, ...unscheduled } = livingPod;
    const pod = {
      ...unscheduled,
      phase: "Pending",
      isRunning: false,
      unschedulable: "0/1 nodes are available",
    };
    const condition = statusOf(plan({ ...scheduling, pods: [pod] }).writes)?.conditions?.find(
      (one) => one.type === "PodScheduled",
    );
    assert.deepEqual([condition?.status, condition?.reason], ["False", "Unschedulable"]);
  });
});

describe("the end of a VMI", () => {
  const running = (() => {
    const scheduling = apply(observe({}), plan(observe({})).writes);
    const seen = { ...scheduling, pods: [livingPod], told: told("running") };
    return apply(seen, plan(seen).writes);
  })();

  for (const [name, pod, phase, reason] of [
    ["a guest that powers off", overPod(end("shutdown")), "Succeeded", "Guest-shutdown"],
    ["a guest that was destroyed", overPod(end("destroyed")), "Succeeded", "Guest-destroyed"],
    ["a guest that panicked", overPod(end("panicked")), "Failed", "Guest-panicked"],
    ["a qemu that died", overPod(end("crashed")), "Failed", "Guest-crashed"],
    ["a domain that never started", overPod(end("failed")), "Failed", "Guest-failed"],
    [
      "an evicted pod",
      overPod(undefined, { reason: "Evicted", message: "low on memory" }),
      "Failed",
      "Evicted",
    ],
    [
      "a pod out of memory",
      overPod(undefined, { terminated: { reason: "OOMKilled", exitCode: 137 } }),
      "Failed",
      "OOMKilled",
    ],
    [
      "a qemu out of memory",
      overPod(undefined, { terminated: { reason: "OOMKilled", exitCode: 1, end: end("crashed") } }),
      "Failed",
      "OOMKilled",
    ],
    [
      "a pod that its kubelet refused",
      overPod(undefined, { reason: "UnexpectedAdmissionError", message: "no such device" }),
      "Failed",
      "UnexpectedAdmissionError",
    ],
  ] as const) {
    it(`by ${name} is ${phase}, and the pod is let go once it is written down`, () => {
      const { writes } = plan({ ...running, pods: [pod] });
      assert.deepEqual(kinds(writes), ["updateStatus", "releasePod"]);
      assert.equal(statusOf(writes)?.phase, phase);
      assert.equal(statusOf(writes)?.reason, reason);
      assert.equal(statusOf(writes)?.activePods, undefined);
    });
  }

  it("is told at the launcher's word; the pod is held, and not deleted, until its kubelet tells it too", () => {
    const ended = { ...running, told: told("stopped", { end: end("shutdown") }) };
    const { writes } = plan(ended);
    assert.deepEqual(kinds(writes), ["updateStatus"]);
    assert.deepEqual([statusOf(writes)?.phase, statusOf(writes)?.reason], ["Succeeded", "Guest-shutdown"]);
    const after = apply(ended, writes);
    assert.deepEqual(plan(after), { writes: [], requeueAfterMs: 15_000 });
    assert.deepEqual(kinds(plan({ ...after, pods: [overPod(end("shutdown"))] }).writes), ["releasePod"]);
    // A launcher that only says so doesn't go on behind a VMI that has ended.
    assert.deepEqual(kinds(plan({ ...after, now: "2026-01-01T00:00:35Z" }).writes), ["deletePod"]);
  });

  it("by a crash is explained when the kubelet tells that memory ran out", () => {
    const crash = { ...end("crashed"), code: "QemuCrashed" };
    const crashed = { ...running, told: told("stopped", { end: crash }) };
    const after = apply(crashed, plan(crashed).writes);
    const pod = overPod(crash, { terminated: { reason: "OOMKilled", exitCode: 1, end: crash } });
    const { writes } = plan({ ...after, pods: [pod] });
    assert.deepEqual(kinds(writes), ["updateStatus", "releasePod"]);
    assert.equal(statusOf(writes)?.reason, "OOMKilled");
    assert.deepEqual(kinds(plan(apply({ ...after, pods: [pod] }, writes)).writes), []);
  });

  it("by a pod that vanished is Failed", () => {
    const status = statusOf(plan({ ...running, pods: [] }).writes);
    assert.deepEqual([status?.phase, status?.reason], ["Failed", "PodGone"]);
  });

  it("on deletion takes the pod first, then its hold, then the VMI's finalizer", () => {
    const deleted = { ...running, vmi: vmi({ deletionTimestamp: NOW }) };
    const first = plan(deleted);
    assert.deepEqual(kinds(first.writes), ["deletePod", "updateStatus"]);
    assert.deepEqual(
      eventsOf(first.writes).map(({ reason }) => reason),
      ["SuccessfulDelete", "Started"],
    );
    const deleting = apply(deleted, first.writes);
    assert.deepEqual(plan(deleting).writes, []);
    const over = { ...deleting, pods: [{ ...overPod(end("shutdown")), isDeleting: true }] };
    assert.deepEqual(kinds(plan(over).writes), ["updateStatus", "releasePod"]);
    assert.equal(statusOf(plan(over).writes)?.phase, "Succeeded");
    assert.deepEqual(kinds(plan({ ...deleting, pods: [] }).writes), ["removeFinalizer"]);
  });

  it("on deletion says not ready at once, and how the guest ended before the pod can go", () => {
    const deleted = {
      ...running,
      vmi: { ...running.vmi, metadata: vmi({ deletionTimestamp: NOW }).metadata },
    };
    const status = statusOf(plan(deleted as Observed).writes);
    assert.equal(status?.phase, "Running");
    assert.equal(status?.conditions?.find(({ type }) => type === "Ready")?.reason, "PodTerminating");
    const stubborn = overPod({ ...end("destroyed"), acpiRequested: true }, { isDeleting: true });
    assert.equal(statusOf(plan({ ...deleted, pods: [stubborn] } as Observed).writes)?.phase, "Failed");
  });

  it("on deletion lets a pod go that never had a node: no kubelet will tell its end", () => {
    const { nodeName: _, ...unscheduled } = { ...livingPod, phase: "Pending", isRunning: false };
    const deleted = observe({ vmi: vmi({ deletionTimestamp: NOW }), pods: [unscheduled] });
    const first = plan(deleted);
    assert.deepEqual(kinds(first.writes), ["deletePod", "updateStatus"]);
    assert.deepEqual(kinds(plan(apply(deleted, first.writes)).writes), ["releasePod"]);
  });

  it("without a VMI still lets go of pods that are over, and of no others", () => {
    const { vmi: _, ...orphaned } = running;
    assert.deepEqual(kinds(plan({ ...orphaned, pods: [overPod(end("shutdown"))] }).writes), ["releasePod"]);
    assert.deepEqual(plan({ ...orphaned, pods: [livingPod] }).writes, []);
  });
});

describe("plans", () => {
  const pods = fc.option(
    fc.record({
      phase: fc.constantFrom("Pending", "Running", "Succeeded", "Failed"),
      isDeleting: fc.boolean(),
      isHeld: fc.boolean(),
      waiting: fc.option(fc.constantFrom("ContainerCreating", "ErrImagePull", "ImagePullBackOff")),
      end: fc.option(
        fc.constantFrom<DomainEnd["reason"]>("shutdown", "destroyed", "crashed", "panicked", "failed"),
      ),
    }),
  );
  const worlds = fc.record({
    isDeleted: fc.boolean(),
    hasFinalizer: fc.boolean(),
    pod: pods,
    told: fc.option(
      fc.constantFrom<LauncherStatus["phase"]>("preparing", "starting", "running", "stopping", "stopped"),
    ),
    isRefused: fc.boolean(),
  });

  function observedOf(
    world: typeof worlds extends fc.Arbitrary<infer T> ? T : never,
    instance: VirtualMachineInstance,
  ) {
    const { pod } = world;
    const facts: PodFacts[] = [];
    if (pod !== null) {
      facts.push({
        ...livingPod,
        phase: pod.phase,
        isDeleting: pod.isDeleting,
        isHeld: pod.isHeld,
        isRunning: pod.phase === "Running",
        ...(pod.waiting === null || pod.phase !== "Pending"
          ? {}
          : { waiting: { reason: pod.waiting, message: "m" } }),
        ...(pod.end === null || (pod.phase !== "Succeeded" && pod.phase !== "Failed")
          ? {}
          : { terminated: { reason: "Error", exitCode: 1, end: end(pod.end) } }),
      });
    }
    const metadata = {
      ...instance.metadata,
      finalizers: world.hasFinalizer || world.isDeleted ? [FINALIZER_VMI] : [],
      ...(world.isDeleted ? { deletionTimestamp: NOW } : {}),
    };
    return observe({
      vmi: { ...instance, metadata },
      pods: facts,
      // What an agent tells is looked up by the pod: without one there is nothing.
      ...(pod === null
        ? {}
        : world.isRefused
          ? { told: { refused: { code: "NotAnnounced", message: "m" } } }
          : world.told === null
            ? {}
            : { told: told(world.told) }),
    });
  }

  it("leave nothing to do once applied, whatever happened before", () => {
    fc.assert(
      fc.property(fc.array(worlds, { minLength: 1, maxLength: 6 }), (history) => {
        let instance = vmi();
        for (const world of history) {
          let observed = observedOf(world, instance);
          observed = apply(observed, plan(observed).writes);
          const second = plan(observed);
          // A pod that is deleted and let go leaves; the VMI's own finalizer is then the one thing left to take off.
          const rest = kinds(second.writes).filter((kind) => kind !== "removeFinalizer");
          assert.deepEqual(rest, []);
          if (observed.vmi !== undefined) instance = observed.vmi;
        }
      }),
    );
  });

  it("never make a pod beside another, for a deleted VMI or for a finished one", () => {
    fc.assert(
      fc.property(fc.array(worlds, { minLength: 1, maxLength: 6 }), (history) => {
        let instance = vmi();
        for (const world of history) {
          const observed = observedOf(world, instance);
          const isCreating = kinds(plan(observed).writes).includes("createPod");
          if (isCreating) {
            assert.equal(observed.pods.length, 0);
            assert.equal(observed.vmi?.metadata.deletionTimestamp, undefined);
            assert(!["Succeeded", "Failed"].includes(instance.status?.phase ?? ""));
          }
          const after = apply(observed, plan(observed).writes);
          if (after.vmi !== undefined) instance = after.vmi;
        }
      }),
    );
  });
});
