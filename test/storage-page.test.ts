/** docs/storage.md names a test for each kind of volume and each knob: every name is one of a test that exists. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";

const ROOT = dirname(import.meta.dirname);
const page = await readFile(join(ROOT, "docs/storage.md"), "utf8");

/** Last cells of the tables that name tests. */
const cells = page
  .split("\n## ")
  .filter((section) => /^\|.*\| test \|$/m.test(section))
  .flatMap((section) =>
    section.split("\n").filter((line) => line.startsWith("| ") && !line.endsWith("| test |")),
  )
  .map((line) => line.split("|").at(-2)?.trim() ?? "");

/** `storage-input: *a claim*, *another*; validation` → file and claims. */
const named = cells.flatMap((cell) =>
  cell.split("; ").map((part) => ({
    file: /^[\w./-]+/.exec(part)?.[0] ?? "",
    claims: [...part.matchAll(/\*([^*]+)\*/g)].map(([, claim = ""]) => claim),
  })),
);

const sourceOf = (file: string) =>
  readFile(join(ROOT, file.includes("/") ? file : `test/e2e/${file}.cluster.test.ts`), "utf8");

describe("docs/storage.md", () => {
  test("has tables of volumes, disks and firmware, with a test in each row that offers something", () => {
    assert.ok(cells.length > 30, String(cells.length));
    assert.ok(named.filter(({ claims }) => claims.length > 0).length > 20);
  });

  for (const [file, parts] of Map.groupBy(named, (one) => one.file)) {
    if (file === "" || file === "the") continue;
    test(`names tests of ${file} by their words`, async () => {
      const source = await sourceOf(file);
      const missing = parts.flatMap(({ claims }) => claims).filter((claim) => !source.includes(claim));
      assert.deepEqual(missing, []);
    });
  }
});
