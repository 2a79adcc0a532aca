import assert from "node:assert/strict";
import { test } from "node:test";
import { companions, isProgram } from "./bundle.ts";

const output = { bytes: 1, inputs: {}, imports: [], exports: [] };

test("a bundle's companions are what it loads at run time, without itself and its map", () => {
  const outputs = { "dist/agent.mjs": output, "dist/agent.mjs.map": output, "dist/koffi-ABC.node": output };
  assert.deepEqual(companions(outputs, "agent"), ["koffi-ABC.node"]);
});

test("only the four programs can be bundled", () => {
  assert.deepEqual(["operator", "agent", "launcher", "cli", "toString"].map(isProgram), [
    true,
    true,
    true,
    true,
    false,
  ]);
});
