/** What is posted to an object's subresource: an eviction, a binding. */
import type { JsonObject } from "./json.ts";
import type { FakeResponse } from "./request.ts";
import { notFound } from "./status.ts";
import type { Target } from "./target.ts";
import type { DeleteRequest, Writes } from "./writes.ts";

const CREATED: FakeResponse = {
  statusCode: 201,
  body: { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success" },
};

/** @param key of the object @throws Refusal 404 for another subresource */
export function postSubresource(
  writes: Writes,
  { collection, subresource }: Target,
  key: string,
  body: JsonObject,
): FakeResponse {
  switch (subresource) {
    case "eviction":
      writes.delete(collection, key, (body["deleteOptions"] ?? {}) as DeleteRequest);
      return CREATED;
    case "binding": {
      const { apiVersion: _, kind: __, ...pod } = writes.find(collection, key);
      const nodeName = (body["target"] as JsonObject | undefined)?.["name"] ?? "";
      const spec = { ...(pod.spec as JsonObject), nodeName };
      const options = { verb: "update", subresource: "", isDryRun: false } as const;
      writes.update(collection, key, { ...(pod as unknown as JsonObject), spec }, options);
      return CREATED;
    }
    default:
      throw notFound(`subresource ${subresource}`);
  }
}
