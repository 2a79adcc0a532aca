/** Fields of a DHCP message, option codes in use, and the lengths that those which a client sends must have. */

/** Bytes before the options: the BOOTP fields and the magic cookie. */
export const HEADER_BYTES = 240;
export const MAGIC_COOKIE = 0x63825363;
export const ETHERNET = 1;
export const ETHERNET_ADDRESS_BYTES = 6;
export const CHADDR = { start: 28, length: 16 } as const;
export const SNAME = { start: 44, length: 64 } as const;
export const FILE = { start: 108, length: 128 } as const;

export const OPTION = {
  subnetMask: 1,
  router: 3,
  dnsServers: 6,
  hostname: 12,
  domainName: 15,
  mtu: 26,
  broadcastAddress: 28,
  ntpServers: 42,
  requestedAddress: 50,
  leaseTime: 51,
  overload: 52,
  messageType: 53,
  serverIdentifier: 54,
  parameterList: 55,
  message: 56,
  maximumSize: 57,
  renewalTime: 58,
  rebindingTime: 59,
  clientIdentifier: 61,
  tftpServerName: 66,
  bootFileName: 67,
  relayAgent: 82,
  searchList: 119,
  classlessRoutes: 121,
  /** What Windows asked for before it knew 121; same content. */
  classlessRoutesMicrosoft: 249,
} as const;

const LENGTHS: readonly { readonly code: number; readonly least: number; readonly most: number }[] = [
  { code: OPTION.requestedAddress, least: 4, most: 4 },
  { code: OPTION.serverIdentifier, least: 4, most: 4 },
  { code: OPTION.maximumSize, least: 2, most: 2 },
  // RFC 2132 section 9.14: at least two.
  { code: OPTION.clientIdentifier, least: 2, most: 255 },
];

/** Only the options that are acted on; what else a client says about itself (12, 60, 81 …) is not read at all. */
export function fieldLengthsValid(options: ReadonlyMap<number, Uint8Array>): boolean {
  return LENGTHS.every(({ code, least, most }) => {
    const length = options.get(code)?.length ?? least;
    return length >= least && length <= most;
  });
}
