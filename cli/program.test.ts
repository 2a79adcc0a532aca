import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Command } from "commander";
import { CliError } from "./errors.ts";
import { buildProgram } from "./program.ts";

function commands(command: Command): readonly Command[] {
  const visible = command
    .createHelp()
    .visibleCommands(command)
    .filter((one) => one.name() !== "help");
  return visible.flatMap((one) => (one.commands.length > 0 ? [one, ...commands(one)] : [one]));
}

function helpOf(command: Command): string {
  let help = "";
  command.configureOutput({ writeOut: (text) => (help += text) }).outputHelp();
  return help;
}

describe("the help of a command has examples that name the program as it was called", () => {
  for (const name of ["virtpod", "kubectl virtpod"])
    for (const command of commands(buildProgram(name, "")).filter((one) => one.name() !== "create"))
      test(`${name} ${command.name()}`, () => {
        const [, examples = ""] = helpOf(command).split("Examples:\n");
        assert.match(examples, new RegExp(`^  ${name} .*\\b${command.name()}\\b`));
      });
});

test("examples are command lines that the program takes", () => {
  for (const command of commands(buildProgram("virtpod", ""))) {
    const [, examples = ""] = helpOf(command).split("Examples:\n");
    const flags = examples.match(/ --[a-z-]+/g) ?? [];
    for (const flag of flags) {
      const known = command
        .createHelp()
        .visibleOptions(command)
        .map(({ long }) => long);
      const inherited = command.parent?.options.map(({ long }) => long) ?? [];
      const others = command.commands.flatMap((one) => one.options.map(({ long }) => long));
      assert.ok([...known, ...inherited, ...others].includes(flag.trim()), `${command.name()}:${flag}`);
    }
  }
});

test("virtctl's commands that there are not are refused with what to do, whatever their flags", async () => {
  for (const line of [
    ["migrate", "web"],
    ["addvolume", "web", "--volume-name=x"],
    ["image-upload", "--size", "1Gi"],
  ]) {
    const program = buildProgram("virtpod", "");
    await assert.rejects(program.parseAsync(line, { from: "user" }), (error: unknown) => {
      assert.ok(error instanceof CliError);
      assert.match(error.message, new RegExp(`^${line[0]}: there (?:is|are) no `));
      return true;
    });
  }
});

test("flags of create vm that this API has no field for are refused with what to do", async () => {
  for (const [flag, message] of [
    ["--instancetype=x", /no instance types yet: use --memory/],
    ["--infer-instancetype", /no instance types yet/],
    ["--volume-import=type:pvc,src:x", /--volume-pvc/],
  ] as const) {
    const program = buildProgram("virtpod", "");
    let told = "";
    const vm = program.commands.find((one) => one.name() === "create")?.commands[0] ?? assert.fail();
    vm.exitOverride().configureOutput({ writeErr: (text) => (told += text) });
    await assert.rejects(program.parseAsync(["create", "vm", flag], { from: "user" }));
    assert.match(told, message);
  }
});
