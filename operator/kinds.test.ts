import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Pod } from "../kube/resources.ts";
import { vmiKeyOf } from "./caches.ts";
import { slimPod } from "./kinds.ts";
import { instance } from "./vmi/instance.fixture.ts";
import { resolveLaunchSpec } from "./vmi/launch-spec.ts";
import { launcherPod } from "./vmi/launcher-pod.ts";
import { ANNOTATION_NETWORK_STATUS } from "./vmi/multus.ts";
import { podFacts } from "./vmi/pod-facts.ts";

function stored(accelerator: "kvm" | "tcg", status: Pod["status"] = {}): Pod {
  const vmi = instance();
  const draft = launcherPod(vmi, resolveLaunchSpec(vmi, accelerator), { image: "i", imagePullSecrets: [] });
  const stamped = {
    uid: "pod-uid",
    resourceVersion: "7",
    creationTimestamp: "2026-01-01T00:00:00Z",
    deletionTimestamp: "2026-01-01T00:01:00Z",
  };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { ...draft.metadata, ...stamped } as Pod["metadata"],
    spec: { ...draft.spec, nodeName: "node-1" },
    status,
  };
}

const STATUSES: readonly NonNullable<Pod["status"]>[] = [
  {},
  {
    phase: "Pending",
    conditions: [
      { type: "PodScheduled", status: "False", reason: "Unschedulable", message: "no node fits" },
      { type: "PodReadyToStartContainers", status: "True" },
      { type: "Ready", status: "False" },
    ],
  },
  { phase: "Failed", reason: "Evicted", message: "low on memory", qosClass: "Burstable", podIP: "10.0.0.1" },
];

describe("a pod as the cache keeps it", () => {
  it("still tells all that decisions need", () => {
    for (const accelerator of ["kvm", "tcg"] as const) {
      for (const status of STATUSES) {
        const pod = stored(accelerator, status);
        assert.deepEqual(podFacts(slimPod(pod)), podFacts(pod));
        assert.equal(podFacts(slimPod(pod)).accelerator, accelerator);
        assert.equal(vmiKeyOf(slimPod(pod)), "default/tiny");
      }
    }
  });

  it("still tells the limits of what a webhook has put before the launcher and beside it", () => {
    const pod = stored("kvm");
    const resources = { limits: { cpu: "2", memory: "1Gi" } };
    const initContainers = [
      { name: "proxy", image: "proxy", restartPolicy: "Always" as const, resources },
      { name: "setup", image: "setup", resources },
    ];
    const injected = { ...pod, spec: { ...pod.spec, initContainers } };
    assert.deepEqual(podFacts(slimPod(injected)), podFacts(injected));
  });

  it("still tells what the pod is attached to, and nothing else of its annotations", () => {
    const pod = stored("kvm", { phase: "Running" });
    const networks = JSON.stringify([{ name: "infra/vlan-7", interface: "net1" }]);
    const annotations = { [ANNOTATION_NETWORK_STATUS]: networks, other: "x" };
    const slim = slimPod({ ...pod, metadata: { ...pod.metadata, annotations } });
    assert.deepEqual(slim.metadata.annotations, { [ANNOTATION_NETWORK_STATUS]: networks });
    assert.deepEqual(podFacts(slim).networks, [{ name: "infra/vlan-7", interface: "net1" }]);
    assert.equal(slimPod(pod).metadata.annotations, undefined);
  });

  it("is a fraction of the pod, and the same when it is cut down twice", () => {
    const pod = stored("kvm", { phase: "Running" });
    const slim = slimPod(pod);
    assert(JSON.stringify(slim).length * 3 < JSON.stringify(pod).length);
    assert.deepEqual(slimPod(slim), slim);
  });

  it("shares what says that it was given KVM with every other", () => {
    assert.equal(slimPod(stored("kvm")).spec.containers, slimPod(stored("kvm")).spec.containers);
  });
});
