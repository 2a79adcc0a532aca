import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ProtocolError } from "./errors.ts";
import { JsonLines } from "./json-lines.ts";

test("the same values come out wherever the bytes are cut, also inside a character", () => {
  fc.assert(
    fc.property(fc.array(fc.jsonValue()), fc.array(fc.nat({ max: 200 })), (values, cuts) => {
      const bytes = Buffer.from(values.map((value) => `${JSON.stringify(value)}\n`).join(""));
      const lines = new JsonLines<unknown>(1 << 20, "test");
      const seen: unknown[] = [];
      let start = 0;
      for (const cut of [
        ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b),
        bytes.length,
      ]) {
        seen.push(...lines.push(bytes.subarray(start, cut)));
        start = cut;
      }
      lines.end();
      assert.deepEqual(seen, JSON.parse(JSON.stringify(values)));
    }),
  );
});

test("a line above the limit, one that is not JSON and a stream cut inside one are refused", () => {
  const push = (lines: JsonLines<unknown>, text: string) => [...lines.push(Buffer.from(text))];
  assert.deepEqual(push(new JsonLines(5, "test"), "12345\n\n"), [12345]);
  assert.throws(() => push(new JsonLines(5, "test"), "123456\n"), /a line is longer than 5 bytes/);
  assert.throws(() => push(new JsonLines(5, "test"), "123456"), ProtocolError);
  assert.throws(
    () => push(new JsonLines(99, "watch pods"), "<html>\n"),
    /watch pods: a line is not JSON: <html>/,
  );
  const cut = new JsonLines(99, "test");
  push(cut, '{"a":');
  assert.throws(() => cut.end(), /ended inside a line, after 5 bytes/);
});
