import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ByteQueue } from "./bytes.ts";

test("bytes are taken in their order, however they came", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.uint8Array({ maxLength: 20 })),
      fc.array(fc.integer({ min: 1, max: 30 })),
      async (pieces, counts) => {
        const queue = new ByteQueue();
        for (const piece of pieces) queue.push(piece);
        const all = Buffer.concat(pieces);
        let at = 0;
        for (const count of counts) {
          if (at + count > all.length) break;
          assert.deepEqual(Buffer.from(await queue.take(count)), all.subarray(at, at + count));
          at += count;
        }
      },
    ),
  );
});

test("who waits for bytes gets them when they come, in network order", async () => {
  const queue = new ByteQueue();
  const number = queue.u32();
  queue.push(new Uint8Array([1, 2]));
  queue.push(new Uint8Array([3, 4, 5, 6, 7]));
  assert.equal(await number, 0x01020304);
  assert.equal(await queue.u16(), 0x0506);
  assert.equal(await queue.u8(), 7);
});

test("what is there can still be taken after the end, and then no more", async () => {
  const queue = new ByteQueue();
  queue.push(new Uint8Array([9]));
  const more = queue.u16();
  queue.end(new Error("over"));
  await assert.rejects(more, /over/);
  assert.equal(await queue.u8(), 9);
  await assert.rejects(queue.u8(), /over/);
});
