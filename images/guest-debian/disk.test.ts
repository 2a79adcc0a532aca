import assert from "node:assert/strict";
import { test } from "node:test";
import { partitionTable } from "./disk.ts";
import { diskSize, partitions, rootPartition } from "./recipe.ts";

const mebibyte = 2 ** 20;

test("the partitions follow one another on whole MiB, and leave room for both partition tables", () => {
  let end = mebibyte;
  for (const { start, size } of partitions) {
    assert.equal(start, end);
    assert.equal(start % mebibyte, 0);
    assert.equal(size % mebibyte, 0);
    end = start + size;
  }
  assert.equal(end, diskSize - mebibyte);
});

test("the root is the last partition, which can grow", () => {
  assert.equal(partitions.at(-1), rootPartition);
});

test("the partition table is given in sectors", () => {
  const lines = partitionTable().split("\n");
  assert.equal(lines[0], "label: gpt");
  assert.match(lines[2] ?? "", /^start=2048, size=2048, type=21686148-/);
});
