import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { candidates, completionScript, type NameKind } from "./completion.ts";
import { buildProgram } from "./program.ts";

const program = buildProgram("virtpod", "");
const words = (...line: readonly string[]) => candidates(program, line).words.map(([word]) => word);

test("commands are completed by their beginning, hidden ones not at all", () => {
  assert.deepEqual(words("st"), ["start", "stop"]);
  assert.deepEqual(words("create", ""), ["vm"]);
  assert.deepEqual(words("migr"), []);
  assert.deepEqual(words("__"), []);
});

test("flags are a command's own and those of all", () => {
  assert.deepEqual(words("stop", "tiny", "--"), [
    "--force",
    "--grace-period",
    "--dry-run",
    "--kubeconfig",
    "--context",
    "--namespace",
    "--client-version",
  ]);
  assert.deepEqual(words("create", "vm", "--inst"), []);
});

test("values are those that a flag takes", () => {
  assert.deepEqual(words("fslist", "web", "-o", ""), ["table", "json"]);
  assert.deepEqual(words("fslist", "web", "--output", "j"), ["json"]);
});

describe("names are asked of the cluster", () => {
  const cases: readonly (readonly [readonly string[], NameKind, string])[] = [
    [["start", ""], "vm", ""],
    [["console", "ti"], "vmi", ""],
    [["--namespace", ""], "namespace", ""],
    [["start", "-n", ""], "namespace", ""],
    [["pause", "vm", ""], "vm", ""],
    [["ssh", "me@vm/"], "vm", "me@vm/"],
    [["expose", "vm", ""], "vm", ""],
    [["vnc", "ti"], "vmi", ""],
    [["top", ""], "vmi", ""],
    [["top", "web", "ti"], "vmi", ""],
    [["expand", "--vm", ""], "vm", ""],
  ];
  for (const [line, kind, prefix] of cases)
    test(line.join(" "), () => assert.deepEqual(candidates(program, line).names, { kind, prefix }));
});

test("a namespace that was named is where names are looked for", () => {
  assert.equal(candidates(program, ["-n", "demo", "start", ""]).namespace, "demo");
  assert.equal(candidates(program, ["start", "--namespace=demo", ""]).namespace, "demo");
});

test("each command that takes a machine is told names, or the types that names come after", () => {
  const takers = program.commands.filter(({ registeredArguments: [first] }) =>
    ["name", "names", "type", "type-or-name", "target", "source"].includes(first?.name() ?? ""),
  );
  assert.ok(takers.length > 15);
  for (const command of takers) {
    const isHidden = !program.createHelp().visibleCommands(program).includes(command);
    const { names, words: found } = candidates(program, [command.name(), ""]);
    assert.equal(names !== undefined || found.length > 0, !isHidden, command.name());
  }
});

test("types come before names", () => {
  assert.deepEqual(words("ssh", ""), ["vm/", "vmi/"]);
  assert.deepEqual(words("ssh", "me@v"), ["me@vm/", "me@vmi/"]);
  assert.deepEqual(words("expose", "vm"), ["vm", "vmi"]);
});

test("three shells have a script, and a fourth is told so", () => {
  for (const shell of ["bash", "zsh", "fish"])
    assert.match(completionScript(shell), /virtpod __complete -- /);
  assert.throws(() => completionScript("constructor"), /no completion for constructor/);
});
