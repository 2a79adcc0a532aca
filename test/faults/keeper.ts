/** Keeps one operator running, as the kubelet does: an operator that ends is started anew at once. */
import type { OperatorProcess } from "./operator-process.ts";
import type { Stage } from "./stage.ts";

export interface KeeperOptions {
  /** Which of the stage's places it runs in. */
  readonly index?: number;
  /** Spares the new one the 15 s for which a killed one's lease still stands: nobody else is there to mind it. */
  readonly freesLease?: boolean;
  /** Called before each start. */
  readonly onStart?: () => void;
}

export class Keeper {
  /** How often it was started. */
  starts = 0;
  readonly #stage: Stage;
  readonly #options: KeeperOptions;
  #current: OperatorProcess;
  #isKeeping = true;
  #started = Promise.withResolvers<void>();

  constructor(stage: Stage, options: KeeperOptions = {}) {
    this.#stage = stage;
    this.#options = options;
    this.#current = this.#start();
  }

  /** The one that runs, or is about to be replaced. */
  get operator(): OperatorProcess {
    return this.#current;
  }

  /** As a rollout does: SIGTERM, which frees the lease, then a new one. */
  async restart(): Promise<void> {
    const started = this.#started.promise;
    await this.#current.stop();
    await started;
  }

  /** Resolves when an operator leads and knows the node, whichever one it is by then. */
  async untilLeading(timeoutMs = 60_000): Promise<OperatorProcess> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const operator = this.#current;
      const next = this.#started.promise;
      try {
        await operator.untilLeading(Math.max(1, deadline - Date.now()));
        return operator;
      } catch (error) {
        if (operator.isRunning || !this.#isKeeping || Date.now() > deadline) throw error;
        await next;
      }
    }
  }

  async stop(): Promise<void> {
    this.#isKeeping = false;
    if (this.#current.isRunning) await this.#current.stop();
  }

  #start(): OperatorProcess {
    this.starts++;
    this.#options.onStart?.();
    const operator = this.#stage.start(this.#options.index);
    void operator.ended.then(async () => {
      if (!this.#isKeeping) return;
      if (this.#options.freesLease === true) await this.#stage.freeLease();
      if (!this.#isKeeping) return;
      this.#current = this.#start();
      this.#started.resolve();
      this.#started = Promise.withResolvers();
    });
    return operator;
  }
}
