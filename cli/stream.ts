/** A byte stream of a virtual machine's, over a websocket through the API server. */
import { WebSocket } from "ws";
import type { Cluster } from "./cluster.ts";
import { Refusal, statusMessage, unexplained, unreachable, urlOf } from "./request.ts";

/** KubeVirt's: each binary message is a piece of the stream. */
const PROTOCOL = "plain.kubevirt.io";
/** From the first packet to the answer of the upgrade. */
const HANDSHAKE_TIMEOUT_MS = 30_000;
const MAX_REFUSAL_BYTES = 64 * 1024;

/** @throws Refusal with the server's own sentence; its status is undefined when nobody answered */
export async function openStream(cluster: Cluster, path: string): Promise<WebSocket> {
  const url = urlOf(cluster, path);
  url.protocol = url.protocol === "http:" ? "ws:" : "wss:";
  const { headers, ...tls } = await cluster.credentials();
  return new Promise((resolve, reject) => {
    const fail = (cause: Error) => reject(unreachable(url.host, cause));
    let websocket: WebSocket;
    try {
      websocket = new WebSocket(url, PROTOCOL, {
        ...tls,
        headers: headers as Record<string, string>,
        handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
        perMessageDeflate: false,
      });
    } catch (cause) {
      // A certificate or a token that is none is found out at once.
      return fail(cause as Error);
    }
    websocket.once("open", () => {
      // What comes before anybody listens would be lost.
      websocket.pause();
      resolve(websocket);
    });
    websocket.on("error", fail);
    websocket.once("unexpected-response", (_request, response) => {
      let body = "";
      response.on("data", (chunk: Buffer) => {
        if (body.length < MAX_REFUSAL_BYTES) body += chunk.toString("utf8");
      });
      response.once("close", () => {
        const status = response.statusCode;
        reject(new Refusal(statusMessage(body) ?? unexplained(url.host, status), status));
      });
    });
  });
}
