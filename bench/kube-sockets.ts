/** A process's TCP connections, and a path to a server that can be cut. */
import { once } from "node:events";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/** Inodes of the sockets in a text of /proc/net/tcp or tcp6 (proc_pid_net(5)) that are connected to `port`; pure. */
export function connectedTo(port: number, table: string): Set<string> {
  const ESTABLISHED = "01";
  const inodes = new Set<string>();
  for (const line of table.split("\n").slice(1)) {
    const fields = line.trim().split(/\s+/);
    const [remote = "", state, inode] = [fields[2], fields[3], fields[9]];
    const remotePort = Number.parseInt(remote.slice(remote.lastIndexOf(":") + 1), 16);
    if (state === ESTABLISHED && remotePort === port && inode !== undefined) inodes.add(inode);
  }
  return inodes;
}

/** Established TCP connections of a process to a port; none once it has ended. */
export function countConnections(pid: number, port: number): number {
  try {
    const tables = ["tcp", "tcp6"].map((name) => readFileSync(`/proc/${pid}/net/${name}`, "utf8"));
    const connected = new Set(tables.flatMap((table) => [...connectedTo(port, table)]));
    const open = readdirSync(`/proc/${pid}/fd`).map((fd) => socketInode(`/proc/${pid}/fd/${fd}`));
    return open.filter((inode) => inode !== undefined && connected.has(inode)).length;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return 0;
    throw error;
  }
}

function socketInode(link: string): string | undefined {
  try {
    return /^socket:\[(\d+)\]$/.exec(readlinkSync(link))?.[1];
  } catch {
    // Closed between two reads.
    return undefined;
  }
}

export interface Path {
  readonly port: number;
  /** Ends all connections, as a load balancer does that is replaced. */
  cut(): void;
  close(): void;
}

/** Forwards the bytes of connections to a port of this machine's to a server. */
export async function openPath(server: URL): Promise<Path> {
  const sockets = new Set<Socket>();
  const listener = createServer((near) => {
    const far = connect(Number(server.port || 443), server.hostname);
    for (const [from, to] of [[near, far] as const, [far, near] as const]) {
      sockets.add(from);
      from.on("data", (chunk: Buffer) => {
        if (!to.write(chunk)) from.pause();
      });
      from.on("drain", () => to.resume());
      from.on("error", () => {});
      from.on("close", () => {
        sockets.delete(from);
        to.destroy();
      });
    }
  });
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  const cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    port: (listener.address() as AddressInfo).port,
    cut,
    close() {
      listener.close();
      cut();
    },
  };
}
