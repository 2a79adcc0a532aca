/**
 * A client that sends what it is told, for tests. One command (JSON) a line on standard input, one answer a line on
 * standard output:
 *
 *   {"datagram": HEX, "to": ADDRESS}   sends it
 *   {"flood": N}                       DISCOVERs, each from another MAC
 *   {"discover": MAC}                  the milliseconds until its OFFER
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { clientMessage, DISCOVER_OPTIONS } from "./packet.fixture.ts";

type Command =
  | { readonly datagram: string; readonly to: string }
  | { readonly flood: number }
  | { readonly discover: string };

const OFFER_TIMEOUT_MS = 10_000;
const socket = createSocket("udp4");
await new Promise<void>((resolve) => socket.bind(68, () => resolve()));
socket.setBroadcast(true);

const send = (bytes: Uint8Array, to = "255.255.255.255"): Promise<void> =>
  new Promise((resolve, reject) => {
    socket.send(bytes, 67, to, (error) => (error === null ? resolve() : reject(error)));
  });

async function obey(command: Command): Promise<object> {
  if ("datagram" in command) {
    await send(Buffer.from(command.datagram, "hex"), command.to);
    return {};
  }
  if ("flood" in command) {
    for (let count = command.flood; count > 0; count--) {
      const macAddress = `02${count.toString(16).padStart(10, "0")}`;
      await send(clientMessage({ macAddress, options: DISCOVER_OPTIONS }));
    }
    return {};
  }
  const transactionId = Math.floor(Math.random() * 2 ** 32);
  const signal = AbortSignal.timeout(OFFER_TIMEOUT_MS);
  const startedAt = performance.now();
  await send(clientMessage({ transactionId, macAddress: command.discover, options: DISCOVER_OPTIONS }));
  for (;;) {
    const [bytes] = (await once(socket, "message", { signal })) as [Buffer];
    if (bytes.readUInt32BE(4) === transactionId) return { milliseconds: performance.now() - startedAt };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await obey(JSON.parse(line) as Command))}\n`);
}
socket.close();
