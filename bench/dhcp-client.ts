/**
 * A DHCP client as a load generator, inside a network namespace. One command (JSON) a line on standard input, one
 * answer a line on standard output:
 *
 *   {"exchanges": N}             DISCOVER → OFFER → REQUEST → ACK, one after the other; milliseconds of each
 *   {"send": N, "malformed": M}  N datagrams as fast as the socket takes them, M of every three malformed; how many were sent
 *   {"flood": R}                 R malformed datagrams a second until the next command
 */
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { BAD_INPUTS } from "../launcher/dhcp/bad-input.fixture.ts";
import { clientMessage } from "../launcher/dhcp/packet.fixture.ts";

const SERVER_PORT = 67;
const CLIENT_PORT = 68;
const BROADCAST = "255.255.255.255";
/** An exchange that takes longer counts as this long. */
const EXCHANGE_TIMEOUT_MS = 1000;
const FLOOD_TICK_MS = 5;
/** Datagrams handed to the kernel before the event loop is given a turn. */
const BURST = 64;

const DISCOVER = 1;
const OFFER = 2;
const REQUEST = 3;
const ACK = 5;
/** What systemd-networkd asks for: mask, router, DNS, host name, domain, MTU, broadcast, NTP, search list, routes. */
const PARAMETERS = [55, 10, 1, 3, 6, 12, 15, 26, 28, 42, 119, 121] as const;

const malformed = BAD_INPUTS.filter(
  ({ expected, message }) => expected !== "accepted" && message.length > 0 && message.length <= 1472,
).map(({ message }) => message);

type Command =
  | { readonly exchanges: number }
  | { readonly send: number; readonly malformed: number }
  | { readonly flood: number };

let transactionId = 1;
/** Bound by the first exchange: a process that only makes noise leaves the port to another. */
let listening: Socket | undefined;
const noise = await bound(0);
let flooding: NodeJS.Timeout | undefined;

console.log(JSON.stringify({ ready: true }));
for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line) as Command;
  clearInterval(flooding);
  console.log(JSON.stringify(await obey(command)));
}
clearInterval(flooding);
listening?.close();
noise.close();

async function obey(command: Command): Promise<object> {
  if ("exchanges" in command) {
    listening ??= await bound(CLIENT_PORT);
    const milliseconds: number[] = [];
    for (let n = 0; n < command.exchanges; n++) milliseconds.push(await exchange(listening));
    return { milliseconds };
  }
  if ("send" in command) {
    for (let n = 0; n < command.send; n++) {
      const bytes = n % 3 < command.malformed ? malformed[n % malformed.length] : discover(transactionId++);
      await sendPaced(noise, bytes ?? discover(transactionId++), n);
    }
    return { sent: command.send };
  }
  const perTick = Math.ceil((command.flood * FLOOD_TICK_MS) / 1000);
  let next = 0;
  flooding = setInterval(() => {
    for (let n = 0; n < perTick; n++)
      noise.send(malformed[next++ % malformed.length] ?? "", SERVER_PORT, BROADCAST);
  }, FLOOD_TICK_MS);
  return { flooding: perTick * (1000 / FLOOD_TICK_MS) };
}

/** In milliseconds. */
async function exchange(socket: Socket): Promise<number> {
  const id = transactionId++;
  const started = performance.now();
  const deadline = AbortSignal.timeout(EXCHANGE_TIMEOUT_MS);
  try {
    send(socket, discover(id));
    const offer = await reply(socket, id, OFFER, deadline);
    send(socket, request(id, offer));
    await reply(socket, id, ACK, deadline);
  } catch (error) {
    if (!deadline.aborted) throw error;
  }
  return performance.now() - started;
}

function discover(id: number): Uint8Array {
  return clientMessage({ transactionId: id, options: [53, 1, DISCOVER, ...PARAMETERS, 255] });
}

/** Accepts an offer (SELECTING): options 50 and 54. */
function request(id: number, offer: Buffer): Uint8Array {
  const address = offer.subarray(16, 20);
  const server = serverIdentifier(offer);
  const options = [53, 1, REQUEST, 50, 4, ...address, 54, 4, ...server, ...PARAMETERS, 255];
  return clientMessage({ transactionId: id, options });
}

function serverIdentifier(offer: Buffer): Uint8Array {
  for (let at = 240; at < offer.length && offer[at] !== 255; at += 2 + (offer[at + 1] ?? 0)) {
    if (offer[at] === 54) return offer.subarray(at + 2, at + 6);
  }
  throw new Error("the offer names no server (option 54)");
}

/** The next message of this type and transaction; every server puts option 53 first. */
async function reply(socket: Socket, id: number, type: number, signal: AbortSignal): Promise<Buffer> {
  for (;;) {
    const [bytes] = (await once(socket, "message", { signal })) as [Buffer];
    if (bytes.length > 242 && bytes.readUInt32BE(4) === id && bytes[242] === type) return bytes;
  }
}

function send(socket: Socket, bytes: Uint8Array): void {
  socket.send(bytes, SERVER_PORT, BROADCAST);
}

async function sendPaced(from: Socket, bytes: Uint8Array, n: number): Promise<void> {
  if (n % BURST !== 0) {
    from.send(bytes, SERVER_PORT, BROADCAST);
    return;
  }
  await new Promise<void>((resolve, reject) =>
    from.send(bytes, SERVER_PORT, BROADCAST, (error) => (error === null ? resolve() : reject(error))),
  );
}

async function bound(port: number): Promise<Socket> {
  const made = createSocket("udp4");
  made.bind(port);
  await once(made, "listening");
  made.setBroadcast(true);
  return made;
}
