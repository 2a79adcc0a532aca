/** Websockets of the aggregated API, from the front proxy's side to the guest's. */
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { Duplex, duplexPair } from "node:stream";
import { describe, it, type TestContext } from "node:test";
import type { WebSocket } from "ws";
import { dial, get } from "./front-proxy.fixture.ts";
import { AS_JANE, bytes, CONSOLE, openConsole, serve } from "./server.fixture.ts";
import { PLAIN_PROTOCOL } from "./server.ts";
import { CLOSE_DISPLACED, CLOSE_INTERNAL_ERROR, type Session } from "./session.ts";

describe("a console", () => {
  it("of a VMI that isn't there is refused with a Status before the upgrade", async (t) => {
    const websocket = await openConsole(await serve(t));
    const [, response] = await once(websocket, "unexpected-response");
    const chunks: Buffer[] = [];
    for await (const chunk of response) chunks.push(chunk as Buffer);
    const body = JSON.parse(Buffer.concat(chunks).toString("utf8"));
    assert.deepEqual([response.statusCode, body.kind, body.reason], [404, "Status", "NotFound"]);
  });

  it("without an upgrade is a bad request", async (t) => {
    const { target } = await serve(t);
    assert.equal((await get(target, CONSOLE, AS_JANE)).status, 400);
  });

  it("carries bytes both ways under virtctl's protocol", async (t) => {
    const [guest, stream] = duplexPair();
    const websocket = await openConsole(await serve(t, { open: async () => bytes(stream) }));
    await once(websocket, "open");
    assert.equal(websocket.protocol, PLAIN_PROTOCOL);
    const fromGuest = once(websocket, "message");
    guest.write("login: ");
    assert.equal(String((await fromGuest)[0]), "login: ");
    const fromUser = once(guest, "data");
    websocket.send(Buffer.from("root\n"));
    assert.equal(String((await fromUser)[0]), "root\n");
    websocket.terminate();
  });

  for (const [who, leave] of [
    ["leaves", (websocket: WebSocket) => websocket.close()],
    ["vanishes", (websocket: WebSocket) => websocket.terminate()],
  ] as const) {
    it(`is closed towards the guest when the client ${who}`, async (t) => {
      const [guest, stream] = duplexPair();
      const websocket = await openConsole(await serve(t, { open: async () => bytes(stream) }));
      await once(websocket, "open");
      const closed = once(stream, "close");
      guest.resume();
      leave(websocket);
      await closed;
    });
  }

  it("is closed towards the client when the guest ends", async (t) => {
    const [guest, stream] = duplexPair();
    const websocket = await openConsole(await serve(t, { open: async () => bytes(stream) }));
    await once(websocket, "open");
    guest.end();
    guest.resume();
    await once(websocket, "close");
  });

  it("that ended in the ordinary way is closed with 1000, after its last bytes", async (t) => {
    const [guest, stream] = duplexPair();
    const websocket = await openConsole(await serve(t, { open: async () => bytes(stream) }));
    const said: string[] = [];
    websocket.on("message", (data) => said.push(String(data)));
    await once(websocket, "open");
    guest.end("bye");
    assert.equal((await once(websocket, "close"))[0], 1000);
    assert.deepEqual(said, ["bye"]);
  });

  it("that another client has taken over says so", async (t) => {
    const [guest, stream] = duplexPair();
    const ending = () => ({ code: CLOSE_DISPLACED, reason: "another client has taken this console over" });
    const websocket = await openConsole(
      await serve(t, { open: async () => ({ kind: "bytes", stream, ending }) }),
    );
    await once(websocket, "open");
    guest.end();
    const [code, reason] = await once(websocket, "close");
    assert.deepEqual([code, String(reason)], [4001, "another client has taken this console over"]);
  });

  it("that breaks off on its way tells its client to connect again", async (t) => {
    const [, stream] = duplexPair();
    const websocket = await openConsole(await serve(t, { open: async () => bytes(stream) }));
    await once(websocket, "open");
    stream.destroy(new Error("the agent died"));
    const [code, reason] = await once(websocket, "close");
    assert.equal(code, 1012);
    assert.match(String(reason), /connect again/);
  });

  it("is told to connect again when its replica shuts down", async (t) => {
    const [, stream] = duplexPair();
    const it = await serve(t, { open: async () => bytes(stream) });
    const websocket = await openConsole(it);
    await once(websocket, "open");
    const closed = once(websocket, "close");
    await it.server.close();
    const [code, reason] = await closed;
    assert.equal(code, 1012);
    assert.match(String(reason), /shuts down: connect again/);
  });

  it("is not held open for a handshake that is no websocket's", async (t) => {
    const [, stream] = duplexPair();
    const it = await serve(t, { open: async () => bytes(stream) });
    const socket = await dial(it.target);
    const closed = once(stream, "close");
    socket.write(
      `GET ${CONSOLE} HTTP/1.1\r\nHost: x\r\nX-Remote-User: jane\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`,
    );
    await closed;
    assert.match(String((await once(socket, "data"))[0]), /^HTTP\/1.1 400/);
    socket.destroy();
  });

  it("takes no more from the guest than a client reads, but for what buffers on the way hold", async (t) => {
    let taken = 0;
    const flood = new Duplex({
      read() {
        taken += 64 * 1024;
        this.push(Buffer.alloc(64 * 1024, "x"));
      },
      write: (_chunk, _encoding, done) => done(),
    });
    const websocket = await openConsole(await serve(t, { open: async () => bytes(flood) }));
    await once(websocket, "open");
    websocket.pause();
    await settled(() => taken);
    // Two sockets' kernel buffers and the streams between: megabytes, not what an endless source could give.
    assert(taken < 32 * 1024 * 1024, `${taken} bytes taken`);
    const before = taken;
    websocket.resume();
    while (taken === before) await new Promise((resolve) => setImmediate(resolve));
    websocket.terminate();
  });

  it("doesn't keep the server from closing while its caller is being looked up", async (t) => {
    const looking = Promise.withResolvers<void>();
    const it = await serve(t, {
      authorize: async () => {
        looking.resolve();
        return new Promise(() => {});
      },
    });
    const websocket = await openConsole(it);
    websocket.on("error", () => {});
    await looking.promise;
    await it.server.close();
  });
});

describe("a flood through a console", () => {
  const CHUNK = 16 * 1024;
  const CHUNKS = 640;

  it("of 10 MiB arrives whole and in order at a client that keeps pausing", async (t) => {
    let sent = 0;
    const flood = new Duplex({
      read() {
        this.push(sent < CHUNKS ? Buffer.alloc(CHUNK, sent % 251) : null);
        sent += 1;
      },
      write: (_chunk, _encoding, done) => done(),
    });
    const websocket = await openConsole(await serve(t, { open: async () => bytes(flood) }));
    let received = 0;
    let wrong = 0;
    websocket.on("message", (data: Buffer) => {
      for (const byte of data) {
        if (byte !== Math.floor(received / CHUNK) % 251) wrong += 1;
        received += 1;
      }
      websocket.pause();
      setImmediate(() => websocket.resume());
    });
    await once(websocket, "close");
    assert.deepEqual([received, wrong], [CHUNK * CHUNKS, 0]);
  });

  it("towards a guest that takes nothing is held back at its client", async (t) => {
    const silent = new Duplex({ read() {}, write: () => {} });
    const websocket = await openConsole(await serve(t, { open: async () => bytes(silent) }));
    await once(websocket, "open");
    for (let i = 0; i < 512; i++) websocket.send(Buffer.alloc(64 * 1024));
    await settled(() => websocket.bufferedAmount);
    // Of 32 MiB; kernel buffers on the way take some.
    assert.ok(websocket.bufferedAmount > 8 * 1024 * 1024, `${websocket.bufferedAmount} bytes wait here`);
    assert.ok(silent.writableLength < 2 * 1024 * 1024, `${silent.writableLength} bytes wait at the server`);
    websocket.terminate();
  });
});

describe("a frame", () => {
  /** A client's frame, its payload masked with zeros (RFC 6455, section 5.2). */
  const frame = (opcode: number, length: Buffer, payload = Buffer.alloc(0)) =>
    Buffer.concat([Buffer.from([0x80 | opcode]), length, Buffer.alloc(4), payload]);
  const length64 = (bytes: bigint) => {
    const field = Buffer.alloc(9);
    field[0] = 0x80 | 127;
    field.writeBigUInt64BE(bytes, 1);
    return field;
  };

  /** An upgraded connection, on which anything can be sent. */
  async function upgraded(t: TestContext) {
    const [guest, stream] = duplexPair();
    const it = await serve(t, { open: async () => bytes(stream) });
    const socket = await dial(it.target);
    t.after(() => socket.destroy());
    socket.write(
      `GET ${CONSOLE} HTTP/1.1\r\nHost: x\r\nX-Remote-User: jane\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
        `Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: ${PLAIN_PROTOCOL}\r\n\r\n`,
    );
    const [answer] = (await once(socket, "data")) as [Buffer];
    assert.match(String(answer), /^HTTP\/1\.1 101 /);
    return { it, socket, guest, stream };
  }

  it("of virtctl is one binary message, answered by another: byte for byte", async (t) => {
    const { socket, guest } = await upgraded(t);
    const typed = once(guest, "data");
    // FIN and binary; masked, 3 bytes; the mask 37 fa 21 3d; "ls\n" under it.
    socket.write(Buffer.from("828337fa213d5b892b", "hex"));
    assert.equal(String((await typed)[0]), "ls\n");
    const shown = once(socket, "data");
    guest.write("ok");
    assert.equal(((await shown)[0] as Buffer).toString("hex"), "82026f6b");
  });

  for (const [what, bytesOfFrame, code] of [
    ["4 GiB announced", frame(2, length64(2n ** 32n)), 1009],
    ["2^63 bytes announced", frame(2, length64(2n ** 63n - 1n)), 1009],
    ["a payload without mask", Buffer.from("8202000000", "hex"), 1002],
    ["an opcode that there is not", frame(3, Buffer.from([0x80])), 1002],
    ["a ping that is too long", frame(9, Buffer.from([0x80 | 126, 0, 126]), Buffer.alloc(126)), 1002],
  ] as const) {
    it(`with ${what} closes its own websocket with ${code}, and nobody else's`, async (t) => {
      const { it, socket, stream } = await upgraded(t);
      const closed = once(stream, "close");
      const answered = once(socket, "data");
      socket.write(bytesOfFrame);
      const [close] = (await answered) as [Buffer];
      assert.equal(close[0], 0x88);
      assert.equal(close.readUInt16BE(2), code);
      await closed;
      assert.equal((await get(it.target, CONSOLE, AS_JANE)).status, 400);
    });
  }
});

describe("datagrams", () => {
  /** A UDP service that says each datagram back, and a websocket to it. */
  async function echoing(t: TestContext) {
    const service = createSocket("udp4");
    service.on("message", (datagram, { port, address }) => service.send(datagram, port, address));
    service.bind(0, "127.0.0.1");
    await once(service, "listening");
    const socket = createSocket("udp4");
    socket.connect(service.address().port, "127.0.0.1");
    await once(socket, "connect");
    const broken = ({ message }: Error) => ({ code: CLOSE_INTERNAL_ERROR, reason: message });
    const session: Session = { kind: "datagrams", socket, broken };
    const websocket = await openConsole(await serve(t, { open: async () => session }));
    await once(websocket, "open");
    return { service, socket, websocket };
  }

  it("are a message each, both ways, empty ones included", async (t) => {
    const { service, socket, websocket } = await echoing(t);
    const heard: string[] = [];
    const all = new Promise<void>((resolve) => {
      websocket.on("message", (data) => {
        heard.push(String(data));
        if (heard.length === 3) resolve();
      });
    });
    for (const text of ["one", "", "three"]) websocket.send(Buffer.from(text));
    await all;
    assert.deepEqual(heard.toSorted(), ["", "one", "three"]);
    const closed = once(socket, "close");
    websocket.close();
    await closed;
    service.close();
  });

  it("that nobody takes end the websocket with a reason", async (t) => {
    const { service, websocket } = await echoing(t);
    service.close();
    const closed = once(websocket, "close");
    websocket.send(Buffer.from("anybody?"));
    const [code, reason] = await closed;
    assert.equal(code, CLOSE_INTERNAL_ERROR);
    assert.match(String(reason), /ECONNREFUSED/);
  });

  it("longer than IP can carry end the websocket, not the server", async (t) => {
    const { service, websocket } = await echoing(t);
    const closed = once(websocket, "close");
    websocket.send(Buffer.alloc(70_000));
    assert.equal((await closed)[0], CLOSE_INTERNAL_ERROR);
    service.close();
  });
});

/** Until a count has not moved for many turns of the event loop. */
async function settled(count: () => number): Promise<void> {
  for (let [seen, calm] = [count(), 0]; calm < 2_000; calm++) {
    await new Promise((resolve) => setImmediate(resolve));
    if (count() !== seen) [seen, calm] = [count(), 0];
  }
}
