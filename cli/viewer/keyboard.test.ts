import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { keysymOf, scanCodeOf } from "./keyboard.ts";

describe("the scan code of", () => {
  // IBM's XT scan codes; 0x80 for the prefix 0xe0.
  for (const [code, expected] of [
    ["Escape", 0x01],
    ["Digit1", 0x02],
    ["Backspace", 0x0e],
    ["KeyP", 0x19],
    ["Enter", 0x1c],
    ["KeyL", 0x26],
    ["ShiftLeft", 0x2a],
    ["Slash", 0x35],
    ["Space", 0x39],
    ["F10", 0x44],
    ["NumpadDecimal", 0x53],
    ["F12", 0x58],
    ["ControlRight", 0x9d],
    ["AltRight", 0xb8],
    ["ArrowUp", 0xc8],
    ["PageDown", 0xd1],
    ["Delete", 0xd3],
    ["ContextMenu", 0xdd],
    ["BrowserBack", 0],
  ] as const)
    test(code, () => assert.equal(scanCodeOf(code), expected));
});

describe("the keysym of", () => {
  for (const [key, expected] of [
    ["a", 0x61],
    ["ä", 0xe4],
    ["€", 0x010020ac],
    ["F12", 0xffc9],
    ["Enter", 0xff0d],
    ["Dead", 0],
    ["Unidentified", 0],
  ] as const)
    test(key, () => assert.equal(keysymOf(key), expected));
});
