/** `virtpod port-forward`: local TCP and UDP ports, or this process's streams, joined with ports of a guest. */
import { createServer, type Server, type Socket } from "node:net";
import { type Cluster, type ClusterFlags, clusterOf } from "../cluster.ts";
import { CliError } from "../errors.ts";
import { joinStream } from "../join.ts";
import { type ForwardedPort, parsePort } from "../ports.ts";
import { openStream } from "../stream.ts";
import { subresourcePath } from "../subresource.ts";
import { printable } from "../table.ts";
import { parseTarget, resourceOf, type Target } from "../target.ts";
import { listenUdp } from "../udp.ts";

export interface PortForwardFlags extends ClusterFlags {
  readonly address: string;
  readonly stdio?: boolean;
}

/** Close code of a stream that ended as TCP connections do. */
const ENDED = 1000;

/** Resolves with ^C, or, of `--stdio`, when the connection ends. @throws CliError */
export async function portForward(
  text: string,
  portTexts: readonly string[],
  flags: PortForwardFlags,
): Promise<void> {
  const target = parseTarget(text);
  const ports = portTexts.map(parsePort);
  const cluster = clusterOf({
    ...flags,
    ...(target.namespace !== undefined && { namespace: target.namespace }),
  });
  if (flags.stdio === true) {
    const [port] = ports;
    if (port === undefined || ports.length > 1) throw new CliError("--stdio takes one port");
    return joinStandardStreams(cluster, target, port);
  }
  const listeners = [];
  for (const port of ports) listeners.push(await listen(cluster, target, port, flags.address));
  await new Promise<void>((resolve) => process.once("SIGINT", resolve));
  for (const close of listeners) close();
}

async function joinStandardStreams(cluster: Cluster, target: Target, port: ForwardedPort): Promise<void> {
  const websocket = await openStream(cluster, pathOf(cluster, target, port));
  const { code, reason } = await joinStream(websocket, process.stdin, process.stdout);
  process.stdin.destroy();
  if (code !== ENDED && code !== 1005) throw new CliError(sentence(target, port, code, reason));
}

/** Returns what ends it. @throws CliError when the port can't be opened */
async function listen(
  cluster: Cluster,
  target: Target,
  port: ForwardedPort,
  address: string,
): Promise<() => void> {
  const open = () => openStream(cluster, pathOf(cluster, target, port));
  const complain = (error: unknown) => process.stderr.write(`${(error as Error).message}\n`);
  const where = `${target.kind}/${target.name}/${cluster.namespace}`;
  try {
    const listener =
      port.protocol === "udp"
        ? await listenUdp({ address, port: port.local, open, complain })
        : await listenTcp(address, port.local, (socket) => {
            joinSocket(socket, open, (code, reason) => sentence(target, port, code, reason)).catch(complain);
          });
    process.stdout.write(
      `Forwarding ${port.protocol} ${hostPort(address, listener.port)} to port ${port.guest} of ${where}\n`,
    );
    return listener.close;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new CliError(
      `can't open ${port.protocol} port ${hostPort(address, port.local)} here: ${reason}; choose another, as in ` +
        `0:${port.guest}`,
      { cause },
    );
  }
}

async function joinSocket(
  socket: Socket,
  open: () => ReturnType<typeof openStream>,
  tell: (code: number, reason: string) => string,
): Promise<void> {
  socket.on("error", () => {});
  try {
    const websocket = await open();
    // Gone while the way to the guest was made.
    if (socket.destroyed) return websocket.terminate();
    const { code, reason } = await joinStream(websocket, socket, socket);
    if (code !== ENDED && code !== 1005 && !socket.destroyed) throw new CliError(tell(code, reason));
    // Whoever keeps a connection open whose other end is gone would keep it for ever.
    socket.destroySoon();
  } catch (error) {
    // The guest's refusal, as far as TCP can tell it.
    socket.resetAndDestroy();
    throw error;
  }
}

interface Listener {
  readonly port: number;
  readonly close: () => void;
}

function listenTcp(address: string, port: number, onConnection: (socket: Socket) => void): Promise<Listener> {
  // What a person ends with "I send no more" may still be answered.
  const server: Server = createServer({ allowHalfOpen: true, noDelay: true });
  const sockets = new Set<Socket>();
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    onConnection(socket);
  });
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, address, () => {
      const bound = server.address();
      const close = () => {
        server.close();
        for (const socket of sockets) socket.destroy();
      };
      resolve({ port: typeof bound === "object" && bound !== null ? bound.port : port, close });
    });
  });
}

function pathOf({ namespace }: Cluster, { kind, name }: Target, { guest, protocol }: ForwardedPort): string {
  const subresource = `portforward/${guest}/${protocol}`;
  return subresourcePath({ namespace, resource: resourceOf(kind), name, subresource });
}

function sentence({ kind, name }: Target, { guest }: ForwardedPort, code: number, reason: string): string {
  const why = reason === "" ? `the connection was lost (${code})` : printable(reason);
  return `port ${guest} of ${kind}/${name}: ${why}`;
}

function hostPort(address: string, port: number): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}
