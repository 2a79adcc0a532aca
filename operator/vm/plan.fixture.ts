/** A VM, its VMI, and what a plan makes of them. */
import { FINALIZER_VM } from "../../api/names.ts";
import type { VirtualMachine } from "../../api/virtual-machine.ts";
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import type { VirtualMachineInstanceStatus } from "../../api/virtual-machine-instance-status.ts";
import { instanceOf } from "./instance.ts";
import type { Observed, Write } from "./plan.ts";

export const NOW = Date.parse("2026-01-01T00:10:00Z");
export const ago = (seconds: number) => new Date(NOW - seconds * 1000).toISOString();

export function vm(over: Partial<VirtualMachine> = {}): VirtualMachine {
  return {
    metadata: {
      name: "tiny",
      namespace: "default",
      uid: "vm-uid",
      resourceVersion: "1",
      creationTimestamp: "2026-01-01T00:00:00Z",
      generation: 3,
      finalizers: [FINALIZER_VM],
    },
    spec: {
      runStrategy: "Always",
      template: { spec: { domain: { devices: {}, memory: { guest: "128Mi" } } } },
    },
    ...over,
  };
}

export const deleted = (machine: VirtualMachine): VirtualMachine => ({
  ...machine,
  metadata: { ...machine.metadata, deletionTimestamp: "2026-01-01T00:09:59Z" },
});

export function vmi(status: VirtualMachineInstanceStatus, isLeaving = false): VirtualMachineInstance {
  const { metadata, spec } = instanceOf(vm());
  return {
    metadata: {
      ...metadata,
      uid: "vmi-uid",
      resourceVersion: "1",
      creationTimestamp: ago(100),
      ...(isLeaving ? { deletionTimestamp: ago(1) } : {}),
    },
    spec,
    status,
  };
}

export const observe = (over: Partial<Observed> = {}): Observed => ({ vm: vm(), now: NOW, ...over });
export const kinds = (writes: readonly Write[]) => writes.map((write) => write.kind);

export function statusOf(writes: readonly Write[]) {
  const write = writes.find((one) => one.kind === "updateStatus");
  return write?.kind === "updateStatus" ? write.status : undefined;
}

/** The world after a plan's writes; deletions are over at once where `isGone`. */
export function apply(observed: Observed, writes: readonly Write[], isGone = false): Observed {
  let { vm: machine, vmi: instance } = observed;
  for (const write of writes) {
    if (write.kind === "createInstance") instance = vmi({});
    if (write.kind === "deleteInstance") instance = isGone ? undefined : vmi(instance?.status ?? {}, true);
    if (write.kind === "updateStatus") machine = { ...machine, status: write.status };
    const metadata = machine.metadata;
    if (write.kind === "addFinalizer")
      machine = { ...machine, metadata: { ...metadata, finalizers: [FINALIZER_VM] } };
    if (write.kind === "removeFinalizer") machine = { ...machine, metadata: { ...metadata, finalizers: [] } };
  }
  const { vmi: _, ...rest } = observed;
  return { ...rest, vm: machine, ...(instance === undefined ? {} : { vmi: instance }) };
}
