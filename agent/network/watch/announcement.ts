/**
 * Frames that tell a pod network where an address is: what a network's neighbours, who may have just talked to the
 * address's last holder, need in order not to go on sending there. Pure.
 */
import { parseIpv4 } from "../../../lib/cidr.ts";
import { parseIpv6 } from "../../../lib/ipv6.ts";
import { ethernet, icmpv6Packet, macOctets } from "./frame.ts";

const ETHERTYPE_ARP = 0x0806;
const ETHERTYPE_IPV6 = 0x86dd;
const BROADCAST = "ff:ff:ff:ff:ff:ff";
const ARP_REQUEST = 1;
const ARP_REPLY = 2;
const ARP_BYTES = 28;
const ETHERNET_BYTES = 14;
const NEIGHBOUR_ADVERTISEMENT = 136;
/** RFC 4861 section 4.4: what is cached gives way to it. */
const OVERRIDE = 0x20;
const TARGET_LINK_LAYER_ADDRESS = 2;
/** Of the advertisement: type, code and checksum, flags, target, one option. */
const ADVERTISEMENT_BYTES = 32;

/** Who is where: one guest's interface on the pod network. Addresses are without prefix length. */
export interface Presence {
  readonly macAddress: string;
  readonly addresses: readonly string[];
  /** IPv4 gateways on the link: an answer of one shows that frames pass. */
  readonly gateways: readonly string[];
}

/**
 * A request to each gateway first: once it is answered, the announcements that were sent after it have got through.
 * RFC 5227 section 2.3 for IPv4, RFC 4861 section 7.2.6 for IPv6.
 */
export function announcementFrames({ macAddress, addresses, gateways }: Presence): readonly Buffer[] {
  const own = addresses.filter((address) => parseIpv4(address) !== undefined);
  const requests = own
    .slice(0, 1)
    .flatMap((sender) => gateways.map((gateway) => arpRequest(macAddress, sender, gateway)));
  return [
    ...requests,
    ...own.map((address) => arpRequest(macAddress, address, address)),
    ...addresses.flatMap((address) => neighbourAdvertisement(macAddress, address) ?? []),
  ];
}

/** Whether the frame is a gateway's ARP reply to the presence's own MAC. */
export function isGatewaysAnswer(frame: Uint8Array, { macAddress, gateways }: Presence): boolean {
  const bytes = Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength);
  if (bytes.length < ETHERNET_BYTES + ARP_BYTES || bytes.readUInt16BE(12) !== ETHERTYPE_ARP) return false;
  if (bytes.readUInt16BE(ETHERNET_BYTES + 6) !== ARP_REPLY) return false;
  const sender = bytes.readUInt32BE(ETHERNET_BYTES + 14);
  const target = bytes.subarray(ETHERNET_BYTES + 18, ETHERNET_BYTES + 24);
  return target.equals(macOctets(macAddress)) && gateways.some((gateway) => parseIpv4(gateway) === sender);
}

/** With a target that is the sender itself, it is an announcement. */
function arpRequest(macAddress: string, sender: string, target: string): Buffer {
  const arp = Buffer.alloc(ARP_BYTES);
  arp.writeUInt16BE(1, 0); // Ethernet
  arp.writeUInt16BE(0x0800, 2); // IPv4
  arp.writeUInt8(6, 4);
  arp.writeUInt8(4, 5);
  arp.writeUInt16BE(ARP_REQUEST, 6);
  macOctets(macAddress).copy(arp, 8);
  arp.writeUInt32BE(parseIpv4(sender) ?? 0, 14);
  arp.writeUInt32BE(parseIpv4(target) ?? 0, 24);
  return ethernet(BROADCAST, macAddress, ETHERTYPE_ARP, arp);
}

/** To all nodes; undefined for an address that is no IPv6 address. */
function neighbourAdvertisement(macAddress: string, address: string): Buffer | undefined {
  const source = parseIpv6(address);
  if (source === undefined) return undefined;
  const message = Buffer.alloc(ADVERTISEMENT_BYTES);
  message.writeUInt8(NEIGHBOUR_ADVERTISEMENT, 0);
  message.writeUInt8(OVERRIDE, 4);
  message.set(source, 8);
  message.writeUInt8(TARGET_LINK_LAYER_ADDRESS, 24);
  message.writeUInt8(1, 25); // in units of 8 octets
  macOctets(macAddress).copy(message, 26);
  // RFC 2464 section 7: 33:33 and the last four octets of the group.
  return ethernet("33:33:00:00:00:01", macAddress, ETHERTYPE_IPV6, icmpv6Packet(source, message));
}
