/** Checks what a launcher says of itself: a broken or hostile one must not fill the agent or the operator. Pure. */
import type { LauncherPhase, LauncherStatus } from "../../api/launcher-protocol.ts";
import { AgentError } from "../errors.ts";

/** Many times what a launcher with ten interfaces and a talkative guest agent needs. */
const MAX_STATUS_CHARACTERS = 64 * 1024;
const PHASES: ReadonlySet<string> = new Set<LauncherPhase>([
  "preparing",
  "starting",
  "running",
  "stopping",
  "stopped",
]);

/**
 * The operator checks what it uses; here only the frame and the size count.
 * @throws AgentError InvalidStatus
 */
export function parseLauncherStatus(value: unknown): LauncherStatus {
  const status = value as Partial<Record<keyof LauncherStatus, unknown>> | null;
  if (typeof status !== "object" || status === null) throw invalid("is no object");
  if (typeof status.phase !== "string" || !PHASES.has(status.phase)) throw invalid("has no known phase");
  if (!Array.isArray(status.interfaces)) throw invalid("has no list of interfaces");
  if (typeof status.timeline !== "object" || status.timeline === null) throw invalid("has no timeline");
  if (JSON.stringify(status).length > MAX_STATUS_CHARACTERS) {
    throw invalid(`is longer than ${MAX_STATUS_CHARACTERS} characters`);
  }
  return status as LauncherStatus;
}

function invalid(what: string): AgentError {
  return new AgentError("InvalidStatus", `the launcher's status ${what}`);
}
