/** What `kubectl get vm` shows, in KubeVirt's order of precedence: each status alone, and every two at once. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { VirtualMachine } from "../../api/virtual-machine.ts";
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import { NODE_UNRESPONSIVE } from "../vmi/disruption.ts";
import { deleted, NOW, vm, vmi } from "./plan.fixture.ts";
import type { StartFailure } from "./start-failure.ts";
import { printableStatus, wantedStatus } from "./status.ts";

interface Seen {
  readonly vm: VirtualMachine;
  readonly vmi?: VirtualMachineInstance;
  readonly failure?: StartFailure;
}

type Phase = NonNullable<VirtualMachineInstance["status"]>["phase"];

const instanceOf = ({ vmi: seen }: Seen): VirtualMachineInstance => seen ?? vmi({ phase: "Scheduling" });

const inPhase =
  (phase: NonNullable<Phase>) =>
  (seen: Seen): Seen => {
    const instance = instanceOf(seen);
    return { ...seen, vmi: { ...instance, status: { ...instance.status, phase } } };
  };

const withCondition =
  (type: string, status: "True" | "False" | "Unknown", reason: string) =>
  (seen: Seen): Seen => {
    const instance = instanceOf(seen);
    const others = (instance.status?.conditions ?? []).filter((condition) => condition.type !== type);
    const conditions = [...others, { type, status, reason, message: reason }];
    return { ...seen, vmi: { ...instance, status: { ...instance.status, conditions } } };
  };

/** First what comes first. `Unknown` stands for what KubeVirt has at the end: nothing else is known then. */
const ORDER: Readonly<Record<string, (seen: Seen) => Seen>> = {
  Terminating: (seen) => ({ ...seen, vm: deleted(seen.vm) }),
  Stopping: (seen) => {
    const instance = instanceOf(seen);
    const metadata = { ...instance.metadata, deletionTimestamp: "2026-01-01T00:09:59Z" };
    return { ...seen, vmi: { ...instance, metadata } };
  },
  Unknown: withCondition("Ready", "Unknown", NODE_UNRESPONSIVE),
  Paused: withCondition("Paused", "True", "PausedByUser"),
  Running: inPhase("Running"),
  ErrorPvcNotFound: withCondition("Synchronized", "False", "FailedPvcNotFound"),
  ErrorUnschedulable: withCondition("PodScheduled", "False", "Unschedulable"),
  WaitingForVolumeBinding: withCondition("Provisioning", "True", "WaitingForVolumeBinding"),
  ErrImagePull: withCondition("Synchronized", "False", "ErrImagePull"),
  ImagePullBackOff: withCondition("Synchronized", "False", "ImagePullBackOff"),
  Starting: inPhase("Scheduling"),
  CrashLoopBackOff: (seen) => ({
    ...seen,
    vm: { ...seen.vm, spec: { ...seen.vm.spec, runStrategy: "Always" } },
    failure: { consecutiveFailCount: 1, retryAfterTimestamp: new Date(NOW + 10_000).toISOString() },
  }),
  Stopped: (seen) => seen,
};

const KUBEVIRT = [
  "Terminating",
  "Stopping",
  "Paused",
  "Running",
  "ErrorPvcNotFound",
  "ErrorUnschedulable",
  "WaitingForVolumeBinding",
  "ErrImagePull",
  "ImagePullBackOff",
  "Starting",
  "CrashLoopBackOff",
  "Stopped",
];

const idle: Seen = { vm: vm({ spec: { ...vm().spec, runStrategy: "Manual" } }) };
const show = (seen: Seen) => printableStatus({ ...seen, now: new Date(NOW) });
const names = Object.keys(ORDER);

describe("what kubectl shows of a VM", () => {
  it("is in KubeVirt's order, but for what stands for an unknown node", () => {
    assert.deepEqual(
      names.filter((name) => name !== "Unknown"),
      KUBEVIRT,
    );
  });

  for (const [index, name] of names.entries()) {
    it(`is ${name} alone, and before all that comes behind it`, () => {
      const make = ORDER[name];
      assert(make !== undefined);
      assert.equal(show(make(idle)), name);
      for (const later of names.slice(index + 1)) {
        const both = make(ORDER[later]?.(idle) ?? idle);
        assert.equal(show(both), name, `${name} together with ${later}`);
      }
    });
  }

  it("says Ready with it only where it is Running, and the same the second time", () => {
    for (const name of names) {
      const seen = ORDER[name]?.(idle) ?? idle;
      const now = new Date(NOW);
      const status = wantedStatus({ ...seen, now });
      assert.equal(status.printableStatus, name);
      assert.equal(status.ready, false, name);
      const again = wantedStatus({ ...seen, vm: { ...seen.vm, status }, now: new Date(NOW + 1_000) });
      assert.deepEqual(again, status, name);
    }
  });
});
