/** The guest's screen behind a unix socket that a test serves. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { it } from "node:test";
import { GuestConsole } from "./guest-console.ts";

const silent = () => {};

it("a viewer that leaves while qemu's socket is connected leaves no connection behind", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "vnc-"));
  const vncSocket = join(folder, "vnc.sock");
  const server = createServer().listen(vncSocket);
  await once(server, "listening");
  const accepted = once(server, "connection") as Promise<[Socket]>;
  t.after(async () => {
    server.close();
    (await accepted)[0].destroy();
    await rm(folder, { recursive: true });
  });
  const screen = new GuestConsole({
    serialSocket: undefined,
    vncSocket,
    stdout: new PassThrough(),
    log: { debug: silent, info: silent, warn: silent, error: silent, fatal: silent },
  });
  const left = new Error("the stream has been destroyed");
  const attached = screen.attachVnc(() => {
    throw left;
  });
  await assert.rejects(attached, left);
  const [socket] = await accepted;
  await once(socket.on("error", silent).resume(), "close", { signal: AbortSignal.timeout(2_000) });
});
