/** On real unix sockets: a server in qemu's place at one end, clients with small buffers at the other. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, type Writable } from "node:stream";
import { describe, it, type TestContext } from "node:test";
import { FakeClock } from "../../lib/fake-clock.ts";
import { connectWhenServed } from "../unix-socket.ts";
import { GuestLog } from "./guest-log.ts";
import { SerialConsole, STALL_MS } from "./serial.ts";

interface Bench {
  /** The guest's end: what qemu writes and reads. */
  readonly guest: Socket;
  readonly console: SerialConsole;
  readonly log: PassThrough;
  readonly clock: FakeClock;
  /** A new client's two ends: its own, and the one that is attached. */
  client(): Promise<readonly [mine: Socket, attached: Socket]>;
}

async function listen(t: TestContext, path: string): Promise<Server> {
  const server = createServer().listen(path);
  await once(server, "listening");
  t.after(() => server.close());
  return server;
}

async function directory(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "serial-"));
  t.after(() => rm(path, { recursive: true }));
  return path;
}

async function bench(t: TestContext): Promise<Bench> {
  const folder = await directory(t);
  const serial = await listen(t, join(folder, "serial.sock"));
  const socket = connect(join(folder, "serial.sock"));
  const [guest] = (await once(serial, "connection")) as [Socket];
  const clients = await listen(t, join(folder, "client.sock"));
  const clock = new FakeClock();
  const log = new PassThrough({ highWaterMark: 1024 * 1024 });
  const sharedConsole = new SerialConsole(socket, new GuestLog(log, undefined, clock), clock);
  const opened: Socket[] = [guest];
  t.after(() => {
    sharedConsole.close();
    for (const each of opened) each.destroy();
  });
  return {
    guest,
    console: sharedConsole,
    log,
    clock,
    client: async () => {
      const accepted = once(clients, "connection") as Promise<[Socket]>;
      const mine = connect(join(folder, "client.sock"));
      const [attached] = await accepted;
      for (const end of [mine, attached]) end.on("error", () => {});
      opened.push(mine, attached);
      return [mine, attached];
    },
  };
}

async function read(stream: Socket | PassThrough, bytes: number): Promise<string> {
  let text = "";
  for await (const chunk of stream.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    text += chunk.toString("latin1");
    if (text.length >= bytes) break;
  }
  return text;
}

/** Writes until the other side takes no more; resolves with how many bytes went in. */
async function fill(stream: Writable, limit: number): Promise<number> {
  let written = 0;
  while (written < limit) {
    written += 64 * 1024;
    if (!stream.write(Buffer.alloc(64 * 1024, "x"))) {
      const stuck = AbortSignal.timeout(500);
      const drained = await once(stream, "drain", { signal: stuck }).then(
        () => true,
        () => false,
      );
      if (!drained) return written;
    }
  }
  return written;
}

describe("the serial console", () => {
  it("copies the guest's output to the log while nobody is attached", async (t) => {
    const { guest, log } = await bench(t);
    guest.write("booting\r\n");
    assert.equal(await read(log, 9), "booting\r\n");
  });

  it("gives an attached client both directions, and the log still gets the output", async (t) => {
    const { guest, console, client, log } = await bench(t);
    const [mine, attached] = await client();
    void console.attach(attached);
    guest.write("login: ");
    assert.equal(await read(mine, 7), "login: ");
    assert.equal(await read(log, 7), "login: ");
    mine.write("root\n");
    assert.equal(await read(guest, 5), "root\n");
  });

  it("carries a flood to a client that reads, without losing a byte", async (t) => {
    const { guest, console, client, log } = await bench(t);
    log.resume();
    const [mine, attached] = await client();
    void console.attach(attached);
    const flood = Buffer.alloc(8 * 1024 * 1024, "0123456789abcdef");
    guest.end(flood);
    const chunks: Buffer[] = [];
    for await (const chunk of mine as AsyncIterable<Buffer>) chunks.push(chunk);
    assert(Buffer.concat(chunks).equals(flood));
  });

  it("makes the guest wait for a client that doesn't read", async (t) => {
    const { guest, console, client, log } = await bench(t);
    log.resume();
    const [mine, attached] = await client();
    mine.pause();
    void console.attach(attached);
    const limit = 64 * 1024 * 1024;
    assert((await fill(guest, limit)) < limit);
  });

  it("detaches a client that takes nothing for its stall deadline, and the guest goes on", async (t) => {
    const { guest, console, client, log, clock } = await bench(t);
    log.resume();
    const [mine, attached] = await client();
    mine.pause();
    const detached = console.attach(attached);
    await fill(guest, 64 * 1024 * 1024);
    clock.advance(STALL_MS);
    assert.equal(await detached, "stalled");
    await once(guest, "drain");
  });

  it("makes a client that floods wait for a guest that doesn't read", async (t) => {
    const { guest, console, client } = await bench(t);
    guest.pause();
    const [mine, attached] = await client();
    void console.attach(attached);
    const limit = 64 * 1024 * 1024;
    assert((await fill(mine, limit)) < limit);
  });

  it("goes to the newer of two clients, and the older is let go", async (t) => {
    const { guest, console, client } = await bench(t);
    const [older, olderAttached] = await client();
    const first = console.attach(olderAttached);
    const [newer, newerAttached] = await client();
    void console.attach(newerAttached);
    assert.equal(await first, "displaced");
    older.resume();
    await once(older, "end");
    guest.write("hello");
    assert.equal(await read(newer, 5), "hello");
    older.write("not heard");
    newer.write("heard");
    assert.equal(await read(guest, 5), "heard");
  });

  it("outlives its client", async (t) => {
    const { guest, console, client, log } = await bench(t);
    const [mine, attached] = await client();
    const detached = console.attach(attached);
    mine.destroy();
    assert.equal(await detached, "clientLeft");
    guest.write("still here");
    assert.equal(await read(log, 10), "still here");
    const [next, nextAttached] = await client();
    void console.attach(nextAttached);
    guest.write("again");
    assert.equal(await read(next, 5), "again");
  });

  it("ends its client when qemu ends", async (t) => {
    const { guest, console, client } = await bench(t);
    const [mine, attached] = await client();
    const detached = console.attach(attached);
    guest.destroy();
    assert.equal(await detached, "consoleEnded");
    mine.resume();
    await once(mine, "end");
    const [, late] = await client();
    assert.equal(await console.attach(late), "consoleEnded");
  });
});

describe("waiting for qemu's socket", () => {
  it("connects when the socket appears", async (t) => {
    const folder = await directory(t);
    const path = join(folder, "late.sock");
    const connected = connectWhenServed(path, AbortSignal.timeout(30_000));
    await listen(t, path);
    (await connected).destroy();
  });

  it("ends when it is called off", async (t) => {
    const folder = await directory(t);
    await assert.rejects(connectWhenServed(join(folder, "never.sock"), AbortSignal.timeout(50)), {
      name: "TimeoutError",
    });
  });
});
