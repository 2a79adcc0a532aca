/** Faults inside watches, and of replies to writes. Pure: see fault.ts. */
import { type Exchange, isWrite } from "./exchange.ts";
import { type Fault, isBookmark, type WatchEvent, type WatchObject, type WatchStep } from "./fault.ts";

/** A fault that strikes live events (neither bookmarks nor initial ones) so many times. */
function striking(
  name: string,
  times: number,
  steps: (event: WatchEvent) => readonly WatchStep[],
  isStruck: (exchange: Exchange) => boolean = () => true,
): Fault {
  let left = times;
  return {
    name,
    event(exchange, event, { isInitial }) {
      if (isInitial || isBookmark(event) || !isStruck(exchange) || left <= 0) return undefined;
      left--;
      return steps(event);
    },
  };
}

/** Every watch ends, as after its time, in place of its third event. */
export function droppedWatches(): Fault {
  return {
    name: "dropped watch",
    event: (_exchange, event, { isInitial, passed }) =>
      isInitial || isBookmark(event) || passed < 2 ? undefined : [{ do: "end" }],
  };
}

/** The connection goes silent at the first event of a kind: nothing comes, nothing is closed. */
export function halfOpen(resource: string): Fault {
  return striking(
    "half-open TCP",
    1,
    () => [{ do: "silence" }],
    (exchange) => exchange.resource === resource,
  );
}

export function resetMidLine(times: number): Fault {
  return striking("RST mid-line", times, (event) => [{ do: "sendHalf", event }, { do: "reset" }]);
}

export function truncatedLines(times: number): Fault {
  return striking("truncated line", times, (event) => [{ do: "sendHalf", event }, { do: "end" }]);
}

/** Every event twice, those of a list as well. */
export function duplicates(): Fault {
  return {
    name: "duplicates",
    event: (_exchange, event) => [
      { do: "send", event },
      { do: "send", event },
    ],
  };
}

/** Every second event comes so much later than those of other keys after it. */
export function reordered(ms: number): Fault {
  let seen = 0;
  return {
    name: "reordering across keys",
    event: (_exchange, event, { isInitial }) =>
      isInitial || isBookmark(event) || seen++ % 2 === 1 ? undefined : [{ do: "defer", event, ms }],
  };
}

/** So many events of pods that are nobody's at each of the first few events of a real pod, as fast as they can go. */
export function storm(events: number, times: number): Fault {
  return striking(
    "event storm",
    times,
    (event) => [
      { do: "send", event },
      ...strangers(event, events).map((one) => ({ do: "send", event: one }) as const),
    ],
    ({ resource }) => resource === "pods",
  );
}

/** Pods that come and go, look like launchers and name the real one's VMI, but not by its UID. */
function strangers({ object }: WatchEvent, events: number): WatchEvent[] {
  const { metadata } = object;
  const owners = (metadata["ownerReferences"] ?? []) as readonly object[];
  const spec = object["spec"] as { readonly containers?: readonly object[] };
  // Of an ordinary pod's size: without the LaunchSpec.
  const containers = (spec.containers ?? []).map((container) => ({ ...container, env: [] }));
  return Array.from({ length: events }, (_, index) => {
    const id = Math.floor(index / 2);
    const stranger: WatchObject = {
      ...object,
      spec: { ...spec, containers },
      metadata: {
        ...metadata,
        name: `${metadata.name}-storm-${id}`,
        uid: `00000000-0000-4000-8000-${String(id).padStart(12, "0")}`,
        finalizers: [],
        ownerReferences: owners.map((owner) => ({ ...owner, uid: "00000000-0000-4000-9000-000000000000" })),
      },
    };
    return { type: index % 2 === 0 ? "ADDED" : "DELETED", object: stranger };
  });
}

/** Objects of so many bytes: what etcd's limit allows. Ours grow by managedFields, pods by an annotation. */
export function bigObjects(bytes: number): Fault {
  const padding = "x".repeat(bytes);
  return {
    name: "1.4 MB objects",
    event(_exchange, event) {
      if (isBookmark(event)) return undefined;
      const { metadata } = event.object;
      const grown =
        event.object.kind === "Pod"
          ? { annotations: { ...metadata.annotations, padding } }
          : {
              managedFields: [
                { manager: "padding", operation: "Update", fieldsV1: { [`f:${padding}`]: {} } },
              ],
            };
      return [
        { do: "send", event: { ...event, object: { ...event.object, metadata: { ...metadata, ...grown } } } },
      ];
    },
  };
}

/** Bookmarks of where the client already is, in place of every event. */
export function bookmarksOnly(): Fault {
  return {
    name: "bookmarks only",
    onLift: "endWatches",
    event(_exchange, event, { isInitial, version }) {
      if (isInitial || isBookmark(event)) return undefined;
      const { kind = "", apiVersion = "" } = event.object;
      const object = { kind, apiVersion, metadata: { resourceVersion: version, creationTimestamp: null } };
      return Array.from({ length: 3 }, () => ({ do: "send", event: { type: "BOOKMARK", object } }) as const);
    },
  };
}

/** One byte per second on the watches of a kind. */
export function slowBytes(resource: string): Fault {
  return striking(
    "1 byte/s",
    Number.POSITIVE_INFINITY,
    (event) => [{ do: "trickle", event }],
    (exchange) => exchange.resource === resource,
  );
}

/** The write is done, its answer never comes: first with the whole connection, then every second one by its stream. */
export function lostReplies(): Fault {
  let writes = 0;
  return {
    name: "write done, reply lost",
    reply(exchange, code) {
      if (!isWrite(exchange) || exchange.resource === "leases" || code > 299 || writes++ % 2 === 1)
        return undefined;
      return { do: "lose", how: writes === 1 ? "connection" : "stream" };
    },
  };
}
