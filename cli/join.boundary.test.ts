/** Streams of a guest's joined with local TCP and UDP ports, across real sockets. */
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { connect, createServer, type Server, type Socket } from "node:net";
import { text } from "node:stream/consumers";
import { after, before, describe, test } from "node:test";
import { WebSocket, WebSocketServer } from "ws";
import { joinStream, type StreamEnd } from "./join.ts";
import { listenUdp } from "./udp.ts";

describe("a local port and a guest's stream", () => {
  let guests: WebSocketServer;
  let local: Server;
  /** What the next guest does with its stream. */
  let play: (guest: WebSocket) => void;
  let ended: Promise<StreamEnd>;

  before(async () => {
    guests = new WebSocketServer({ port: 0, host: "127.0.0.1" });
    guests.on("connection", (guest) => play(guest));
    await new Promise((resolve) => guests.once("listening", resolve));
    local = createServer({ allowHalfOpen: true }, (socket: Socket) => {
      ended = dial()
        .then((websocket) => joinStream(websocket, socket, socket))
        .finally(() => socket.end());
    });
    await new Promise<void>((resolve) => local.listen(0, "127.0.0.1", resolve));
  });
  after(() => {
    guests.close();
    for (const guest of guests.clients) guest.terminate();
    local.close();
  });

  const dial = () =>
    new Promise<WebSocket>((resolve) => {
      const websocket = new WebSocket(`ws://127.0.0.1:${(guests.address() as { port: number }).port}`);
      websocket.once("open", () => {
        websocket.pause();
        resolve(websocket);
      });
    });
  const client = () => connect((local.address() as { port: number }).port, "127.0.0.1");

  test("have the same bytes at both ends, whatever their number", async () => {
    const bytes = 24 * 1024 * 1024;
    play = (guest) => {
      guest.on("message", (data: Buffer) => guest.send(data, () => {}));
    };
    const socket = client();
    const sent = Buffer.alloc(bytes, "0123456789abcdef");
    let received = 0;
    let isSame = true;
    const all = new Promise<void>((resolve) => {
      socket.on("data", (data: Buffer) => {
        isSame &&= data.equals(sent.subarray(received, received + data.length));
        received += data.length;
        if (received === bytes) resolve();
      });
    });
    socket.write(sent);
    await all;
    assert.ok(isSame);
    socket.destroy();
    for (const guest of guests.clients) guest.terminate();
    await ended;
  });

  test("end together, and what was said before the end is heard", async () => {
    play = (guest) => {
      guest.send("last words");
      guest.close(1000, "the guest is gone");
    };
    assert.equal(await text(client()), "last words");
    assert.deepEqual(await ended, { code: 1000, reason: "the guest is gone" });
  });

  test("wait for the answer to a client that sends no more", async () => {
    play = (guest) => {
      guest.once("message", () => setImmediate(() => guest.send("answer", () => guest.close(1000))));
    };
    const socket = client();
    socket.end("question");
    assert.equal(await text(socket), "answer");
  });

  test("leave the guest when the client breaks off", async () => {
    const left = new Promise((resolve) => {
      play = (guest) => guest.once("close", resolve).send("hello");
    });
    const socket = client();
    socket.once("data", () => socket.resetAndDestroy());
    await left;
    await ended;
  });
});

describe("a local UDP port", () => {
  test("gives each sender a way of its own, datagram by datagram", async () => {
    const guests = new WebSocketServer({ port: 0, host: "127.0.0.1" });
    await new Promise((resolve) => guests.once("listening", resolve));
    let ways = 0;
    guests.on("connection", (guest) => {
      const way = ++ways;
      guest.on("message", (data: Buffer) => guest.send(`${way}:${data.toString()}`));
    });
    const complaints: unknown[] = [];
    const listener = await listenUdp({
      address: "127.0.0.1",
      port: 0,
      open: () =>
        new Promise((resolve) => {
          const websocket = new WebSocket(`ws://127.0.0.1:${(guests.address() as { port: number }).port}`);
          websocket.once("open", () => resolve(websocket));
        }),
      complain: (error) => complaints.push(error),
    });
    const answers = async (...datagrams: readonly string[]) => {
      const socket = createSocket("udp4");
      const heard: string[] = [];
      const all = new Promise<void>((resolve) => {
        socket.on("message", (data) => {
          heard.push(data.toString());
          if (heard.length === datagrams.length) resolve();
        });
      });
      for (const datagram of datagrams) socket.send(datagram, listener.port, "127.0.0.1");
      await all;
      socket.close();
      return heard;
    };
    try {
      assert.deepEqual(await answers("a", "b", ""), ["1:a", "1:b", "1:"]);
      assert.deepEqual(await answers("c"), ["2:c"]);
      assert.deepEqual(complaints, []);
    } finally {
      listener.close();
      guests.close();
      for (const guest of guests.clients) guest.terminate();
    }
  });

  test("tells of a guest that refuses, and tries again with the next datagram", async () => {
    let asked = 0;
    const refusals: unknown[] = [];
    const told = new Promise<void>((resolve) => {
      void listenUdp({
        address: "127.0.0.1",
        port: 0,
        open: () => Promise.reject(new Error(`no ${++asked}`)),
        complain: (error) => {
          refusals.push((error as Error).message);
          if (refusals.length === 1) socket.send("again", port, "127.0.0.1");
          else {
            close();
            socket.close();
            resolve();
          }
        },
      }).then((listener) => {
        ({ port, close } = listener);
        socket.send("x", port, "127.0.0.1");
      });
    });
    let port = 0;
    let close = () => {};
    const socket = createSocket("udp4");
    await told;
    assert.deepEqual(refusals, ["no 1", "no 2"]);
  });
});
