/** What a lease looks like in replies, worked out once: the server answers each packet from it. Pure. */
import { parseIpv4 } from "../../lib/cidr.ts";
import { OPTION } from "./fields.ts";
import { addresses, leaseOptions, unsigned32 } from "./options.ts";
import type { NextServer, ReplyOption } from "./reply.ts";
import type { Lease } from "./types.ts";

/** What every client takes, IP and UDP headers included (RFC 2132 section 9.10). */
const DEFAULT_MESSAGE_BYTES = 576;
const ETHERNET_MTU = 1500;

export interface Terms {
  readonly lease: Lease;
  readonly serverIdentifier: ReplyOption;
  /** Options 51, 58 and 59. */
  readonly times: readonly ReplyOption[];
  /** By code. */
  readonly parameters: ReadonlyMap<number, ReplyOption>;
  /** For a client that asks for nothing in particular. */
  readonly usual: readonly number[];
  /** What the machine's author wrote: sent to a client that doesn't ask for it, too. */
  readonly unasked: readonly number[];
  readonly nextServer: NextServer | undefined;
  /** IP and UDP headers included. The link's MTU: a client that has no address yet can't put fragments together. */
  readonly largestMessageBytes: number;
}

export function termsOf(lease: Lease): Terms {
  const parameters = new Map([...leaseOptions(lease)].map(([code, value]) => [code, [code, value] as const]));
  const own = new Set(lease.privateOptions?.map(({ option }) => option));
  const written = [OPTION.ntpServers, OPTION.tftpServerName, OPTION.bootFileName, ...own];
  return {
    lease,
    serverIdentifier: [OPTION.serverIdentifier, addresses([lease.serverAddress])],
    times: [
      [OPTION.leaseTime, unsigned32(lease.leaseSeconds)],
      [OPTION.renewalTime, unsigned32(lease.renewalSeconds)],
      [OPTION.rebindingTime, unsigned32(lease.rebindingSeconds)],
    ],
    parameters,
    usual: [...parameters.keys()].filter((code) => code !== OPTION.classlessRoutesMicrosoft || own.has(code)),
    unasked: written.filter((code) => parameters.has(code)),
    nextServer: nextServerOf(lease),
    largestMessageBytes: Math.min(Math.max(lease.mtu, DEFAULT_MESSAGE_BYTES), ETHERNET_MTU),
  };
}

function nextServerOf({ bootFileName, tftpServerName }: Lease): NextServer | undefined {
  if (bootFileName === undefined && tftpServerName === undefined) return undefined;
  const serverName = tftpServerName ?? "";
  const address = parseIpv4(serverName) === undefined ? "0.0.0.0" : serverName;
  return { address, serverName, fileName: bootFileName ?? "" };
}
