/**
 * What to do about one VM: a pure function of the VM and its VMI. Applying a plan and planning again gives an
 * empty plan. Tables of the peer: run strategies, statuses in KubeVirt's order of precedence.
 */
import { isDeepStrictEqual } from "node:util";
import { FINALIZER_VM } from "../../api/names.ts";
import type { VirtualMachine, VirtualMachineStatus } from "../../api/virtual-machine.ts";
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import type { PlannedEvent } from "../events.ts";
import type { Problem } from "../vmi/problem.ts";
import { type LiveUpdate, liveUpdate, updated } from "./live-update.ts";
import { isInstanceUnwanted, isNextWanted, isPauseAsked, isStartAsked } from "./run-strategy.ts";
import { retryTime, type StartFailure, stableInMs, startFailureAfter } from "./start-failure.ts";
import { wantedStatus } from "./status.ts";
import { transitionEvents } from "./transition-events.ts";

/** Kubernetes' own: the garbage collector is to let go of what the object owns. */
const FINALIZER_ORPHAN = "orphan";

export interface Observed {
  readonly vm: VirtualMachine;
  /** The VMI of the VM's name, if it is the VM's own. */
  readonly vmi?: VirtualMachineInstance;
  /** A VMI of the VM's name exists that belongs to nobody or to somebody else. */
  readonly foreign?: boolean;
  /** Why the VMI could not be made a moment ago. */
  readonly createFailure?: Problem;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/** A write that is told of once it is done. */
interface Told {
  readonly events: readonly PlannedEvent[];
}

export type Write =
  | { readonly kind: "addFinalizer" }
  | (Told & { readonly kind: "createInstance"; readonly paused: boolean })
  | (Told & { readonly kind: "deleteInstance"; readonly vmi: VirtualMachineInstance })
  /** Gives a running guest what of a changed template it can be given. */
  | (Told & {
      readonly kind: "updateInstance";
      readonly vmi: VirtualMachineInstance;
      readonly update: LiveUpdate;
    })
  | (Told & { readonly kind: "updateStatus"; readonly status: VirtualMachineStatus })
  | { readonly kind: "removeFinalizer" };

export interface Plan {
  readonly writes: readonly Write[];
  /** When to look again, in milliseconds from now. */
  readonly requeueAfterMs?: number;
}

/** The events of what was written: what has happened comes before what is done about it. */
export function eventsOf(written: readonly Write[]): PlannedEvent[] {
  const told = (isStatus: boolean) =>
    written.flatMap((write) =>
      "events" in write && (write.kind === "updateStatus") === isStatus ? write.events : [],
    );
  return [...told(true), ...told(false)];
}

export function plan(observed: Observed): Plan {
  const { vm } = observed;
  return vm.metadata.deletionTimestamp === undefined ? planLife(observed) : planDeletion(observed);
}

/** The VMI goes first, gracefully; the VM stays to be looked at until it has gone. */
function planDeletion({ vm, vmi, now }: Observed): Plan {
  const hasFinalizer = vm.metadata.finalizers?.includes(FINALIZER_VM) ?? false;
  if (!hasFinalizer) return { writes: [] };
  // `kubectl delete --cascade=orphan`: the guest goes on without its VM.
  const isOrphaning = vm.metadata.finalizers?.includes(FINALIZER_ORPHAN) ?? false;
  if (vmi === undefined || isOrphaning) return { writes: [{ kind: "removeFinalizer" }] };
  const writes: Write[] =
    vmi.metadata.deletionTimestamp === undefined ? [{ kind: "deleteInstance", vmi, events: [] }] : [];
  return { writes: [...writes, ...statusWrite(vm, wantedStatus({ vm, vmi, now: new Date(now) }), vmi)] };
}

function planLife(observed: Observed): Plan {
  const { vm, vmi, foreign, createFailure, now } = observed;
  const writes: Write[] = [];
  if (!vm.metadata.finalizers?.includes(FINALIZER_VM)) writes.push({ kind: "addFinalizer" });

  const failure = startFailureAfter(observed);
  const decision = decide(observed, failure);
  if (decision.kind === "create") {
    const message = `Started the virtual machine by creating the virtual machine instance ${vm.metadata.name}`;
    const events: PlannedEvent[] = [{ type: "Normal", reason: "SuccessfulCreate", message }];
    writes.push({ kind: "createInstance", paused: isPauseAsked(observed), events });
  }
  const update = vmi === undefined || decision.kind === "delete" ? undefined : liveUpdate(vm, vmi);
  if (vmi !== undefined && update !== undefined) {
    const message = "The running guest is given the CPU amounts and the burst of the changed template";
    const events: PlannedEvent[] = [{ type: "Normal", reason: "LiveUpdated", message }];
    writes.push({ kind: "updateInstance", vmi, update, events });
  }
  const seen = vmi === undefined || update === undefined ? vmi : updated(vmi, update);
  const status = wantedStatus({
    vm,
    now: new Date(now),
    isStarting: decision.kind === "create" && createFailure === undefined,
    ...(seen === undefined ? {} : { vmi: seen }),
    ...(foreign === undefined ? {} : { foreign }),
    ...(createFailure === undefined ? {} : { createFailure }),
    ...(failure === undefined ? {} : { failure }),
  });
  writes.push(...statusWrite(vm, status, vmi));
  // Last: that a guest was stopped or has failed is known of its VMI alone, until the VM's status has it.
  if (decision.kind === "delete" && vmi !== undefined) {
    const message = `Stopped the virtual machine by deleting the virtual machine instance ${vm.metadata.name}`;
    const events: PlannedEvent[] = [{ type: "Normal", reason: "SuccessfulDelete", message }];
    writes.push({ kind: "deleteInstance", vmi, events });
  }
  const waitMs = decision.kind === "wait" ? decision.ms : failure && vmi && stableInMs(vmi, now);
  return waitMs === undefined ? { writes } : { writes, requeueAfterMs: waitMs };
}

type Decision = { kind: "create" } | { kind: "delete" } | { kind: "wait"; ms: number } | { kind: "none" };

function decide(observed: Observed, failure: StartFailure | undefined): Decision {
  const { vmi, foreign, now } = observed;
  if (vmi !== undefined) {
    // A finished incarnation is cleared away; the next one is made when it has gone.
    const isLeaving = vmi.metadata.deletionTimestamp !== undefined;
    return !isLeaving && isInstanceUnwanted(observed) ? { kind: "delete" } : { kind: "none" };
  }
  if (foreign || !isNextWanted(observed)) return { kind: "none" };
  // Who asks for a start by name does not want to wait.
  const retryAt = isStartAsked(observed) ? 0 : retryTime(failure);
  return retryAt > now ? { kind: "wait", ms: retryAt - now } : { kind: "create" };
}

function statusWrite(
  vm: VirtualMachine,
  status: VirtualMachineStatus,
  vmi: VirtualMachineInstance | undefined,
): Write[] {
  if (isDeepStrictEqual(status, vm.status)) return [];
  return [{ kind: "updateStatus", status, events: transitionEvents(vm.status ?? {}, status, vmi) }];
}
