/** The guest's screen behind a real unix socket, as qemu serves it. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { duplexPair, PassThrough } from "node:stream";
import { it, type TestContext } from "node:test";
import { GuestConsole } from "./guest-console.ts";

const silent = () => {};

/** A screen whose server is there, and takes what it is sent. */
async function servedScreen(t: TestContext) {
  const folder = await mkdtemp(join(tmpdir(), "vnc-"));
  const vncSocket = join(folder, "vnc.sock");
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket.on("error", silent).resume());
  }).listen(vncSocket);
  await once(server, "listening");
  t.after(async () => {
    server.close();
    for (const socket of sockets) socket.destroy();
    await rm(folder, { recursive: true });
  });
  const screen = new GuestConsole({
    serialSocket: undefined,
    vncSocket,
    stdout: new PassThrough(),
    log: { debug: silent, info: silent, warn: silent, error: silent, fatal: silent },
  });
  return { screen, server };
}

it("a viewer that leaves others alone sees the screen when nobody else does", async (t) => {
  const { screen, server } = await servedScreen(t);
  const look = (preserveSession: boolean) => {
    const [viewer, stream] = duplexPair();
    const ended = screen.attachVnc(() => stream, preserveSession);
    viewer.resume();
    return { viewer, ended, accepted: once(server, "connection") };
  };
  const first = look(true);
  await first.accepted;
  await assert.rejects(look(true).ended, { status: 409, code: "VncInUse" });
  const beside = look(false);
  await beside.accepted;
  for (const { viewer, ended } of [first, beside]) {
    viewer.end();
    await ended;
  }
  const next = look(true);
  await next.accepted;
  next.viewer.end();
  await next.ended;
});

it("a viewer that leaves while qemu's socket is connected leaves no connection behind", async (t) => {
  const { screen, server } = await servedScreen(t);
  const accepted = once(server, "connection") as Promise<[Socket]>;
  const closed = accepted.then(([socket]) => once(socket, "close", { signal: AbortSignal.timeout(2_000) }));
  const left = new Error("the stream has been destroyed");
  const attached = screen.attachVnc(() => {
    throw left;
  });
  await assert.rejects(attached, left);
  await closed;
});
