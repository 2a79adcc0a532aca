import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ConnectionError, errorFromStatus, isRefusal } from "./errors.ts";

const answered = (code: number, reason: string, message: string) =>
  errorFromStatus("create pods default/a", code, { code, reason, message });

describe("a refusal", () => {
  it("is a no to what was asked: of the server, a quota, a policy or a webhook", () => {
    for (const [code, reason, message] of [
      [400, "BadRequest", "spec.foo: unknown field"],
      [403, "Forbidden", "exceeded quota: pods"],
      [413, "RequestEntityTooLarge", "limit is 3145728"],
      [422, "Invalid", "spec.containers: Required value"],
    ] as const)
      assert.equal(isRefusal(answered(code, reason, message)), true, message);
  });

  it("has whatever code a webhook gives it, and 500 where the webhook fails", () => {
    for (const [code, reason, message] of [
      [
        500,
        "InternalError",
        'Internal error occurred: failed calling webhook "pods.example.org": no endpoints',
      ],
      [500, "", 'admission webhook "pods.example.org" denied the request: it is down'],
      [418, "", 'admission webhook "pods.example.org" denied the request without explanation'],
    ] as const)
      assert.equal(isRefusal(answered(code, reason, message)), true, message);
  });

  it("is not what passes by itself, nor what another has changed", () => {
    for (const [code, reason, message] of [
      [401, "Unauthorized", "Unauthorized"],
      [404, "NotFound", 'pods "a" not found'],
      [409, "Conflict", "the object has been modified"],
      [429, "TooManyRequests", "the server has too many requests"],
      [500, "InternalError", "Internal error occurred: etcdserver: request timed out"],
      [503, "ServiceUnavailable", "no backend"],
      [504, "Timeout", "request did not complete within the allotted timeout"],
    ] as const)
      assert.equal(isRefusal(answered(code, reason, message)), false, message);
    assert.equal(isRefusal(new ConnectionError("reset")), false);
    assert.equal(isRefusal(new Error("failed calling webhook")), false);
  });
});
