/** DHCP messages as clients send them, for tests. */
import type { Lease } from "./types.ts";

export const CLIENT_MAC = "52:54:00:12:34:56";

export const LEASE: Lease = {
  name: "default",
  macAddress: CLIENT_MAC,
  address: "10.244.0.7",
  prefixLength: 24,
  serverAddress: "169.254.75.10",
  router: "10.244.0.1",
  routes: [{ destination: "0.0.0.0/0", gateway: "10.244.0.1" }],
  dnsServers: ["10.96.0.10"],
  ntpServers: ["192.0.2.123"],
  hostname: "machine",
  domain: "team.svc.cluster.local",
  searchDomains: ["team.svc.cluster.local", "svc.cluster.local", "cluster.local"],
  mtu: 1400,
  leaseSeconds: 86_400,
  renewalSeconds: 43_200,
  rebindingSeconds: 75_600,
};

export interface ClientMessage {
  readonly op?: number;
  readonly hardwareType?: number;
  readonly hardwareLength?: number;
  readonly transactionId?: number;
  readonly flags?: number;
  readonly clientAddress?: readonly number[];
  readonly relayAddress?: readonly number[];
  readonly macAddress?: string;
  readonly cookie?: number;
  readonly sname?: readonly number[];
  readonly file?: readonly number[];
  /** The bytes after the cookie. */
  readonly options?: readonly number[];
}

export function clientMessage(message: ClientMessage): Uint8Array {
  const header = new Uint8Array(240);
  const view = new DataView(header.buffer);
  header.set([message.op ?? 1, message.hardwareType ?? 1, message.hardwareLength ?? 6, 0]);
  view.setUint32(4, message.transactionId ?? 0xdecafbad);
  view.setUint16(10, message.flags ?? 0);
  header.set(message.clientAddress ?? [0, 0, 0, 0], 12);
  header.set(message.relayAddress ?? [0, 0, 0, 0], 24);
  header.set(Buffer.from((message.macAddress ?? CLIENT_MAC).replaceAll(":", ""), "hex"), 28);
  header.set(message.sname ?? [], 44);
  header.set(message.file ?? [], 108);
  view.setUint32(236, message.cookie ?? 0x63825363);
  return Buffer.concat([header, Uint8Array.from(message.options ?? [])]);
}

export const DISCOVER_OPTIONS = [53, 1, 1, 255] as const;
