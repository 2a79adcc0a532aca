import { type Clock, systemClock } from "../lib/clock.ts";
import type { LeaderElector } from "./leader-election.ts";
import { type Logger, silentLogger } from "./logger.ts";

/** Something that works until it is told to stop. */
export interface Runnable {
  readonly name: string;
  /** Ends soon after the signal aborts, and not before. */
  run(signal: AbortSignal): Promise<void>;
  /** Resolves when others may build on it. */
  waitForSync?(signal: AbortSignal): Promise<void>;
}

/**
 * In the order of starting: servers answer probes at once; caches are full before anyone reads them;
 * controllers start last, and only while we lead.
 */
export const STAGES = ["servers", "caches", "others", "controllers"] as const;
export type Stage = (typeof STAGES)[number];

export interface ManagerOptions {
  /** Without one, controllers start as if we led. */
  readonly elector?: LeaderElector;
  /** How long a stop may take in all; 30 s unless told, the kubelet's default grace. */
  readonly gracefulShutdownMs?: number;
  /** How long a stage may take to be ready; 2 min unless told. */
  readonly syncTimeoutMs?: number;
  readonly logger?: Logger;
  readonly clock?: Clock;
}

/** Starts everything in order, and stops it in reverse. */
export class Manager {
  readonly #options: ManagerOptions;
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #stages: Readonly<Record<Stage, Group>>;
  #isReady = false;

  constructor(options: ManagerOptions = {}) {
    this.#options = options;
    this.#logger = options.logger ?? silentLogger;
    this.#clock = options.clock ?? systemClock;
    const group = () => new Group(this.#logger);
    this.#stages = { servers: group(), caches: group(), others: group(), controllers: group() };
  }

  /** True once servers, caches and others are ready: a standby is ready too. */
  get isReady(): boolean {
    return this.#isReady;
  }

  add(stage: Stage, ...runnables: readonly Runnable[]): void {
    this.#stages[stage].add(...runnables);
  }

  /**
   * Runs until the signal aborts or something fails, then stops everything.
   * @throws the failure; AggregateError of several; an error that names what did not stop in time
   */
  async run(signal: AbortSignal): Promise<void> {
    const { servers, caches, others, controllers } = this.#stages;
    const failure = Promise.withResolvers<never>();
    failure.promise.catch(() => {});
    for (const stage of STAGES) {
      this.#stages[stage].onFailure = failure.reject;
    }
    const stop = new AbortController();
    const onAbort = () => stop.abort(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) {
      onAbort();
    }
    const errors: unknown[] = [];
    let leading: Promise<void> = Promise.resolve();
    try {
      for (const group of [servers, caches, others]) {
        group.start();
        await Promise.race([this.#waitForSync(group, stop.signal), failure.promise]);
      }
      this.#isReady = true;
      leading = this.#lead(controllers, stop.signal);
      await Promise.race([leading, failure.promise]);
      if (!stop.signal.aborted) {
        throw new Error("the controllers ended without being told to");
      }
    } catch (error) {
      if (!stop.signal.aborted) {
        errors.push(error);
      }
    }
    this.#isReady = false;
    signal.removeEventListener("abort", onAbort);
    stop.abort(errors[0] ?? new Error("the manager stops"));
    await this.#stopAll(leading, errors);
    if (errors.length > 0) {
      throw errors.length === 1 ? errors[0] : new AggregateError(errors, "several parts failed");
    }
  }

  async #lead(controllers: Group, signal: AbortSignal): Promise<void> {
    const { elector } = this.#options;
    const lead = async (term: number, leading: AbortSignal) => {
      this.#logger.info({ term, controllers: controllers.names }, "starting controllers");
      controllers.start();
      await aborted(leading);
      // The lease is released only after this, so no other leader starts beside a controller that still runs.
      await controllers.stop();
    };
    await (elector === undefined ? lead(0, signal) : elector.run(signal, lead));
  }

  async #waitForSync(group: Group, signal: AbortSignal): Promise<void> {
    const { syncTimeoutMs = 120_000 } = this.#options;
    const limit = new AbortController();
    const timer = this.#clock.setTimeout(
      () => limit.abort(new Error(`not ready within ${syncTimeoutMs} ms: ${group.waiting.join(", ")}`)),
      syncTimeoutMs,
    );
    const given = AbortSignal.any([signal, limit.signal]);
    try {
      // A part that does not heed the signal must not hold up the stop.
      await Promise.race([
        group.waitForSync(given),
        aborted(given).then(() => Promise.reject<never>(given.reason)),
      ]);
    } finally {
      timer.cancel();
    }
  }

  async #stopAll(leading: Promise<void>, errors: unknown[]): Promise<void> {
    const { gracefulShutdownMs = 30_000 } = this.#options;
    const late = Promise.withResolvers<never>();
    const timer = this.#clock.setTimeout(() => {
      const names = STAGES.flatMap((stage) => this.#stages[stage].running);
      late.reject(new Error(`not stopped within ${gracefulShutdownMs} ms: ${names.join(", ")}`));
    }, gracefulShutdownMs);
    const { servers, caches, others, controllers } = this.#stages;
    const inReverse = async () => {
      await leading.catch((error: unknown) => void (errors.includes(error) || errors.push(error)));
      for (const group of [controllers, others, caches, servers]) {
        await group.stop();
      }
    };
    try {
      await Promise.race([inReverse(), late.promise]);
    } catch (error) {
      errors.push(error);
    } finally {
      timer.cancel();
    }
  }
}

/** Runnables that start and stop together. */
class Group {
  onFailure: (error: unknown) => void = () => {};
  readonly #logger: Logger;
  readonly #runnables: Runnable[] = [];
  readonly #running = new Map<Runnable, Promise<void>>();
  readonly #ready = new Set<Runnable>();
  readonly #stop = new AbortController();

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  get names(): string[] {
    return this.#runnables.map(({ name }) => name);
  }

  get running(): string[] {
    return [...this.#running.keys()].map(({ name }) => name);
  }

  get waiting(): string[] {
    return this.#runnables.filter((runnable) => !this.#ready.has(runnable)).map(({ name }) => name);
  }

  add(...runnables: readonly Runnable[]): void {
    this.#runnables.push(...runnables);
  }

  start(): void {
    for (const runnable of this.#runnables) {
      this.#running.set(runnable, this.#run(runnable));
    }
  }

  async waitForSync(signal: AbortSignal): Promise<void> {
    await Promise.all(
      this.#runnables.map(async (runnable) => {
        await runnable.waitForSync?.(signal);
        this.#ready.add(runnable);
      }),
    );
  }

  async stop(): Promise<void> {
    this.#stop.abort(new Error("the manager stops"));
    await Promise.all(this.#running.values());
  }

  async #run(runnable: Runnable): Promise<void> {
    const { signal } = this.#stop;
    try {
      await runnable.run(signal);
      if (!signal.aborted) {
        throw new Error(`${runnable.name} ended without being told to`);
      }
    } catch (error) {
      if (signal.aborted) {
        this.#logger.warn({ runnable: runnable.name, err: error }, "failed while stopping");
      } else {
        this.onFailure(error);
      }
    } finally {
      this.#running.delete(runnable);
    }
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    signal.addEventListener("abort", () => resolve(), { once: true });
    if (signal.aborted) {
      resolve();
    }
  });
}
