/** A subresource that is a request and its answer, not a stream. */
import type { SubresourcePath } from "./path.ts";

export interface SubresourceHandler {
  /** KubeVirt's unless told. */
  readonly group?: string;
  readonly method: "GET" | "PUT";
  /** Largest body in bytes; 64 KiB unless told. */
  readonly maxBodyBytes?: number;
  /**
   * @param body the request's JSON; undefined where it has none
   * @returns the answer's JSON, or Content; undefined answers with an empty 200
   * @throws StatusError
   */
  answer(path: SubresourcePath, body: unknown): Promise<unknown>;
}

/** An answer that is no JSON. */
export class Content {
  /** Its media type. */
  readonly type: string;
  readonly bytes: Buffer;

  constructor(type: string, bytes: Buffer) {
    this.type = type;
    this.bytes = bytes;
  }
}

/** By resource and subresource, e.g. `virtualmachineinstances/freeze`. */
export type SubresourceHandlers = Readonly<Record<string, SubresourceHandler>>;
