import assert from "node:assert/strict";
import { it } from "node:test";
import { RequestError } from "../../transport/errors.ts";
import { StatusError, statusBody } from "./status.ts";

it("a Status says no as the API server does, with the code of whoever refused", () => {
  const cause = new RequestError(503, "GuestAgentBusy", "16 commands wait already");
  const message = "freeze of the VMI default/tiny: 16 commands wait already";
  assert.deepEqual(JSON.parse(statusBody(new StatusError("ServiceUnavailable", message, { cause }))), {
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    status: "Failure",
    message,
    reason: "ServiceUnavailable",
    details: { causes: [{ reason: "GuestAgentBusy", message }] },
    code: 503,
  });
  const plain = JSON.parse(statusBody(new StatusError("NotFound", "no", { cause: new Error("ENOENT") })));
  assert.deepEqual([plain.code, plain.details], [404, undefined]);
});
