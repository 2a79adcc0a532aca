import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Latest } from "./latest.ts";

describe("a latest value", () => {
  it("is told at once, then after each change, and a slow reader gets only the newest", async () => {
    const latest = new Latest(1);
    const reader = latest.watch();
    assert.deepEqual(await reader.next(), { done: false, value: 1 });
    latest.set(2);
    latest.set(3);
    assert.deepEqual(await reader.next(), { done: false, value: 3 });
    const pending = reader.next();
    latest.set(4);
    assert.deepEqual(await pending, { done: false, value: 4 });
  });

  it("is told once more before the end when it changed just before the close", async () => {
    const latest = new Latest(1);
    const reader = latest.watch();
    await reader.next();
    latest.set(2);
    latest.close();
    assert.deepEqual(await reader.next(), { done: false, value: 2 });
    assert.deepEqual(await reader.next(), { done: true, value: undefined });
  });

  it("lets a reader leave while it waits", async () => {
    const latest = new Latest(1);
    const reader = latest.watch();
    await reader.next();
    const pending = reader.next();
    await reader.return?.();
    assert.deepEqual(await pending, { done: true, value: undefined });
  });
});
