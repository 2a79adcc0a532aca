/** `virtpod create vm`: a manifest on standard output, for a person to change and kubectl to apply. */
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { CliError } from "../errors.ts";
import { type VmOptions, vmManifest, yaml } from "../vm-manifest.ts";

export interface CreateVmFlags extends Omit<VmOptions, "name" | "password"> {
  readonly name?: string;
  readonly passwordFile?: string;
  readonly output: "yaml" | "json";
}

/** @throws CliError */
export async function createVm({ output, passwordFile, ...flags }: CreateVmFlags): Promise<void> {
  const password = passwordFile === undefined ? undefined : await passwordIn(passwordFile);
  if (password !== undefined)
    process.stderr.write(
      "Warning: the password stands in clear text in the manifest: whoever reads it has it.\n",
    );
  const name = flags.name ?? `vm-${randomBytes(3).toString("hex").slice(0, 5)}`;
  const manifest = vmManifest({ ...flags, name, ...(password !== undefined && { password }) });
  process.stdout.write(output === "json" ? `${JSON.stringify(manifest, null, 2)}\n` : yaml(manifest));
}

async function passwordIn(file: string): Promise<string> {
  const text = await readFile(file, "utf8").catch((cause: Error) => {
    throw new CliError(`--password-file can't be read: ${cause.message}`, { cause });
  });
  const password = text.trim();
  if (password === "") throw new CliError(`--password-file ${file} is empty`);
  return password;
}
