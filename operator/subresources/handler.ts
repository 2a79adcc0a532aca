/** A subresource that is a request and its answer, not a stream. */
import type { SubresourcePath } from "./path.ts";

export interface SubresourceHandler {
  /** KubeVirt's unless told. */
  readonly group?: string;
  readonly method: "GET" | "PUT";
  /**
   * @param body the request's JSON; undefined where it has none
   * @returns the answer's JSON; undefined answers with an empty 200
   * @throws StatusError
   */
  answer(path: SubresourcePath, body: unknown): Promise<unknown>;
}

/** By resource and subresource, e.g. `virtualmachineinstances/freeze`. */
export type SubresourceHandlers = Readonly<Record<string, SubresourceHandler>>;
