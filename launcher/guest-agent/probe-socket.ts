/** Where virtpod-probe asks, a unix socket in the container: arguments in, `0` or `1` and words out. */
import { rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import type { Log } from "../log.ts";
import { type ProbeAnswer, type ProbeRequest, parseProbe } from "./probe.ts";

/** Two probes, and some that the kubelet has given up. */
const MAX_CONNECTIONS = 8;
/** The API takes 64 arguments of 4096 characters. */
const MAX_REQUEST_BYTES = 1024 * 1024;
/** Beyond the probe's own deadline, in milliseconds. */
const PATIENCE_MS = 10_000;
/** What virtpod-probe reads at most. */
const MAX_WORDS = 2_000;

/** Served until it is closed. A socket that can't be served fails the probes, not the guest: that is logged. */
export function serveProbes(
  path: string,
  answer: (request: ProbeRequest) => Promise<ProbeAnswer>,
  log: Log,
): Server {
  const server = createServer({ allowHalfOpen: true }, (socket) => serve(socket, answer));
  server.maxConnections = MAX_CONNECTIONS;
  server.on("error", (err) => log.error({ err }, `probes can't be answered at ${path}`));
  rmSync(path, { force: true });
  server.listen(path);
  // Nothing waits for a launcher that has ended.
  server.unref();
  return server;
}

function serve(socket: Socket, answer: (request: ProbeRequest) => Promise<ProbeAnswer>): void {
  const chunks: Buffer[] = [];
  let size = 0;
  const reply = ({ isSuccess, message }: ProbeAnswer) =>
    socket.end(`${isSuccess ? 0 : 1}${message.slice(0, MAX_WORDS)}`);
  socket.setTimeout(PATIENCE_MS, () => socket.destroy());
  // The kubelet has given up.
  socket.on("error", () => socket.destroy());
  socket.on("data", (chunk: Buffer) => {
    size += chunk.length;
    if (size > MAX_REQUEST_BYTES) socket.destroy();
    else chunks.push(chunk);
  });
  socket.on("end", () => {
    const request = parseProbe(Buffer.concat(chunks));
    if (request === undefined) {
      reply({ isSuccess: false, message: "this is no probe" });
      return;
    }
    socket.setTimeout(request.timeoutSeconds * 1000 + PATIENCE_MS);
    void answer(request).then(reply);
  });
}
