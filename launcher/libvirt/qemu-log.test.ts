import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { lastWords, readLastWords } from "./qemu-log.ts";

const STARTED = `2026-11-21 18:30:09.770+0000: starting up libvirt version: 11.3.0, qemu version: 10.0.13
LC_ALL=C \\
/usr/bin/qemu-system-x86_64 \\
-object '{"qom-type":"secret","id":"masterKey0"}' \\
-msg timestamp=on
`;
const ENDED = "2026-11-21 18:30:19.770+0000: shutting down, reason=crashed\n";

describe("qemu's last words", () => {
  const rows: readonly (readonly [claim: string, log: string, words: string])[] = [
    ["are none of the command line's, nor libvirt's", `${STARTED}${ENDED}`, ""],
    [
      "are told without their time",
      `${STARTED}2026-11-21T18:30:11.037661Z qemu-system-x86_64: cannot set up guest memory 'pc.ram'\n${ENDED}`,
      "qemu-system-x86_64: cannot set up guest memory 'pc.ram'",
    ],
    [
      "are those of an assertion, which has no time",
      `${STARTED}**\nERROR:../util/thread.c:12: assertion failed\nBail out!\n${ENDED}`,
      "** | ERROR:../util/thread.c:12: assertion failed | Bail out!",
    ],
    ["are the last three lines", `${STARTED}one\ntwo\nthree\nfour\n`, "two | three | four"],
    ["are printable", `${STARTED}a\u0007b\u001b[2J\u00e9\n`, "a?b?[2J?"],
    ["are not those of the run before", `${STARTED}old\n${ENDED}${STARTED}`, ""],
    ["are found where the command line has been cut off", "mory'\nnew\n", "mory' | new"],
    ["are cut", `${STARTED}${"x".repeat(500)}\n`, "x".repeat(300)],
  ];
  for (const [claim, log, words] of rows) {
    it(claim, () => assert.equal(lastWords(log), words));
  }

  it("are read from the end of a long log, and unknown where there is none", (t) => {
    const folder = mkdtempSync(join(tmpdir(), "qemu-log-"));
    t.after(() => rmSync(folder, { recursive: true }));
    const logs = join(folder, "cache/libvirt/qemu/log");
    assert.equal(readLastWords(folder), undefined);
    mkdirSync(logs, { recursive: true });
    assert.equal(readLastWords(folder), undefined);
    const path = join(logs, "default_tiny.log");
    writeFileSync(path, `${STARTED}${"a word\n".repeat(100_000)}the last\n`);
    assert.equal(readLastWords(folder), "a word | a word | the last");
    writeFileSync(path, "");
    assert.equal(readLastWords(folder), "");
  });
});
