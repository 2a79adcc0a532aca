import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { describe, it } from "node:test";
import { promisify } from "node:util";
import { HeapTrimmer } from "./heap.ts";

describe("the heap", () => {
  it("is trimmed once for streams that end one after the other, and again for later ones", (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    const trim = t.mock.fn();
    const { streamEnded } = new HeapTrimmer(trim);
    for (let i = 0; i < 19; i++) {
      streamEnded();
      t.mock.timers.tick(1_000);
    }
    assert.equal(trim.mock.callCount(), 0);
    t.mock.timers.tick(1_000);
    assert.equal(trim.mock.callCount(), 1);
    t.mock.timers.tick(60_000);
    assert.equal(trim.mock.callCount(), 1);
    streamEnded();
    t.mock.timers.tick(20_000);
    assert.equal(trim.mock.callCount(), 2);
  });

  it("gives back what is collected in between blocks that stay", async () => {
    // Blocks of 16 KiB come from glibc's heap; every 64th stays, so the heap can't shrink from its end.
    const script = `
      import { trimHeap } from "./heap.ts";
      const blocks = Array.from({ length: 4096 }, () => Buffer.allocUnsafeSlow(16384).fill(1));
      globalThis.kept = blocks.filter((_, i) => i % 64 === 63);
      blocks.length = 0;
      const before = process.memoryUsage.rss();
      await trimHeap();
      process.stdout.write(JSON.stringify({ before, after: process.memoryUsage.rss() }));`;
    const node = ["--expose-gc", "--input-type=module", "--eval", script];
    const { stdout } = await promisify(execFile)(process.execPath, node, { cwd: import.meta.dirname });
    const { before, after } = JSON.parse(stdout) as { readonly before: number; readonly after: number };
    assert.ok(before - after > 32 * 1024 * 1024, stdout);
  });
});
