/** The command lines of ssh and scp that reach a guest by way of `virtpod port-forward --stdio`. Pure. */
import { CliError } from "./errors.ts";
import { parseLogin, type Target } from "./target.ts";

export interface SshOptions {
  readonly username?: string;
  readonly identityFile?: string;
  readonly port: number;
  readonly knownHosts?: string;
  readonly localSshOpts?: readonly string[];
  readonly localSsh?: boolean;
}

/** How this program is called again, with the flags that lead to the same cluster. */
export type Self = readonly string[];

export interface SshTarget extends Target {
  readonly namespace: string;
}

export function sshArguments(
  self: Self,
  target: SshTarget,
  options: SshOptions & { readonly command?: string },
): string[] {
  const command = options.command === undefined ? [] : [options.command];
  return [...common(self, target, options), hostOf(target, options.username), ...command];
}

export interface CopyOptions extends SshOptions {
  readonly recursive?: boolean;
  readonly preserve?: boolean;
}

export interface Copy {
  readonly target: SshTarget;
  readonly user?: string;
  /** Path in the guest. */
  readonly path: string;
  /** Path here. */
  readonly local: string;
  readonly direction: "to guest" | "from guest";
}

export function scpArguments(self: Self, copy: Copy, options: CopyOptions): string[] {
  const remote = `${hostOf(copy.target, copy.user ?? options.username)}:${copy.path}`;
  const modes = [...(options.recursive ? ["-r"] : []), ...(options.preserve ? ["-p"] : [])];
  const paths = copy.direction === "to guest" ? [copy.local, remote] : [remote, copy.local];
  return [...common(self, copy.target, options), ...modes, "--", ...paths];
}

/** @throws CliError unless exactly one of the two is in a guest */
export function parseCopy(source: string, destination: string, namespace: string): Copy {
  const ends = [source, destination].map((text) => remoteEnd(text));
  const [from, to] = ends;
  if (from !== undefined && to !== undefined)
    throw new CliError("one end must be here: copy from the one guest first, then to the other");
  const remote = from ?? to;
  if (remote === undefined)
    throw new CliError(`neither ${source} nor ${destination} is in a guest: write vm/NAME:PATH`);
  const { target, user } = parseLogin(remote.login);
  return {
    target: { ...target, namespace: target.namespace ?? namespace },
    ...(user !== undefined && { user }),
    path: remote.path,
    local: from === undefined ? source : destination,
    direction: from === undefined ? "to guest" : "from guest",
  };
}

function remoteEnd(text: string): { readonly login: string; readonly path: string } | undefined {
  const colon = text.indexOf(":");
  // As scp has it: what begins with ./ or / is a path here, whatever it is called.
  if (colon === -1 || /^\.{0,2}\//.test(text)) return undefined;
  return { login: text.slice(0, colon), path: text.slice(colon + 1) };
}

function common(self: Self, target: SshTarget, options: SshOptions): string[] {
  const { identityFile, knownHosts, localSshOpts = [], port } = options;
  const { kind, name, namespace } = target;
  const proxy = [...self, "port-forward", "--stdio", `${kind}/${name}/${namespace}`, String(port)];
  return [
    ...["-o", `ProxyCommand=${proxy.map(proxyWord).join(" ")}`],
    ...(knownHosts === undefined ? [] : ["-o", `UserKnownHostsFile=${knownHosts}`]),
    ...localSshOpts,
    ...(identityFile === undefined ? [] : ["-i", identityFile]),
  ];
}

/** The name that host keys are kept by: it isn't looked up. */
function hostOf({ kind, name, namespace }: SshTarget, user: string | undefined): string {
  return `${user === undefined ? "" : `${user}@`}${kind}.${name}.${namespace}`;
}

/** A word for the shell that runs a ProxyCommand, after ssh has replaced its %-tokens (ssh_config(5)). */
function proxyWord(word: string): string {
  const escaped = word.replaceAll("%", "%%");
  return /^[\w@%+=:,./-]+$/.test(word) ? escaped : `'${escaped.replaceAll("'", "'\\''")}'`;
}
