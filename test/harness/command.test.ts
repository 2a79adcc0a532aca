import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type Interactive, interact, untilHeard } from "./command.ts";

const PATIENCE_MS = 10_000;

describe("a program that is talked to", () => {
  it("has each match used up, with all that was printed before it", async () => {
    const shell = interact("sh", []);
    try {
      shell.write("echo one; echo two; echo one\n");
      await shell.expect(/two\n/, PATIENCE_MS);
      assert.equal((await shell.expect(/one\n/, PATIENCE_MS)).index, 0);
      await assert.rejects(shell.expect(/one/, 1), /never printed/);
    } finally {
      shell.kill();
      await shell.ended;
    }
  });

  it("is heard when it answers, not when it repeats what was typed", async () => {
    const shell = interact("sh", ["-v"]);
    try {
      await untilHeard(shell, "word");
    } finally {
      shell.kill();
      await shell.ended;
    }
  });

  it("is typed to again while it doesn't answer, until the time is up", async () => {
    const typed: string[] = [];
    const deaf = (answersAfter: number): Interactive => ({
      write: (text) => void typed.push(text),
      expect: async () => {
        if (typed.length <= answersAfter) throw new Error("nothing");
        return Object.assign([""], { index: 0, input: "" }) as RegExpExecArray;
      },
      ended: new Promise(() => {}),
      kill: () => {},
    });
    await untilHeard(deaf(2), "word");
    assert.deepEqual(typed, Array(3).fill("\necho word-$((6 * 7))\n"));
    await assert.rejects(untilHeard(deaf(9), "word", 1), /nothing/);
  });
});
