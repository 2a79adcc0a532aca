/**
 * A launcher for the benchmark of its network: dials the socket named by its argument for each line on standard input,
 * and says how long it took until it was told of its tap.
 */
import { once } from "node:events";
import type { Socket } from "node:net";
import { createInterface } from "node:readline";
import { type Attachment, LAUNCHER_ROUTES } from "../api/launcher-protocol.ts";
import { LAUNCHER_UID } from "../api/names.ts";
import { connectSocket } from "../launcher/unix-socket.ts";
import { Backoff } from "../lib/backoff.ts";
import { serveHttp2 } from "../transport/server.ts";

const say = (line: object): void => void process.stdout.write(`${JSON.stringify(line)}\n`);

process.setgid?.(LAUNCHER_UID);
process.setuid?.(LAUNCHER_UID);
say({ ready: true });
for await (const _ of createInterface({ input: process.stdin })) {
  const started = performance.now();
  const socket = await dial();
  const { ended } = serveHttp2(socket, {
    [`PUT ${LAUNCHER_ROUTES.attachment}`]: async (request) => {
      const attachment = (await request.json()) as Attachment;
      const milliseconds = performance.now() - started;
      request.reply(204);
      say(attachment.ok ? { milliseconds, tap: attachment.interfaces[0]?.tap.name } : attachment);
    },
    [`GET ${LAUNCHER_ROUTES.status}`]: async (request) => {
      request.accept();
      await once(socket, "close");
    },
  });
  await ended;
}

/** As a launcher's link does (launcher/agent-link/link.ts): a full queue of callers is no reason to give up. */
async function dial(): Promise<Socket> {
  const backoff = new Backoff({ initialMs: 20, maxMs: 5_000 });
  for (;;) {
    try {
      return await connectSocket(process.argv[2] ?? "");
    } catch {
      await backoff.wait();
    }
  }
}
