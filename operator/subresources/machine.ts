/** A VM or VMI that somebody asks something of: found in the caches, or refused with what to do. */
import type { VirtualMachine } from "../../api/virtual-machine.ts";
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import { VMI_CONDITIONS } from "../../api/virtual-machine-instance-status.ts";
import { isControlledBy } from "../../kube/ownership.ts";
import type { Pod } from "../../kube/resources.ts";
import { BY_VMI, type Caches, isPodOf } from "../caches.ts";
import { conditionOf, isTrue } from "../vmi/conditions.ts";
import { nameOf, type SubresourcePath } from "./path.ts";
import { StatusError, vmNotFound } from "./status.ts";

export interface PlacedMachine {
  readonly vmi: VirtualMachineInstance;
  /** Its launcher's, bound to a node and not at its end. */
  readonly pod: Pod;
  readonly nodeName: string;
  /** It is on its way down: what reaches its launcher now may not a moment later. */
  readonly isShuttingDown: boolean;
  readonly isPaused: boolean;
}

/** Upstream's virtctl waits for a console that answers 400, and for no other; to others a VMI's state is a conflict. */
const WAITED_FOR: readonly string[] = ["virtualmachineinstances/console", "virtualmachineinstances/vnc"];

/** The VMI that the path names, or the VM's own. @throws StatusError NotFound, Conflict, BadRequest */
export function placedMachine(caches: Caches, path: SubresourcePath): PlacedMachine {
  const vmi = path.resource === "virtualmachines" ? vmiOfVm(caches, path) : vmiNamed(caches, path);
  const { deletionTimestamp, namespace, name } = vmi.metadata;
  const pod = caches.pods.byIndex(BY_VMI, `${namespace}/${name}`).find((one) => isPodOf(one, vmi));
  const nodeName = pod?.spec.nodeName;
  // The kubelet tells late that a container runs; the agent, asked directly, knows better. Only its end is certain.
  const isOver = pod?.status?.phase === "Succeeded" || pod?.status?.phase === "Failed";
  if (pod === undefined || nodeName === undefined || isOver) throw notRunning(caches, path, vmi);
  return {
    vmi,
    pod,
    nodeName,
    isShuttingDown: deletionTimestamp !== undefined || pod.metadata.deletionTimestamp !== undefined,
    isPaused: isTrue(vmi.status?.conditions, VMI_CONDITIONS.paused),
  };
}

/** What the guest itself must answer, it can't while it is paused. @throws StatusError Conflict */
export function requireUnpaused({ isPaused, vmi }: PlacedMachine): void {
  if (!isPaused) return;
  const { namespace, name } = vmi.metadata;
  throw new StatusError(
    "Conflict",
    `the VMI ${namespace}/${name} is paused: let it go on with "virtpod unpause ${name}" first`,
  );
}

/** Has not been told to run yet, as far as is known here. */
export function isStarting({ status }: VirtualMachineInstance): boolean {
  return !["Running", "Succeeded", "Failed"].includes(status?.phase ?? "Pending");
}

/** A state that will pass: who waits for a console is told so in the way that clients wait for. */
export function starting(path: SubresourcePath, message: string, cause?: unknown): StatusError {
  const reason = WAITED_FOR.includes(nameOf(path)) ? "BadRequest" : "Conflict";
  return new StatusError(reason, message, { cause });
}

function vmiNamed(caches: Caches, { namespace, name }: SubresourcePath): VirtualMachineInstance {
  const vmi = caches.vmis.get(`${namespace}/${name}`);
  if (vmi !== undefined) return vmi;
  const vm = caches.vms.get(`${namespace}/${name}`);
  const advice =
    vm === undefined ? `see kubectl get vm,vmi --namespace ${namespace} for those there are` : nextStep(vm);
  throw new StatusError("NotFound", `virtualmachineinstances.kubevirt.io "${name}" not found: ${advice}`);
}

function vmiOfVm(caches: Caches, { namespace, name }: SubresourcePath): VirtualMachineInstance {
  const vm = caches.vms.get(`${namespace}/${name}`);
  if (vm === undefined) throw vmNotFound({ namespace, name });
  const vmi = caches.vmis.get(`${namespace}/${name}`);
  if (vmi !== undefined && isControlledBy(vmi, vm)) return vmi;
  throw new StatusError(
    "Conflict",
    `the virtual machine ${namespace}/${name} is not running: ${nextStep(vm)}`,
  );
}

function notRunning(caches: Caches, path: SubresourcePath, vmi: VirtualMachineInstance): StatusError {
  const { namespace, name, deletionTimestamp } = vmi.metadata;
  const what = `the VMI ${namespace}/${name}`;
  if (deletionTimestamp !== undefined) {
    return new StatusError("Conflict", `${what} is shutting down: it can be started again once it is gone`);
  }
  const phase = vmi.status?.phase ?? "Pending";
  const vm = caches.vms.get(`${namespace}/${name}`);
  if (isStarting(vmi)) {
    const { message } = conditionOf(vmi.status?.conditions, VMI_CONDITIONS.podScheduled) ?? {};
    const why = message ?? `kubectl describe vmi ${name} tells what it waits for`;
    return starting(path, `${what} is not running yet (phase ${phase}): ${why}`);
  }
  const advice =
    vm !== undefined && isControlledBy(vmi, vm)
      ? nextStep(vm)
      : "delete it and create it anew, as it belongs to no virtual machine";
  return new StatusError("Conflict", `${what} is not running (phase ${phase}): ${advice}`);
}

/** From a VM without a guest to one with. */
function nextStep({ metadata, status }: VirtualMachine): string {
  if (metadata.deletionTimestamp !== undefined) return "its virtual machine is being deleted";
  if (status?.printableStatus === "Stopped")
    return `start its virtual machine with "virtpod start ${metadata.name}"`;
  const state = status?.printableStatus ?? "not known yet";
  return `the status of its virtual machine is ${state}, and kubectl describe vm ${metadata.name} tells why`;
}
