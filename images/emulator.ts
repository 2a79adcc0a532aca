/** The launcher image's own qemu on this machine: no cluster, no libvirt, no launcher. */
import type { ChildProcess } from "node:child_process";
import { existsSync } from "node:fs";
import { chmod, mkdir, mkdtemp, rename } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Debian } from "./debian.ts";
import { cacheFolder, type LayerFile } from "./layer.ts";
import { baseLayer, debianLayer } from "./layers.ts";
import { run } from "./process.ts";
import * as recipes from "./recipes.ts";

export class BootError extends Error {
  readonly code = "GUEST_BOOT";
}

/** Unpacks layers into the cache, once, and gives the folder. */
export async function unpacked(name: string, layers: readonly LayerFile[]): Promise<string> {
  const home = join(
    cacheFolder(),
    "roots",
    `${name}-${layers.map(({ digest }) => digest.slice(7, 19)).join("-")}`,
  );
  if (existsSync(home)) return home;
  await mkdir(join(cacheFolder(), "roots"), { recursive: true });
  const work = await mkdtemp(join(cacheFolder(), "roots/.new-"));
  for (const { file } of layers) await run("tar", ["-xf", file, "-C", work]);
  await chmod(work, 0o755);
  await rename(work, home);
  return home;
}

/** Folder with the root file system of the launcher image, without its bundles. */
export async function emulatorRoot(debian: Debian): Promise<string> {
  const base = await baseLayer(debian, {});
  const launcher = await debianLayer(debian, "virtpod-launcher", recipes.launcher, base, {});
  return unpacked("launcher", [base, launcher]);
}

/** Beginning of qemu's command line, run by the image's own loader so that no library of the machine is used. */
export function emulator(root: string): string[] {
  return [
    join(root, "usr/lib64/ld-linux-x86-64.so.2"),
    ...["--inhibit-cache", "--library-path", join(root, "usr/lib/x86_64-linux-gnu")],
    join(root, "usr/bin/qemu-system-x86_64"),
    ...["-L", join(root, "usr/share/qemu"), "-L", join(root, "usr/share/seabios")],
  ];
}

/** A guest under bare qemu with its serial console on qemu's standard output, until it is closed. */
export class EmulatedGuest {
  /** Lines of the console with the milliseconds since qemu's start at which they came. */
  readonly lines: { readonly text: string; readonly at: number }[] = [];
  /** Settles when qemu ends, with the milliseconds since its start. */
  readonly ended: Promise<number>;
  readonly #qemu: ChildProcess;
  readonly #monitor: string;
  readonly #close: () => Promise<void>;
  readonly #waiters = new Set<() => void>();

  constructor(
    qemu: ChildProcess,
    monitor: string,
    onLine: ((line: string) => void) | undefined,
    close: () => Promise<void>,
  ) {
    const started = performance.now();
    this.#qemu = qemu;
    this.#monitor = monitor;
    this.#close = close;
    if (!qemu.stdout) throw new BootError("qemu has no standard output");
    createInterface({ input: qemu.stdout }).on("line", (text) => {
      this.lines.push({ text, at: performance.now() - started });
      onLine?.(text);
      for (const waiter of this.#waiters) waiter();
    });
    this.ended = new Promise((resolve) => {
      qemu.once("close", () => {
        resolve(performance.now() - started);
        for (const waiter of this.#waiters) waiter();
      });
    });
  }

  /**
   * The first line that matches, already seen or yet to come.
   *
   * @param from index in {@link lines} to look from
   * @param deadline milliseconds
   * @throws BootError when the guest ends or the deadline passes before
   */
  line(
    pattern: RegExp,
    from = 0,
    deadline = 60_000,
  ): Promise<{ readonly text: string; readonly at: number }> {
    return new Promise((resolve, reject) => {
      const settle = (act: () => void) => {
        clearTimeout(timer);
        this.#waiters.delete(look);
        act();
      };
      const fail = (why: string) => {
        const last = this.lines.slice(-5).map(({ text }) => text);
        reject(
          new BootError(
            `the guest printed nothing like ${pattern}: ${why}. Its last lines: ${last.join(" | ")}`,
          ),
        );
      };
      const look = () => {
        const found = this.lines.slice(from).find(({ text }) => pattern.test(text));
        if (found) settle(() => resolve(found));
        else if (this.#qemu.exitCode !== null) settle(() => fail("qemu ended"));
      };
      const timer = setTimeout(() => settle(() => fail(`not within ${deadline} ms`)), deadline);
      this.#waiters.add(look);
      look();
    });
  }

  /** Types on the serial console. */
  type(text: string): void {
    this.#qemu.stdin?.write(text);
  }

  /**
   * Sends one command to qemu's monitor, such as `system_powerdown`, and gives what it returns.
   *
   * @throws BootError with qemu's words when it refuses
   */
  async monitor(command: string, parameters?: Readonly<Record<string, unknown>>): Promise<unknown> {
    const socket = connect(this.#monitor);
    try {
      let sent = 0;
      const commands = [{ execute: "qmp_capabilities" }, { execute: command, arguments: parameters }];
      // The greeting, then an answer to each command; events come in between.
      for await (const line of createInterface({ input: socket })) {
        const said = JSON.parse(line) as { return?: unknown; event?: string; error?: { desc: string } };
        if (said.event !== undefined) continue;
        if (said.error) throw new BootError(`qemu refused ${command}: ${said.error.desc}`);
        if (sent === commands.length) return said.return;
        socket.write(`${JSON.stringify(commands[sent])}\n`);
        sent++;
      }
      throw new BootError(`qemu ended before it answered ${command}`);
    } finally {
      socket.destroy();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#qemu.kill("SIGKILL");
    await this.ended;
    await this.#close();
  }
}
