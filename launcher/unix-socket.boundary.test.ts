/** Connecting to a server with a full queue: a process that listens and does not accept. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { connectSocket } from "./unix-socket.ts";

test("a full queue of callers is waited out, and an absent server is not", async () => {
  const directory = await mkdtemp(join(tmpdir(), "socket-"));
  const path = join(directory, "server.sock");
  await assert.rejects(connectSocket(path), { code: "ENOENT" });

  const accepted: Socket[] = [];
  const server = createServer((socket) => accepted.push(socket)).listen({ path, backlog: 1 });
  await once(server, "listening");
  // More in one turn than the queue holds: the server accepts nobody before the next.
  const crowd = Array.from({ length: 8 }, () => connect(path));
  const failures = crowd.map((socket) => once(socket, "error").catch(() => undefined));
  const patient = connectSocket(path);
  assert.equal(((await Promise.race(failures)) as [NodeJS.ErrnoException])[0].code, "EAGAIN");
  const socket = await patient;
  assert.ok(!socket.destroyed);
  for (const one of [socket, ...crowd, ...accepted]) one.destroy();
  server.close();
  await rm(directory, { recursive: true });
});
