/**
 * Sends datagrams to a DHCP server, for tests: one per line of hexadecimal digits on standard input, then as many
 * DISCOVERs as its argument says, each from another MAC.
 */
import { createSocket } from "node:dgram";
import { createInterface } from "node:readline";
import { clientMessage, DISCOVER_OPTIONS } from "./packet.fixture.ts";

const socket = createSocket("udp4");
await new Promise<void>((resolve) => socket.bind(68, () => resolve()));
socket.setBroadcast(true);
const send = (bytes: Uint8Array): Promise<void> =>
  new Promise((resolve, reject) => {
    socket.send(bytes, 67, "255.255.255.255", (error) => (error === null ? resolve() : reject(error)));
  });
for await (const line of createInterface({ input: process.stdin })) await send(Buffer.from(line, "hex"));
for (let count = Number(process.argv[2]); count > 0; count--) {
  const macAddress = `02${count.toString(16).padStart(10, "0")}`;
  await send(clientMessage({ macAddress, options: DISCOVER_OPTIONS }));
}
socket.close();
