/** The real operator as a child process in a network namespace of its own, as the kubelet would run it in a pod. */
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { setTimeout } from "node:timers/promises";
import { METRICS_PORT } from "../../api/names.ts";
import type { OperatorNetwork } from "./network.ts";

export interface OperatorOptions {
  readonly network: OperatorNetwork;
  /** The bundle to run. */
  readonly program: string;
  /** Of Node, before the program. */
  readonly flags: readonly string[];
  /** Environment of its container, its own name and the kubeconfig among it. */
  readonly environment: Readonly<Record<string, string>>;
}

interface LogLine {
  readonly level: number;
  readonly msg: string;
  readonly [field: string]: unknown;
}

interface Waiter {
  readonly matches: (line: LogLine) => boolean;
  readonly resolve: () => void;
}

const WARN = 40;
const KEPT_LINES = 1000;
/** Between two looks at the metrics, which nothing announces. */
const LOOK_MS = 150;

export class OperatorProcess {
  readonly address: string;
  /** Resolves with how it ended: an exit code or a signal. */
  readonly ended: Promise<string>;
  readonly #child: ChildProcess;
  /** Apart, so that a flood of warnings doesn't wash away that it leads. */
  readonly #news: LogLine[] = [];
  readonly #warnings: LogLine[] = [];
  readonly #waiters = new Set<Waiter>();
  #stderr = "";

  constructor({ network, program, flags, environment }: OperatorOptions) {
    this.address = network.address;
    // `ip netns exec` becomes the program: signals reach Node itself.
    this.#child = spawn(
      "ip",
      [
        "netns",
        "exec",
        network.namespace,
        process.execPath,
        ...flags,
        "--disable-warning=ExperimentalWarning",
        program,
      ],
      {
        env: { PATH: process.env["PATH"], ...environment },
        stdio: ["ignore", "pipe", "pipe"],
      },
    );
    const { stdout, stderr } = this.#child;
    if (stdout !== null) createInterface(stdout).on("line", (line) => this.#read(line));
    stderr?.on("data", (chunk: Buffer) => {
      this.#stderr = (this.#stderr + chunk.toString()).slice(-4_000);
    });
    this.ended = new Promise((resolve) => {
      this.#child.once("close", (code, signal) => resolve(signal ?? `exit code ${code}`));
    });
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** @throws Error with the log's end when it ends before, or the line does not come */
  async untilLogged(
    what: string,
    timeoutMs: number,
    fields: Readonly<Record<string, unknown>> = {},
  ): Promise<void> {
    const wanted = Object.entries({ ...fields, msg: what });
    const matches = (line: LogLine) => wanted.every(([field, value]) => line[field] === value);
    if (this.#news.some(matches) || this.#warnings.some(matches)) return;
    const seen = Promise.withResolvers<"seen">();
    const waiter = { matches, resolve: () => seen.resolve("seen") };
    this.#waiters.add(waiter);
    const timer = new AbortController();
    const late = setTimeout(timeoutMs, `nothing for ${timeoutMs} ms`, { signal: timer.signal });
    late.catch(() => {});
    const outcome = await Promise.race([seen.promise, this.ended, late]);
    timer.abort();
    this.#waiters.delete(waiter);
    if (outcome !== "seen")
      throw new Error(`the operator never logged ${what} (${outcome}):\n${this.tail()}`);
  }

  /** Warnings and errors, for the message of a failure. */
  tail(): string {
    const told = this.#warnings.slice(-25);
    return `${told.map((line) => JSON.stringify(line)).join("\n")}\n${this.#stderr}`;
  }

  kill(): Promise<string> {
    this.#child.kill("SIGKILL");
    return this.ended;
  }

  /** As the kubelet ends a pod. */
  stop(): Promise<string> {
    this.#child.kill("SIGTERM");
    return this.ended;
  }

  /** Stops the process in its tracks, as a frozen machine does; it knows nothing of it. */
  stall(): void {
    this.#child.kill("SIGSTOP");
  }

  resume(): void {
    this.#child.kill("SIGCONT");
  }

  /** Resolves when it leads and knows the node from its agent. */
  async untilLeading(timeoutMs = 60_000): Promise<void> {
    await this.untilLogged("leading", timeoutMs);
    await this.untilLogged("an agent connected", timeoutMs, { kind: "status" });
  }

  /** Its metrics in Prometheus' text format. */
  async metrics(): Promise<string> {
    const response = await fetch(`http://${this.address}:${METRICS_PORT}/metrics`, {
      signal: AbortSignal.timeout(5_000),
    });
    return await response.text();
  }

  async reconciles(): Promise<number> {
    return sumOf(await this.metrics(), "controller_runtime_reconcile_total");
  }

  /** Resolves when it has nothing to do, twice in a row: what is under way between two looks shows as a reconcile. */
  async untilIdle(timeoutMs = 30_000): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    for (let last = -1; ; ) {
      const metrics = await this.metrics();
      const isBusy =
        sumOf(metrics, "workqueue_depth") + sumOf(metrics, "controller_runtime_active_workers") > 0;
      const reconciles = sumOf(metrics, "controller_runtime_reconcile_total");
      if (!isBusy && reconciles === last) return;
      if (Date.now() > deadline)
        throw new Error(`the operator was busy for ${timeoutMs} ms:\n${this.tail()}`);
      last = isBusy ? -1 : reconciles;
      await setTimeout(LOOK_MS);
    }
  }

  /** Resident memory in MiB. */
  residentMiB(): number {
    const status = readFileSync(`/proc/${this.#child.pid}/status`, "utf8");
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) / 1024;
  }

  #read(line: string): void {
    let parsed: LogLine;
    try {
      parsed = JSON.parse(line) as LogLine;
    } catch {
      this.#stderr += `${line}\n`;
      return;
    }
    const lines = parsed.level >= WARN ? this.#warnings : this.#news;
    lines.push(parsed);
    if (lines.length > KEPT_LINES) lines.shift();
    for (const waiter of this.#waiters) if (waiter.matches(parsed)) waiter.resolve();
  }
}

/** Sum of a metric's samples whose labels contain `labels`. */
export function sumOf(text: string, name: string, labels = ""): number {
  return text
    .split("\n")
    .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
    .filter((line) => line.includes(labels))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" ") + 1)), 0);
}
