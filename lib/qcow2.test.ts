import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { QCOW2_MAX_VIRTUAL_BYTES, qcow2L1Entries, qcow2MaxBytes } from "./qcow2.ts";

const sizes = fc.integer({ min: 1, max: QCOW2_MAX_VIRTUAL_BYTES });

describe("a qcow2 file", () => {
  it("grows to no more than its disk, the 0.02 % that maps it, and a few clusters", () => {
    fc.assert(
      fc.property(sizes, (bytes) => {
        const most = qcow2MaxBytes(bytes);
        assert(most > bytes);
        assert(most <= bytes * 1.0002 + 8 * 65_536, `${most - bytes}`);
      }),
    );
  });

  it("has an L1 entry per 512 MiB begun", () => {
    assert.deepEqual(
      [1, 512 * 1024 ** 2, 512 * 1024 ** 2 + 1, 1024 ** 4].map(qcow2L1Entries),
      [1, 1, 2, 2048],
    );
  });
});
