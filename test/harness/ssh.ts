/** A guest spoken to over ssh, with a key that was made for it and one connection for all that is asked. */
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { capture } from "./command.ts";

const execute = promisify(execFile);

/** Key exchange and login take seconds under emulation. */
const ANSWER_TIMEOUT_MS = 120_000;

export class SshKey {
  readonly folder = mkdtempSync(join(tmpdir(), "virtpod-ssh-"));
  readonly file = join(this.folder, "key");
  /** As it stands in authorized_keys. */
  readonly publicKey: string;

  constructor() {
    capture("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", this.file]);
    this.publicKey = readFileSync(`${this.file}.pub`, "utf8").trim();
  }

  /** Ends connections that are kept open, and the key. */
  remove(): void {
    rmSync(this.folder, { recursive: true });
  }
}

export class Ssh {
  readonly #options: readonly string[];
  readonly #target: string;

  constructor(key: SshKey, user: string, address: string) {
    this.#target = `${user}@${address}`;
    this.#options = [
      ...["-i", key.file, "-o", "BatchMode=yes", "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=30"],
      // The guest has made its host key a moment ago.
      ...["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"],
      ...[
        "-o",
        "ControlMaster=auto",
        "-o",
        `ControlPath=${join(key.folder, "%h")}`,
        "-o",
        "ControlPersist=60",
      ],
    ];
  }

  /** Runs a script by `sh` as root. @throws Error with what it printed when it fails */
  async run(script: string): Promise<string> {
    const args = [...this.#options, this.#target, "sudo", "sh", "-ec", quoted(script)];
    const { stdout } = await execute("ssh", args, {
      timeout: ANSWER_TIMEOUT_MS,
      maxBuffer: 16 * 1024 * 1024,
    });
    return stdout;
  }

  /** @throws SyntaxError when the script prints something else */
  async json<T>(script: string): Promise<T> {
    return JSON.parse(await this.run(script)) as T;
  }

  async close(): Promise<void> {
    await execute("ssh", [...this.#options, "-O", "exit", this.#target]);
  }
}

/** For the shell at the other end. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
