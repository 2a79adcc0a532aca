/** A DHCP server and a client in network namespaces of their own, joined by a veth pair: nothing leaves the machine. */
import { execFileSync, spawn } from "node:child_process";
import { CLIENT_MAC, LEASE } from "../launcher/dhcp/packet.fixture.ts";
import { Conversation, killed } from "./conversation.ts";

const CLIENT = new URL("./dhcp-client.ts", import.meta.url).pathname;

/** The server's address in the lease's network: servers of others want one there. */
export const SERVER_ADDRESS = LEASE.router ?? "";
export const SERVER_LINK = "server0";

export class DhcpLab {
  readonly #server: string;
  readonly #client: string;
  readonly #running: { end(): Promise<void> }[] = [];

  constructor(name: string) {
    this.#server = `vp-bench-${process.pid}-${name}-s`;
    this.#client = `vp-bench-${process.pid}-${name}-c`;
    ip("netns", "add", this.#server);
    ip("netns", "add", this.#client);
    const veth = ["type", "veth", "peer", "name", "eth0", "address", CLIENT_MAC, "netns", this.#client];
    ip("-n", this.#server, "link", "add", "name", SERVER_LINK, ...veth);
    this.#inServer(`address add ${SERVER_ADDRESS}/${LEASE.prefixLength} dev ${SERVER_LINK}`);
    this.#inServer(`address add ${LEASE.serverAddress}/32 dev ${SERVER_LINK}`);
    this.#inServer(`link set dev ${SERVER_LINK} up`);
    // So that a server that unicasts before the client has its address needs no ARP: each of them is given the same.
    this.#inServer(`neighbour add ${LEASE.address} lladdr ${CLIENT_MAC} nud permanent dev ${SERVER_LINK}`);
    this.#inClient(`address add ${LEASE.address}/${LEASE.prefixLength} dev eth0`);
    this.#inClient("link set dev eth0 up");
    this.#inClient("route add default dev eth0");
  }

  /** A client in the client's namespace; see dhcp-client.ts. */
  async client(): Promise<Conversation> {
    const made = Conversation.start("ip", [
      "netns",
      "exec",
      this.#client,
      process.execPath,
      ...QUIET,
      CLIENT,
    ]);
    this.#running.push(made);
    await made.next();
    return made;
  }

  /** A server that answers lines. */
  async conversingServer(args: readonly string[]): Promise<Conversation> {
    const made = Conversation.start("ip", [
      "netns",
      "exec",
      this.#server,
      process.execPath,
      ...QUIET,
      ...args,
    ]);
    this.#running.push(made);
    await made.next();
    return made;
  }

  /** A server of others. Its words are not shown: udhcpd has some for each packet. */
  startServer(command: readonly string[]): void {
    const child = spawn("ip", ["netns", "exec", this.#server, ...command], { stdio: "ignore" });
    child.once("exit", (status) => {
      if (status !== null) process.stderr.write(`${command.join(" ")}: ended with status ${status}\n`);
    });
    this.#running.push({ end: () => killed(child) });
  }

  async close(): Promise<void> {
    await Promise.all(this.#running.map((one) => one.end()));
    for (const name of [this.#server, this.#client]) ip("netns", "delete", name);
  }

  #inServer(line: string): void {
    ip("-n", this.#server, ...line.split(" "));
  }

  #inClient(line: string): void {
    ip("-n", this.#client, ...line.split(" "));
  }
}

const QUIET = ["--disable-warning=ExperimentalWarning"];

function ip(...args: readonly string[]): void {
  execFileSync("ip", args, { stdio: ["ignore", "ignore", "pipe"] });
}
