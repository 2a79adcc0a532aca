/** `virtpod ssh` and `virtpod scp`: this machine's OpenSSH, with this program as its way to the guest. */
import { spawn } from "node:child_process";
import { type ClusterFlags, clusterOf } from "../cluster.ts";
import { CliError } from "../errors.ts";
import {
  type CopyOptions,
  parseCopy,
  type Self,
  type SshOptions,
  scpArguments,
  sshArguments,
} from "../ssh-arguments.ts";
import { parseLogin } from "../target.ts";

export type SshFlags = ClusterFlags & SshOptions & { readonly command?: string };
export type ScpFlags = ClusterFlags & CopyOptions;

/** @throws CliError with ssh's own exit code, which is the remote command's */
export async function ssh(text: string, flags: SshFlags): Promise<void> {
  onlyLocal(flags);
  const { namespace } = clusterOf(flags);
  const { target, user = flags.username } = parseLogin(text);
  const options = { ...flags, ...(user !== undefined && { username: user }) };
  await run(
    "ssh",
    sshArguments(selfOf(flags), { ...target, namespace: target.namespace ?? namespace }, options),
  );
}

/** @throws CliError with scp's own exit code */
export async function scp(source: string, destination: string, flags: ScpFlags): Promise<void> {
  onlyLocal(flags);
  const copy = parseCopy(source, destination, clusterOf(flags).namespace);
  await run("scp", scpArguments(selfOf(flags), copy, flags));
}

/** This program, on the same cluster. */
function selfOf({ kubeconfig, context }: ClusterFlags): Self {
  const script = process.argv[1] ?? "";
  return [
    ...[process.execPath, ...process.execArgv, script],
    ...(kubeconfig === undefined ? [] : ["--kubeconfig", kubeconfig]),
    ...(context === undefined ? [] : ["--context", context]),
  ];
}

/** @throws CliError for virtctl's --local-ssh=false */
function onlyLocal({ localSsh }: SshOptions): void {
  if (localSsh === false) throw new CliError("virtpod has no ssh of its own: leave --local-ssh away");
}

async function run(program: "ssh" | "scp", args: readonly string[]): Promise<void> {
  const child = spawn(program, args, { stdio: "inherit" });
  // ^C reaches ssh as well, and it is ssh's to say what it means.
  const ignore = () => {};
  process.on("SIGINT", ignore);
  const code = await new Promise<number>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (status) => resolve(status ?? 255));
  })
    .catch((cause: NodeJS.ErrnoException) => {
      const why = cause.code === "ENOENT" ? "is not installed: install OpenSSH's client" : cause.message;
      throw new CliError(`${program} ${why}`, { cause });
    })
    .finally(() => process.off("SIGINT", ignore));
  // ssh has said what was wrong.
  if (code !== 0) throw new CliError("", { exitCode: code });
}
