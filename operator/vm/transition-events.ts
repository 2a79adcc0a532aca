/** What is told of a VM as an event when its status changes, so that `kubectl describe vm` reads as a story; pure. */
import type { VirtualMachineStatus } from "../../api/virtual-machine.ts";
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import type { PlannedEvent } from "../events.ts";
import { type Condition, conditionOf } from "../vmi/conditions.ts";

type Words = Pick<PlannedEvent, "type"> & { readonly condition: string };

/** What `kubectl get vm` shows that is news, and the condition that has the words. */
const NEWS: Readonly<Record<string, Words>> = {
  Paused: { type: "Normal", condition: "Paused" },
  Unknown: { type: "Warning", condition: "Ready" },
  CrashLoopBackOff: { type: "Warning", condition: "Failure" },
  ErrorUnschedulable: { type: "Warning", condition: "PodScheduled" },
  ErrorPvcNotFound: { type: "Warning", condition: "Synchronized" },
  ErrImagePull: { type: "Warning", condition: "Synchronized" },
  ImagePullBackOff: { type: "Warning", condition: "Synchronized" },
  WaitingForVolumeBinding: { type: "Normal", condition: "Provisioning" },
};

/** It has run before: what it comes back from, and what that is called. */
const AGAIN: Readonly<Record<string, string>> = { Paused: "Resumed", Unknown: "NodeResponsive" };

/** Conditions that are news by themselves when they come. */
const ARRIVALS: Readonly<Record<string, PlannedEvent["type"]>> = {
  Completed: "Normal",
  RestartRequired: "Normal",
  EvictionRequested: "Warning",
};

export function transitionEvents(
  before: VirtualMachineStatus,
  after: VirtualMachineStatus,
  vmi: VirtualMachineInstance | undefined,
): PlannedEvent[] {
  return [...endEvents(before, after, vmi), ...statusEvents(before, after, vmi), ...arrivals(before, after)];
}

/** How the guest ended, told once: the condition Ready says it as long as its VMI is there. */
function endEvents(
  before: VirtualMachineStatus,
  after: VirtualMachineStatus,
  vmi: VirtualMachineInstance | undefined,
): PlannedEvent[] {
  const [was, is] = [before, after].map(({ conditions }) => conditionOf(conditions, "Ready"));
  if (is?.reason !== "PodTerminated" || (was?.reason === is.reason && was.message === is.message)) return [];
  const { phase, reason } = vmi?.status ?? {};
  const type = phase === "Failed" ? "Warning" : "Normal";
  return [{ type, reason: reason ?? phase ?? "Stopped", message: is.message ?? "The guest has ended" }];
}

function statusEvents(
  before: VirtualMachineStatus,
  after: VirtualMachineStatus,
  vmi: VirtualMachineInstance | undefined,
): PlannedEvent[] {
  const is = after.printableStatus ?? "";
  if (is === before.printableStatus) return [];
  if (is === "Running") {
    const message = `The guest runs on node ${vmi?.status?.nodeName ?? "?"}`;
    return [{ type: "Normal", reason: AGAIN[before.printableStatus ?? ""] ?? "Started", message }];
  }
  const news = NEWS[is];
  if (news === undefined) return [];
  return [told(news.type, conditionOf(after.conditions, news.condition), is)];
}

function arrivals(before: VirtualMachineStatus, after: VirtualMachineStatus): PlannedEvent[] {
  return Object.entries(ARRIVALS).flatMap(([name, type]) => {
    const is = conditionOf(after.conditions, name);
    const isNews = is !== undefined && conditionOf(before.conditions, name)?.reason !== is.reason;
    return isNews ? [{ ...told(type, is, name), reason: name }] : [];
  });
}

function told(type: PlannedEvent["type"], condition: Condition | undefined, what: string): PlannedEvent {
  return { type, reason: condition?.reason ?? what, message: condition?.message ?? what };
}
