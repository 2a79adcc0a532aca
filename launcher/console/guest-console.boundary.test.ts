/** The guest's screen behind a real unix socket, as qemu serves it. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { duplexPair, PassThrough } from "node:stream";
import { it } from "node:test";
import { GuestConsole } from "./guest-console.ts";

const silent = () => {};

it("a viewer that leaves others alone sees the screen when nobody else does", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "vnc-"));
  const vncSocket = join(folder, "vnc.sock");
  const server = createServer((socket) => socket.on("error", () => {}).resume()).listen(vncSocket);
  await once(server, "listening");
  t.after(async () => {
    server.close();
    await rm(folder, { recursive: true });
  });
  const screen = new GuestConsole({
    serialSocket: undefined,
    vncSocket,
    stdout: new PassThrough(),
    log: { debug: silent, info: silent, warn: silent, error: silent, fatal: silent },
  });
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
