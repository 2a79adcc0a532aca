/** Checks what an agent tells: a broken or captured node must not put arbitrary objects into a VMI's status. */
import type {
  DomainEnd,
  DomainEndReason,
  LauncherInterfaceStatus,
  LauncherPhase,
  LauncherStatus,
  LauncherTimeline,
} from "../../api/launcher-protocol.ts";
import type { AgentStatus, NodeFacts } from "../../api/uplink-protocol.ts";
import { OperatorError } from "../errors.ts";
import { list, malformed, object, oneOf, sentence, text } from "./fields.ts";
import { parseAccessCredentials, parseGuestAgent } from "./guest-agent.ts";

const PHASES: readonly LauncherPhase[] = ["preparing", "starting", "running", "stopping", "stopped"];
const END_REASONS: readonly DomainEndReason[] = ["shutdown", "destroyed", "crashed", "panicked", "failed"];
const MAX_INTERFACES = 16;
const MAX_ADDRESSES = 16;

/** @throws OperatorError MalformedStatus naming the field */
export function parseAgentStatus(value: unknown): AgentStatus {
  const status = object(value, "status");
  switch (status["type"]) {
    case "synced":
      return { type: "synced" };
    case "node":
      return { type: "node", node: parseNode(status["node"]) };
    case "launcher":
      return parseToldLauncher(text(status["podUid"], "podUid"), status["status"]);
    case "disconnected":
      return { type: "disconnected", podUid: text(status["podUid"], "podUid") };
    case "refused":
      return {
        type: "refused",
        podUid: text(status["podUid"], "podUid"),
        code: text(status["code"], "code"),
        message: sentence(status["message"], "message"),
      };
    default:
      throw malformed("type", "is none that this operator knows");
  }
}

/**
 * What a launcher says passes through its agent unread. One that says nonsense is told of as refused: were it the
 * stream that is refused, a single captured launcher would silence its whole node.
 */
function parseToldLauncher(podUid: string, value: unknown): AgentStatus {
  try {
    return { type: "launcher", podUid, status: parseLauncherStatus(value) };
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error;
    return { type: "refused", podUid, code: error.code, message: error.message };
  }
}

/** @throws OperatorError MalformedStatus naming the field */
export function parseLauncherStatus(value: unknown): LauncherStatus {
  const status = object(value, "status");
  const { paused, machineType, guestAgent, accessCredentials, end } = status;
  return {
    phase: oneOf(status["phase"], PHASES, "phase"),
    interfaces: list(status["interfaces"], "interfaces", MAX_INTERFACES).map(parseInterface),
    timeline: parseTimeline(status["timeline"]),
    ...(paused === undefined ? {} : { paused: parsePaused(paused) }),
    ...(machineType === undefined ? {} : { machineType: text(machineType, "machineType") }),
    ...(guestAgent === undefined ? {} : { guestAgent: parseGuestAgent(guestAgent) }),
    ...(accessCredentials === undefined
      ? {}
      : { accessCredentials: parseAccessCredentials(accessCredentials) }),
    ...(end === undefined ? {} : { end: parseDomainEnd(end) }),
  };
}

/** Also reads a launcher's termination message. @throws OperatorError MalformedStatus naming the field */
export function parseDomainEnd(value: unknown): DomainEnd {
  const end = object(value, "end");
  return {
    reason: oneOf(end["reason"], END_REASONS, "end.reason"),
    acpiRequested: end["acpiRequested"] === true,
    code: text(end["code"], "end.code"),
    message: sentence(end["message"], "end.message"),
  };
}

function parseNode(value: unknown): NodeFacts {
  const node = object(value, "node");
  const kvm = object(node["kvm"], "node.kvm");
  return {
    kvm: {
      usable: kvm["usable"] === true,
      reason: sentence(kvm["reason"], "node.kvm.reason"),
    },
    agentVersion: text(node["agentVersion"], "node.agentVersion"),
  };
}

function parsePaused(value: unknown): NonNullable<LauncherStatus["paused"]> {
  const paused = object(value, "paused");
  const { message } = paused;
  return {
    reason: text(paused["reason"], "paused.reason"),
    ...(message === undefined ? {} : { message: sentence(message, "paused.message") }),
  };
}

function parseInterface(value: unknown): LauncherInterfaceStatus {
  const iface = object(value, "interfaces[]");
  const { queueCount, withheldAddresses } = iface;
  return {
    name: text(iface["name"], "interfaces[].name"),
    macAddress: text(iface["macAddress"], "interfaces[].macAddress"),
    podInterfaceName: text(iface["podInterfaceName"], "interfaces[].podInterfaceName"),
    ipAddresses: list(iface["ipAddresses"], "interfaces[].ipAddresses", MAX_ADDRESSES).map((address) =>
      text(address, "interfaces[].ipAddresses[]"),
    ),
    ...(withheldAddresses === undefined
      ? {}
      : {
          withheldAddresses: list(withheldAddresses, "interfaces[].withheldAddresses", MAX_ADDRESSES).map(
            (address) => text(address, "interfaces[].withheldAddresses[]"),
          ),
        }),
    queueCount: typeof queueCount === "number" && Number.isInteger(queueCount) ? queueCount : 1,
    leased: iface["leased"] === true,
  };
}

function parseTimeline(value: unknown): LauncherTimeline {
  const timeline = object(value, "timeline");
  const time = (name: keyof LauncherTimeline) =>
    timeline[name] === undefined ? {} : { [name]: text(timeline[name], `timeline.${name}`) };
  return {
    launcherStarted: text(timeline["launcherStarted"], "timeline.launcherStarted"),
    ...time("networkReady"),
    ...time("libvirtReady"),
    ...time("disksReady"),
    ...time("domainStarted"),
    ...time("firstLease"),
  };
}
