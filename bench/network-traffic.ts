/**
 * One end of a stream of bytes, for the benchmark of its cost. `receive PORT` takes connections one after the other,
 * and says after each what came and what it cost; `send PORT` sends for each line {host, bytes} on standard input.
 */
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { createInterface } from "node:readline";
import koffi from "koffi";

/** Large, so that the kernel's work is what is measured and not this process's. */
const CHUNK_BYTES = 1024 * 1024;

/** What a transfer was and cost, at one end. */
export interface Transfer {
  readonly bytes: number;
  readonly seconds: number;
  /** Of this process, its system calls included and with them the network stack's work on its behalf. */
  readonly cpuSeconds: number;
}

const say = (line: object): void => void process.stdout.write(`${JSON.stringify(line)}\n`);

function meter(): (bytes: number) => Transfer {
  const cpu = process.cpuUsage();
  const started = performance.now();
  return (bytes) => {
    const { user, system } = process.cpuUsage(cpu);
    return { bytes, seconds: (performance.now() - started) / 1000, cpuSeconds: (user + system) / 1e6 };
  };
}

async function receive(port: number): Promise<void> {
  const server = createServer({ pauseOnConnect: true }, (socket) => {
    const done = meter();
    say(done(readToEnd(socket)));
    socket.destroy();
  });
  server.listen(port, "0.0.0.0");
  await once(server, "listening");
  say({ ready: true });
}

const FIONBIO = 0x5421;
const libc = koffi.load("libc.so.6");
const ioctl = libc.func("int ioctl(int fd, unsigned long request, void *argument)");
const recv = libc.func("intptr_t recv(int fd, void *buffer, size_t length, int flags)");

/** By the system call itself: Node's own reading would be a quarter of what is measured. Blocks; the bytes that came. */
function readToEnd(socket: Socket): number {
  const { fd } = (socket as unknown as { readonly _handle: { readonly fd: number } })._handle;
  if (ioctl(fd, FIONBIO, Buffer.alloc(4)) !== 0) throw new Error("the socket can't be made to block");
  const buffer = Buffer.alloc(CHUNK_BYTES);
  let total = 0;
  for (;;) {
    const length = Number(recv(fd, buffer, buffer.length, 0));
    if (length < 0) throw new Error("the stream broke");
    if (length === 0) return total;
    total += length;
  }
}

async function send(port: number): Promise<void> {
  say({ ready: true });
  const chunk = Buffer.alloc(CHUNK_BYTES, "virtpod");
  for await (const line of createInterface({ input: process.stdin })) {
    const { host, bytes } = JSON.parse(line) as { readonly host: string; readonly bytes: number };
    const done = meter();
    const socket = connect(port, host);
    await once(socket, "connect");
    for (let sent = 0; sent < bytes; sent += chunk.length) {
      if (!socket.write(chunk)) await once(socket, "drain");
    }
    socket.end();
    socket.resume();
    await once(socket, "close");
    say(done(bytes));
  }
}

const [role, port] = process.argv.slice(2);
await (role === "receive" ? receive(Number(port)) : send(Number(port)));
