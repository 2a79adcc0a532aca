import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { type ClientHttp2Stream, constants } from "node:http2";

const CHANNEL = "http2.client.stream.created";

/**
 * Cancels responses that nobody asked for any more. A request that is aborted before its bytes have left is sent all
 * the same, and its reset is not; Node then makes a stream of its own for the response. Nothing would read it: it
 * would keep a watch running on the server, eat the window of the connection that all share, and end the process by
 * an error without a listener when that connection breaks. We never allow pushes, so no other stream comes this way.
 * @returns ends it
 */
export function cancelUnrequestedStreams(): () => void {
  const onCreated = (message: unknown): void => {
    const { stream } = message as { stream: ClientHttp2Stream };
    if (stream.sentHeaders === undefined) {
      stream.on("error", () => {});
      stream.close(constants.NGHTTP2_CANCEL);
    }
  };
  subscribe(CHANNEL, onCreated);
  return () => unsubscribe(CHANNEL, onCreated);
}
