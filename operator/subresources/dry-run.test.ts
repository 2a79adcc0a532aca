import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isDryRun } from "./dry-run.ts";
import { StatusError } from "./status.ts";

describe("dryRun of a request", () => {
  for (const [body, isDry] of [
    [undefined, false],
    [{}, false],
    [{ dryRun: null }, false],
    [{ dryRun: [] }, false],
    [{ dryRun: ["All"] }, true],
  ] as const) {
    it(`is ${isDry} for ${JSON.stringify(body)}`, () => assert.equal(isDryRun("pause", body), isDry));
  }
  for (const dryRun of ["All", true, ["Some"], [1]]) {
    it(`is refused as ${JSON.stringify(dryRun)}`, () => {
      assert.throws(
        () => isDryRun("pause", { dryRun }),
        (error) => error instanceof StatusError && error.code === 400,
      );
    });
  }
});
