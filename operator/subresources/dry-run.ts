/** `dryRun` of a subresource's request, as Kubernetes has it: absent, empty, or All. */
import { StatusError } from "./status.ts";

/** @throws StatusError BadRequest */
export function isDryRun(subresource: string, body: unknown): boolean {
  const { dryRun } = (body ?? {}) as { dryRun?: unknown };
  if (dryRun === undefined || dryRun === null) return false;
  const isList = Array.isArray(dryRun) && dryRun.every((one) => one === "All");
  if (isList) return dryRun.length > 0;
  throw new StatusError("BadRequest", `dryRun in the ${subresource} request must be ["All"] or absent`);
}
