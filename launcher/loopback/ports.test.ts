/** Guests are servers on other addresses of this machine's loopback. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { describe, it, type TestContext } from "node:test";
import { FakeClock } from "../../lib/fake-clock.ts";
import { LoopbackPorts } from "./ports.ts";

const GUEST = "127.0.0.2";
const OWN = "127.0.0.3";

/** A guest that does `serve` with each connection, and the loopback port that leads to it. */
async function guest(t: TestContext, serve: (socket: Socket) => void) {
  const sockets: Socket[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.push(socket);
    socket.on("error", () => {});
    serve(socket);
  });
  const told: unknown[] = [];
  const quiet = () => {};
  const log = {
    debug: quiet,
    info: quiet,
    warn: (what: unknown) => void told.push(what),
    error: quiet,
    fatal: quiet,
  };
  const clock = new FakeClock();
  const ports = new LoopbackPorts({ clock, log });
  t.after(() => {
    ports.close();
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  for (;;) {
    server.listen(0, GUEST);
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const one = { port, guestAddress: GUEST, ownAddress: OWN };
    await ports.listen([one]);
    if (told.length === 0) return { port, one, ports, server, told, clock };
    // A port that is free at the guest's address may be somebody's at 127.0.0.1.
    assert.match(JSON.stringify(told.splice(0)), /EADDRINUSE/);
    server.close();
    await once(server, "close");
  }
}

describe("a guest's port on the pod's 127.0.0.1", () => {
  it("carries bytes both ways, and each side's end by itself", async (t) => {
    const { port, clock } = await guest(t, async (socket) => {
      assert.equal(socket.remoteAddress, OWN, "the guest sees the launcher's address on its bridge");
      const said = Buffer.concat(await socket.toArray()).toString();
      socket.end(`you said ${said}`);
    });
    const client = connect(port, "127.0.0.1");
    // Half-closed: the answer comes after the question's end.
    client.end("hello");
    assert.equal(Buffer.concat(await client.toArray()).toString(), "you said hello");
    assert.equal(clock.pending, 0, "no deadline is left behind");
  });

  it("is closed at once where the guest refuses", async (t) => {
    const { port, server } = await guest(t, () => {});
    server.close();
    await once(server, "close");
    const client = connect({ port, host: "127.0.0.1" });
    const [error] = await once(client, "error");
    assert.equal((error as NodeJS.ErrnoException).code, "ECONNRESET");
  });

  it("breaks off for the one side when the other does", async (t) => {
    const { port } = await guest(t, (socket) => {
      socket.once("data", () => socket.resetAndDestroy());
    });
    const client = connect({ port, host: "127.0.0.1" });
    client.write("x");
    const [error] = await once(client, "error");
    assert.equal((error as NodeJS.ErrnoException).code, "ECONNRESET");
  });

  it("that somebody else has is told of, and no reason to fail", async (t) => {
    const { one, ports, told } = await guest(t, () => {});
    await ports.listen([one]);
    assert.equal(told.length, 1);
    assert.match(JSON.stringify(told[0]), /EADDRINUSE/);
  });
});
