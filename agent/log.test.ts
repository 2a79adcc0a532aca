import assert from "node:assert/strict";
import { test } from "node:test";
import { createLog } from "./log.ts";

test("a change of the level reaches loggers that were made before it, and after", () => {
  const lines: string[] = [];
  const { log, setLevel } = createLog("info", { write: (line) => void lines.push(line) });
  const child = log.child({ of: "one" });
  const grandchild = child.child({ of: "two" });
  child.debug("not told");
  setLevel("debug");
  const late = log.child({ of: "three" });
  for (const one of [log, child, grandchild, late]) one.debug("told");
  setLevel("warn");
  for (const one of [log, child, grandchild, late]) one.info("not told");
  assert.equal(lines.length, 4);
  assert.ok(lines.every((line) => line.includes('"msg":"told"')));
});
