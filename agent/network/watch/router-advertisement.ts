/** The router advertisement of a guest's own IPv6 subnet (RFC 4861 section 4.2), and the question for it. Pure. */
import { parseIpv6 } from "../../../lib/ipv6.ts";
import { ethernet, icmpv6Packet, macOctets } from "./frame.ts";

const ROUTER_ADVERTISEMENT = 134;
const HOP_LIMIT = 64;
/** Addresses and all else by DHCPv6: the guest makes none of its own, because the pod's rules know only that one. */
const MANAGED_AND_OTHER = 0xc0;
/** RFC 4861 section 6.2.1: the most that a router may say, since nothing of this one changes while the pod lives. */
export const LIFETIME_SECONDS = 9000;
const SOURCE_LINK_LAYER_ADDRESS = 1;
const MTU = 5;

export interface GuestRouter {
  readonly macAddress: string;
  /** Its link-local one. */
  readonly address: string;
  readonly mtu: number;
}

/** The whole frame, to all nodes. */
export function routerAdvertisementFrame({ macAddress, address, mtu }: GuestRouter): Buffer {
  const message = Buffer.alloc(16 + 8 + 8);
  message.writeUInt8(ROUTER_ADVERTISEMENT, 0);
  message.writeUInt8(HOP_LIMIT, 4);
  message.writeUInt8(MANAGED_AND_OTHER, 5);
  message.writeUInt16BE(LIFETIME_SECONDS, 6);
  message.writeUInt8(SOURCE_LINK_LAYER_ADDRESS, 16);
  message.writeUInt8(1, 17);
  macOctets(macAddress).copy(message, 18);
  message.writeUInt8(MTU, 24);
  message.writeUInt8(1, 25);
  message.writeUInt32BE(mtu, 28);
  const source = parseIpv6(address) ?? new Uint8Array(16);
  return ethernet("33:33:00:00:00:01", macAddress, 0x86dd, icmpv6Packet(source, message));
}
