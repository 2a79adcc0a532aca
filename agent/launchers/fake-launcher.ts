/**
 * A launcher as the agent sees it, for tests: dials the socket named by its first argument as the launchers' user,
 * prints what it is asked for as JSON lines, and serves as its status each JSON line that it reads.
 */
import { once } from "node:events";
import { connect } from "node:net";
import { createInterface } from "node:readline";
import { LAUNCHER_ROUTES } from "../../api/launcher-protocol.ts";
import { LAUNCHER_UID } from "../../api/names.ts";
import { RequestError } from "../../transport/errors.ts";
import { serveHttp2 } from "../../transport/server.ts";

function print(event: string, value?: unknown): void {
  process.stdout.write(`${JSON.stringify({ event, value })}\n`);
}

// The iterator from the start: it keeps the lines that come before they are asked for.
const statuses = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
process.setgid?.(LAUNCHER_UID);
process.setuid?.(LAUNCHER_UID);
const socket = connect(process.argv[2] ?? "");
// However it ends, it prints that it ended.
socket.on("error", () => {});
await once(socket, "connect");

const connection = serveHttp2(socket, {
  [`PUT ${LAUNCHER_ROUTES.attachment}`]: async (request) => {
    print("attachment", await request.json());
    request.reply(204);
  },
  [`GET ${LAUNCHER_ROUTES.status}`]: async (request) => {
    async function* values() {
      for (let line = await statuses.next(); !line.done; line = await statuses.next()) {
        yield JSON.parse(line.value) as unknown;
      }
    }
    await request.replyLines(values());
  },
  [`POST ${LAUNCHER_ROUTES.shutdown}`]: async (request) => {
    print("shutdown", await request.json());
    request.reply(202);
  },
  [`POST ${LAUNCHER_ROUTES.pause}`]: () => {
    throw new RequestError(409, "AlreadyPaused", "the domain is paused");
  },
  [`POST ${LAUNCHER_ROUTES.console}`]: (request) => {
    const stream = request.accept();
    stream.pipe(stream);
  },
});
await connection.ended;
print("ended");
process.stdin.destroy();
