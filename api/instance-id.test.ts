import assert from "node:assert/strict";
import { it } from "node:test";
import { instanceId } from "./instance-id.ts";

it("a VMI is known by its name, and by a hash where that is too long for a label", () => {
  assert.equal(instanceId("tiny"), "tiny");
  assert.equal(instanceId("a".repeat(63)), "a".repeat(63));
  // printf a…a | sha1sum, of 64 characters.
  assert.equal(instanceId("a".repeat(64)), `${"a".repeat(54)}-0098ba82`);
});
