import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { parseOomKills, readOomKills } from "./oom-kills.ts";

const V1 = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n";
const V2 = "low 0\nhigh 0\nmax 41\noom 2\noom_kill 2\noom_group_kill 0\n";

describe("processes that the kernel ended for want of memory", () => {
  it("are counted by either version's file, and are none where a kernel counts none", () => {
    assert.deepEqual([V1, V2, "oom_kill_disable 0\nunder_oom 0\n", ""].map(parseOomKills), [3, 2, 0, 0]);
  });

  it("are read where there is a file, and are none without", (t) => {
    const folder = mkdtempSync(join(tmpdir(), "oom-"));
    t.after(() => rmSync(folder, { recursive: true }));
    const files = [join(folder, "memory.events"), join(folder, "memory.oom_control")];
    assert.equal(readOomKills(files), 0);
    writeFileSync(files[1] ?? "", V1);
    assert.equal(readOomKills(files), 3);
    writeFileSync(files[0] ?? "", V2);
    assert.equal(readOomKills(files), 2);
  });
});
