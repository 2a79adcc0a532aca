/** Counts requests in the API server's audit log (audit.k8s.io/v1, level Metadata); pure. */

/** The fields of an audit event that are counted by. */
export interface AuditEvent {
  readonly verb: string;
  readonly userAgent: string;
  /** `virtualmachineinstances/status`; "" where the request names no resource. */
  readonly resource: string;
  readonly namespace: string;
  readonly name: string;
  /** HTTP status of the answer. */
  readonly code: number;
}

export class AuditLogError extends Error {
  readonly code = "AUDIT_LOG";
}

interface WireEvent {
  readonly stage?: string;
  readonly verb?: string;
  readonly userAgent?: string;
  readonly objectRef?: {
    readonly resource?: string;
    readonly subresource?: string;
    readonly namespace?: string;
    readonly name?: string;
  };
  readonly responseStatus?: { readonly code?: number };
}

/**
 * One line of the log; undefined for stages other than the answer, so that each request counts once.
 * @throws AuditLogError when the line is not an audit event
 */
export function parseAuditLine(line: string): AuditEvent | undefined {
  let event: WireEvent;
  try {
    event = JSON.parse(line) as WireEvent;
  } catch (cause) {
    throw new AuditLogError(`the audit log has a line that is not JSON: ${line.slice(0, 100)}`, { cause });
  }
  if (event.stage !== "ResponseComplete" && event.stage !== "Panic") return undefined;
  const { resource = "", subresource, namespace = "", name = "" } = event.objectRef ?? {};
  return {
    verb: event.verb ?? "",
    userAgent: event.userAgent ?? "",
    resource: subresource === undefined ? resource : `${resource}/${subresource}`,
    namespace,
    name,
    code: event.responseStatus?.code ?? 0,
  };
}

export interface WriteCounts {
  /** Requests that change objects, failed ones included. */
  readonly writes: number;
  /** `"patch virtualmachineinstances/status"` → count, events and leases left out. */
  readonly byVerbAndResource: Readonly<Record<string, number>>;
  readonly events: number;
  /** Leases of leader election. */
  readonly leases: number;
  /** Token and access reviews: created, answered, never stored. */
  readonly reviews: number;
  /** Of `writes`, those that were answered with an error. */
  readonly failed: number;
}

const WRITE_VERBS = new Set(["create", "update", "patch", "delete", "deletecollection"]);

/** Counts the writes of the programs whose user agent starts so. */
export function countWrites(events: Iterable<AuditEvent>, userAgentPrefix: string): WriteCounts {
  const byVerbAndResource: Record<string, number> = {};
  let [writes, eventWrites, leases, reviews, failed] = [0, 0, 0, 0, 0];
  for (const event of events) {
    if (!event.userAgent.startsWith(userAgentPrefix) || !WRITE_VERBS.has(event.verb)) continue;
    if (event.resource === "events") eventWrites++;
    else if (event.resource === "leases") leases++;
    else if (event.resource.endsWith("reviews")) reviews++;
    else {
      writes++;
      if (event.code >= 400) failed++;
      const key = `${event.verb} ${event.resource}`;
      byVerbAndResource[key] = (byVerbAndResource[key] ?? 0) + 1;
    }
  }
  return { writes, byVerbAndResource, events: eventWrites, leases, reviews, failed };
}
