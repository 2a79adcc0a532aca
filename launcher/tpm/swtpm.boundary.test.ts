/** What the launcher says of a TPM that can't be had; one that works is in the guest of domain/efi.boundary.test.ts. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { startSwtpm } from "./swtpm.ts";

describe("a TPM that doesn't start", () => {
  for (const [program, end] of [
    ["/nonexistent", "can't be run: spawn /nonexistent ENOENT"],
    ["/bin/false", "ended with exit code 1"],
  ] as const) {
    it(`says so: ${program} ${end}`, async (t) => {
      const folder = await mkdtemp(join(tmpdir(), "swtpm-"));
      t.after(() => rm(folder, { recursive: true }));
      const lines: string[] = [];
      const options = { socket: join(folder, "tpm.sock"), directory: join(folder, "state"), program };
      await assert.rejects(startSwtpm({ ...options, onLogLine: (line) => void lines.push(line) }), {
        code: "TpmStart",
        message: `swtpm, the guest's TPM, ${end}`,
      });
      assert.deepEqual(lines, [`swtpm ${end}: the guest's TPM is gone`]);
    });
  }
});
