/**
 * portforward/PORT[/PROTOCOL] of a VM or VMI: the operator dials the address of the guest's pod. That is the guest's
 * own behind the bridge binding, and leads to it behind masquerade. It is the kubelet's word: what a guest or its
 * agent tells of its addresses could lead anywhere.
 */
import { createSocket, type Socket as DatagramSocket } from "node:dgram";
import { once } from "node:events";
import { connect, isIPv6, type Socket } from "node:net";
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import type { Caches } from "../caches.ts";
import { placedMachine, requireUnpaused, starting } from "./machine.ts";
import type { SubresourcePath } from "./path.ts";
import { CLOSE_INTERNAL_ERROR, type Session } from "./session.ts";
import { StatusError } from "./status.ts";

const DIAL_DEADLINE_MS = 10_000;
/** Ends what stands open towards a guest that vanished. */
const KEEP_ALIVE_MS = 30_000;

interface Target {
  readonly protocol: "tcp" | "udp";
  readonly address: string;
  readonly port: number;
  /** "TCP port 22 of the VMI default/tiny (10.244.1.5)". */
  readonly text: string;
}

/** @throws StatusError BadRequest, NotFound, Conflict; ServiceUnavailable where nobody answers at the port */
export async function openPort(caches: Caches, path: SubresourcePath): Promise<Session> {
  const target = targetOf(caches, path);
  const broken = ({ message }: Error) => ({
    code: CLOSE_INTERNAL_ERROR,
    reason: `${target.text} can't be reached any more: ${message}`,
  });
  if (target.protocol === "udp") return { kind: "datagrams", socket: await connectUdp(target), broken };
  const socket = await connectTcp(target);
  return { kind: "bytes", stream: socket, broken: broken(new Error("the connection was reset")) };
}

function targetOf(caches: Caches, path: SubresourcePath): Target {
  const { port, protocol } = parsePort(path.parameters ?? []);
  const machine = placedMachine(caches, path);
  requireUnpaused(machine);
  const { vmi, pod } = machine;
  const name = `the VMI ${vmi.metadata.namespace}/${vmi.metadata.name}`;
  if (!hasPodNetwork(vmi)) {
    throw new StatusError(
      "Conflict",
      `${name} has no interface on the pod network: there is no port to reach`,
    );
  }
  const address = pod.status?.podIP;
  if (address === undefined || address === "") {
    throw starting(path, `${name} has no address yet: try again once it runs`);
  }
  const text = `${protocol.toUpperCase()} port ${port} of ${name} (${address})`;
  return { protocol, address, port, text };
}

/** @throws StatusError BadRequest */
function parsePort(parameters: readonly string[]): Pick<Target, "port" | "protocol"> {
  const [text = "", protocol = "tcp", ...rest] = parameters;
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port < 1 || port > 65_535 || rest.length > 0) {
    throw new StatusError(
      "BadRequest",
      "portforward takes a port from 1 to 65535 and, if need be, tcp or udp: …/portforward/22/tcp",
    );
  }
  if (protocol !== "tcp" && protocol !== "udp") {
    throw new StatusError("BadRequest", `portforward knows the protocols tcp and udp, not "${protocol}"`);
  }
  return { port, protocol };
}

/** A guest with no network listed has the pod's, unless it is told otherwise. */
function hasPodNetwork({ spec }: VirtualMachineInstance): boolean {
  if (spec.networks === undefined || spec.networks.length === 0)
    return spec.domain.devices?.autoattachPodInterface !== false;
  return spec.networks.some(({ pod }) => pod !== undefined);
}

async function connectTcp(target: Target): Promise<Socket> {
  const { address: host, port } = target;
  const socket = connect({
    host,
    port,
    allowHalfOpen: true,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: KEEP_ALIVE_MS,
  });
  const signal = AbortSignal.timeout(DIAL_DEADLINE_MS);
  try {
    await once(socket, "connect", { signal });
  } catch (cause) {
    socket.on("error", () => {});
    socket.destroy();
    throw unreachable(target, cause, signal.aborted);
  }
  return socket;
}

async function connectUdp(target: Target): Promise<DatagramSocket> {
  const socket = createSocket(isIPv6(target.address) ? "udp6" : "udp4");
  try {
    socket.connect(target.port, target.address);
    await once(socket, "connect");
  } catch (cause) {
    socket.close();
    throw unreachable(target, cause, false);
  }
  return socket;
}

function unreachable({ text }: Target, cause: unknown, isLate: boolean): StatusError {
  const { code, message } = cause as NodeJS.ErrnoException;
  const why =
    code === "ECONNREFUSED"
      ? "nothing listens there, or its interface's ports leave it out"
      : isLate
        ? `no answer within ${DIAL_DEADLINE_MS / 1000} s: is the guest up, and do its firewall and the namespace's network policies let the operator in?`
        : message;
  return new StatusError("ServiceUnavailable", `${text} can't be reached: ${why}`, { cause });
}
