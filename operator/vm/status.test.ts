import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { VirtualMachine } from "../../api/virtual-machine.ts";
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import { instanceOf } from "./instance.ts";
import { vm as plannedVm } from "./plan.fixture.ts";
import { wantedStatus } from "./status.ts";

const NOW = new Date("2026-01-01T00:10:00Z");

function vm(guest = "128Mi", over: Partial<VirtualMachine["metadata"]> = {}): VirtualMachine {
  const { metadata, spec } = plannedVm();
  return {
    metadata: { ...metadata, generation: 1, ...over },
    spec: { ...spec, template: { spec: { domain: { devices: {}, memory: { guest } } } } },
  };
}

function started(
  from: VirtualMachine,
  phase: "Running" | "Failed" = "Running",
  over: Partial<VirtualMachineInstance["metadata"]> = {},
): VirtualMachineInstance {
  const { metadata, spec } = instanceOf(from);
  const stamped = { uid: "vmi-uid", resourceVersion: "1", creationTimestamp: "2026-01-01T00:00:00Z" };
  return { metadata: { ...metadata, ...stamped, ...over }, spec, status: { phase } };
}

function restartRequired(machine: VirtualMachine, vmi?: VirtualMachineInstance) {
  const { conditions } = wantedStatus({ vm: machine, now: NOW, ...(vmi === undefined ? {} : { vmi }) });
  return conditions?.find(({ type }) => type === "RestartRequired");
}

describe("RestartRequired", () => {
  const edited = vm("256Mi", { generation: 2 });

  it("is True while the guest runs on another template than the VM has now", () => {
    const condition = restartRequired(edited, started(vm()));
    assert.deepEqual([condition?.status, condition?.reason], ["True", "TemplateChanged"]);
  });

  it("goes when the template is changed back, and with the next incarnation", () => {
    assert.equal(restartRequired(vm("128Mi", { generation: 3 }), started(vm())), undefined);
    assert.equal(restartRequired(edited, started(edited)), undefined);
  });

  it("isn't said of a guest that ends anyway, nor where none runs", () => {
    assert.equal(restartRequired(edited), undefined);
    assert.equal(restartRequired(edited, started(vm(), "Failed")), undefined);
    assert.equal(restartRequired(edited, started(vm(), "Running", { deletionTimestamp: "now" })), undefined);
    const halted: VirtualMachine = { ...edited, spec: { ...edited.spec, runStrategy: "Halted" } };
    assert.equal(restartRequired(halted, started(vm())), undefined);
    assert.equal(restartRequired(vm("256Mi", { deletionTimestamp: "now" }), started(vm())), undefined);
  });

  it("isn't guessed without a readable note of what was started", () => {
    for (const annotations of [{}, { "virtpod.io/started-template": "{" }]) {
      assert.equal(restartRequired(edited, started(vm(), "Running", { annotations })), undefined);
    }
  });

  it("is no news the second time", () => {
    const first = wantedStatus({ vm: edited, vmi: started(vm()), now: NOW });
    const later = new Date(NOW.getTime() + 60_000);
    assert.deepEqual(
      wantedStatus({ vm: { ...edited, status: first }, vmi: started(vm()), now: later }),
      first,
    );
  });

  it("doesn't depend on the order of the template's fields", () => {
    const template = { spec: { domain: { memory: { guest: "128Mi" }, devices: {} } } };
    const reordered: VirtualMachine = { ...vm(), spec: { runStrategy: "Always", template } };
    assert.equal(restartRequired(reordered, started(vm())), undefined);
  });
});

describe("what kubectl shows of a VM whose VMI doesn't run", () => {
  const shown = (...conditions: readonly (readonly [string, "True" | "False", string])[]) => {
    const vmi: VirtualMachineInstance = {
      ...started(vm()),
      status: {
        phase: "Scheduling",
        conditions: conditions.map(([type, status, reason]) => ({ type, status, reason })),
      },
    };
    return wantedStatus({ vm: vm(), vmi, now: NOW }).printableStatus;
  };
  const unbound = ["Provisioning", "True", "WaitingForVolumeBinding"] as const;

  it("is what its disks wait for, in KubeVirt's order", () => {
    assert.equal(shown(), "Starting");
    assert.equal(shown(["Synchronized", "False", "FailedPvcNotFound"]), "ErrorPvcNotFound");
    assert.equal(shown(unbound), "WaitingForVolumeBinding");
    assert.equal(shown(unbound, ["PodScheduled", "False", "Unschedulable"]), "ErrorUnschedulable");
  });
});

describe("the generations", () => {
  it("say what the guest was started from, and what the VM has now", () => {
    const edited = vm("256Mi", { generation: 2 });
    const { observedGeneration, desiredGeneration } = wantedStatus({
      vm: edited,
      vmi: started(vm()),
      now: NOW,
    });
    assert.deepEqual([observedGeneration, desiredGeneration], [1, 2]);
    assert.equal(wantedStatus({ vm: edited, now: NOW }).observedGeneration, 2);
  });

  it("are the same while the guest has the VM's template, whatever else of the VM was edited", () => {
    const edited = vm("128Mi", { generation: 2 });
    const rerun: VirtualMachine = { ...edited, spec: { ...edited.spec, runStrategy: "RerunOnFailure" } };
    const backAgain = vm("128Mi", { generation: 3 });
    for (const machine of [rerun, backAgain]) {
      const { observedGeneration } = wantedStatus({ vm: machine, vmi: started(vm()), now: NOW });
      assert.equal(observedGeneration, machine.metadata.generation);
    }
  });
});
