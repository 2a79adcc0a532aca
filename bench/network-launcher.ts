/**
 * A launcher for the benchmark of its network: dials the socket named by its argument for each line on standard input,
 * and says when it did and when it was told of its tap.
 */
import { once } from "node:events";
import { createInterface } from "node:readline";
import { type Attachment, LAUNCHER_ROUTES } from "../api/launcher-protocol.ts";
import { LAUNCHER_UID } from "../api/names.ts";
import { connectSocket } from "../launcher/unix-socket.ts";
import { serveHttp2 } from "../transport/server.ts";
import { monotonicMs } from "./monotonic.ts";

const say = (line: object): void => void process.stdout.write(`${JSON.stringify(line)}\n`);

process.setgid?.(LAUNCHER_UID);
process.setuid?.(LAUNCHER_UID);
say({ ready: true });
for await (const _ of createInterface({ input: process.stdin })) {
  const dialled = monotonicMs();
  const socket = await connectSocket(process.argv[2] ?? "");
  const { ended } = serveHttp2(socket, {
    [`PUT ${LAUNCHER_ROUTES.attachment}`]: async (request) => {
      const attachment = (await request.json()) as Attachment;
      const told = monotonicMs();
      request.reply(204);
      say(attachment.ok ? { dialled, told } : attachment);
    },
    [`GET ${LAUNCHER_ROUTES.status}`]: async (request) => {
      request.accept();
      await once(socket, "close");
    },
  });
  await ended;
}
