/** What is told of a VMI as an event when its status changes; pure. */
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import type { VirtualMachineInstanceStatus } from "../../api/virtual-machine-instance-status.ts";
import type { PlannedEvent } from "../events.ts";
import { conditionOf } from "./conditions.ts";
import { NODE_NOT_READY, NODE_UNRESPONSIVE } from "./disruption.ts";
import { PAUSED_IO_ERROR } from "./status.ts";

export function transitionEvents(
  { status: before = {} }: VirtualMachineInstance,
  after: VirtualMachineInstanceStatus,
): PlannedEvent[] {
  return [phaseEvents, nodeEvents, evictionEvents, pauseEvents, credentialEvents].flatMap((told) =>
    told(before, after),
  );
}

function phaseEvents(
  before: VirtualMachineInstanceStatus,
  after: VirtualMachineInstanceStatus,
): PlannedEvent[] {
  if (after.phase === before.phase) return [];
  const message = conditionOf(after.conditions, "Ready")?.message;
  switch (after.phase) {
    case "Running":
      return [
        { type: "Normal", reason: "Started", message: `The guest started on node ${after.nodeName ?? "?"}` },
      ];
    case "Succeeded":
      return [{ type: "Normal", reason: "ShuttingDown", message: message ?? "The guest was shut down" }];
    case "Failed":
      return [{ type: "Warning", reason: "Stopped", message: message ?? "The guest failed" }];
    default:
      return [];
  }
}

const LOST: readonly (string | undefined)[] = [NODE_UNRESPONSIVE, NODE_NOT_READY];

function nodeEvents(
  before: VirtualMachineInstanceStatus,
  after: VirtualMachineInstanceStatus,
): PlannedEvent[] {
  const [was, is] = [before, after].map(({ conditions }) => conditionOf(conditions, "Ready"));
  const [wasAgent, isAgent] = [before, after].map(({ conditions }) =>
    conditionOf(conditions, "NodeAgentReady"),
  );
  const events: PlannedEvent[] = [];
  if (LOST.includes(is?.reason) && is?.reason !== was?.reason)
    events.push({ type: "Warning", reason: is?.reason ?? "", message: is?.message ?? "" });
  if (isAgent !== undefined && wasAgent === undefined)
    events.push({ type: "Warning", reason: isAgent.reason ?? "", message: isAgent.message ?? "" });
  const wasLost = LOST.includes(was?.reason) || wasAgent !== undefined;
  const isLost = LOST.includes(is?.reason) || isAgent !== undefined;
  if (wasLost && !isLost && after.phase === before.phase)
    events.push({
      type: "Normal",
      reason: "NodeResponsive",
      message: `Node ${after.nodeName ?? "?"} answers again`,
    });
  return events;
}

function evictionEvents(
  before: VirtualMachineInstanceStatus,
  after: VirtualMachineInstanceStatus,
): PlannedEvent[] {
  const [was, is] = [before, after].map(({ conditions }) => conditionOf(conditions, "EvictionRequested"));
  if (is === undefined || is.reason === was?.reason) return [];
  return [{ type: "Warning", reason: "EvictionRequested", message: is.message ?? "" }];
}

/** A guest that stands still because of its disk is somebody's work; the rest is what somebody wanted. */
function pauseEvents(
  before: VirtualMachineInstanceStatus,
  after: VirtualMachineInstanceStatus,
): PlannedEvent[] {
  const [was, is] = [before, after].map(({ conditions }) => conditionOf(conditions, "Paused"));
  if (is?.reason !== undefined && is.reason !== was?.reason) {
    const type = is.reason === PAUSED_IO_ERROR ? "Warning" : "Normal";
    return [{ type, reason: is.reason, message: is.message ?? "The guest is paused" }];
  }
  return was !== undefined && is === undefined && after.phase === "Running"
    ? [{ type: "Normal", reason: "Resumed", message: "The guest runs again" }]
    : [];
}

/** That nothing is set before the agent is there goes without saying. */
function credentialEvents(
  before: VirtualMachineInstanceStatus,
  after: VirtualMachineInstanceStatus,
): PlannedEvent[] {
  const [was, is] = [before, after].map(({ conditions }) =>
    conditionOf(conditions, "AccessCredentialsSynchronized"),
  );
  if (is?.reason === undefined || (is.status === was?.status && is.message === was.message)) return [];
  if (is.status === "True") {
    return [{ type: "Normal", reason: is.reason, message: "The guest has its access credentials" }];
  }
  return was === undefined ? [] : [{ type: "Warning", reason: is.reason, message: is.message ?? "" }];
}
