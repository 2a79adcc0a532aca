import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { parseLogin, parseTarget } from "./target.ts";

describe("a target names", () => {
  for (const [text, expected] of [
    ["vm/tiny", { kind: "vm", name: "tiny" }],
    ["vmi/tiny/demo", { kind: "vmi", name: "tiny", namespace: "demo" }],
    ["VirtualMachines/tiny", { kind: "vm", name: "tiny" }],
    // A dot belongs to the name: VMs are named as DNS subdomains.
    ["vm/tiny.demo", { kind: "vm", name: "tiny.demo" }],
    ["tiny", { kind: "vmi", name: "tiny" }],
  ] as const)
    test(text, () => assert.deepEqual(parseTarget(text), expected));
});

describe("no target is", () => {
  for (const text of ["", "vm/", "/tiny", "vm/tiny/", "vm/a/b/c", "pod/tiny"])
    test(JSON.stringify(text), () => assert.throws(() => parseTarget(text), { name: "CliError" }));
});

test("a login has its user before the last @", () => {
  assert.deepEqual(parseLogin("me@corp@vm/tiny"), { user: "me@corp", target: { kind: "vm", name: "tiny" } });
  assert.deepEqual(parseLogin("vmi/tiny"), { target: { kind: "vmi", name: "tiny" } });
  assert.throws(() => parseLogin("@vm/tiny"), /names no user/);
  assert.throws(() => parseLogin("me@"), /names no machine/);
});
