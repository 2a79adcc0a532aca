import type { Client } from "./client.ts";
import { ConnectionError, errorFromStatus, KubeError, ProtocolError, type Status } from "./errors.ts";
import { JsonLines } from "./json-lines.ts";
import type { KubeObject } from "./objects.ts";
import { queryString, type WatchEvent, type WatchOptions } from "./request.ts";

/** etcd refuses objects above 1.5 MiB; JSON escapes and managedFields fit in the rest. */
const MAX_LINE_BYTES = 16 * 1024 * 1024;
/** The bookmark that ends the initial events of a streaming list carries it (KEP-3157). */
const INITIAL_EVENTS_END = "k8s.io/initial-events-end";

interface WatchLine<T> {
  readonly type: string;
  readonly object: T;
}

/**
 * Opens a watch and yields its events.
 * Ends when the server ends the stream between two lines.
 * @throws GoneError when the resourceVersion is too old; other KubeErrors when the watch fails or breaks off;
 *   the signal's reason
 */
export async function* watchEvents<T extends KubeObject>(
  client: Client,
  path: string,
  action: string,
  complete: (object: T) => T,
  options: WatchOptions,
): AsyncGenerator<WatchEvent<T>, void, void> {
  const { labelSelector, fieldSelector, resourceVersion, resourceVersionMatch } = options;
  const { allowBookmarks, sendInitialEvents, timeoutSeconds, signal } = options;
  const query = { labelSelector, fieldSelector, resourceVersion, resourceVersionMatch };
  const parameters = { watch: true, allowWatchBookmarks: allowBookmarks, sendInitialEvents, timeoutSeconds };
  // Our own controller, so that leaving the loop closes the stream and the caller's signal keeps no listener.
  const stop = new AbortController();
  const onAbort = () => stop.abort(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    signal.throwIfAborted();
    const response = await client.stream({
      path: path + queryString({ ...query, ...parameters }),
      action,
      signal: stop.signal,
      ...(options.headersTimeoutMs !== undefined && { headersTimeoutMs: options.headersTimeoutMs }),
      ...(options.silenceTimeoutMs !== undefined && { silenceTimeoutMs: options.silenceTimeoutMs }),
    });
    options.onOpen?.();
    const lines = new JsonLines<WatchLine<T>>(options.maxLineBytes ?? MAX_LINE_BYTES, action);
    for await (const chunk of response.body) {
      for (const line of lines.push(chunk)) {
        yield decode(line, action, complete);
      }
    }
    lines.end();
  } catch (error) {
    signal.throwIfAborted();
    throw error instanceof KubeError
      ? error
      : new ConnectionError(`${action}: the stream broke off`, { cause: error });
  } finally {
    signal.removeEventListener("abort", onAbort);
    stop.abort();
  }
}

function decode<T extends KubeObject>(
  line: WatchLine<T> | null,
  action: string,
  complete: (object: T) => T,
): WatchEvent<T> {
  if (typeof line?.object !== "object" || (line.type !== "ERROR" && line.object?.metadata === undefined)) {
    throw new ProtocolError(`${action}: a line is not a watch event`);
  }
  switch (line.type) {
    case "ADDED":
    case "MODIFIED":
    case "DELETED":
      return { type: line.type, object: complete(line.object) };
    case "BOOKMARK": {
      const { resourceVersion, annotations } = line.object.metadata;
      const initialEventsEnd = annotations?.[INITIAL_EVENTS_END] === "true";
      return { type: "BOOKMARK", resourceVersion: resourceVersion ?? "", initialEventsEnd };
    }
    case "ERROR": {
      const status = line.object as Status;
      throw errorFromStatus(action, status.code ?? 500, status);
    }
    default:
      throw new ProtocolError(`${action}: unknown watch event type ${JSON.stringify(line.type)}`);
  }
}
