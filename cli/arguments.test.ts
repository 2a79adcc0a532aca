import assert from "node:assert/strict";
import { test } from "node:test";
import { Command } from "commander";
import { normalArguments } from "./arguments.ts";

const program = new Command().option("-n, --namespace <name>");
program.command("stop").option("-f, --force").option("--grace-period <seconds>").option("-c, --client");
program
  .command("ssh")
  .option("-c, --command <words>")
  .option("-t, --local-ssh-opts <words>")
  .option("--local-ssh")
  .option("--no-local-ssh");

const cases: readonly (readonly [readonly string[], readonly string[]])[] = [
  [
    ["stop", "tiny", "--force=true", "--grace-period=0"],
    ["stop", "tiny", "--force", "--grace-period=0"],
  ],
  [
    ["stop", "--force=false", "tiny"],
    ["stop", "tiny"],
  ],
  [
    ["stop", "-f=true", "-n=demo"],
    ["stop", "-f", "-n", "demo"],
  ],
  [
    ["stop", "a=b", "--namespace=x=y"],
    ["stop", "a=b", "--namespace=x=y"],
  ],
  [
    ["ssh", "-c=ls /", "-t", "-o StrictHostKeyChecking=no"],
    ["ssh", "-c", "ls /", "-t", "-o StrictHostKeyChecking=no"],
  ],
  [
    ["ssh", "--local-ssh=true", "vm/a"],
    ["ssh", "--local-ssh", "vm/a"],
  ],
  [
    ["ssh", "--local-ssh=false"],
    ["ssh", "--no-local-ssh"],
  ],
  [
    ["ssh", "--", "--force=true"],
    ["ssh", "--", "--force=true"],
  ],
];
for (const [given, expected] of cases)
  test(`${given.join(" ")} is ${expected.join(" ")}`, () =>
    assert.deepEqual(normalArguments(given, program), expected));

test("a switch is true or false", () => {
  assert.throws(() => normalArguments(["stop", "--force=maybe"], program), /takes true or false, not maybe/);
});
