#!/usr/bin/env node
/** The command line `virtpod`, also found by kubectl as `kubectl virtpod`. */
import { basename } from "node:path";
import { normalArguments } from "./arguments.ts";
import { CliError } from "./errors.ts";
import { buildProgram } from "./program.ts";

const isPlugin = basename(process.argv[1] ?? "").startsWith("kubectl-");
const program = buildProgram(isPlugin ? "kubectl virtpod" : "virtpod", process.env["PATH"] ?? "");

// Whoever reads no more, `head` for instance, has had enough.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit(0);
});

try {
  await program.parseAsync(normalArguments(process.argv.slice(2), program), { from: "user" });
} catch (error) {
  if (!(error instanceof CliError)) throw error;
  if (error.exitCode !== 0 && error.message !== "") process.stderr.write(`virtpod: ${error.message}\n`);
  process.exitCode = error.exitCode;
}
