import { type Clock, sleep, systemClock } from "../lib/clock.ts";
import type { Client } from "./client.ts";
import { AlreadyExistsError, ConflictError, ignoreNotFound, KubeError, NotFoundError } from "./errors.ts";
import { heldSpec, nextStep, releasedSpec } from "./lease.ts";
import { type Logger, silentLogger } from "./logger.ts";
import { KubeMetrics } from "./metrics.ts";
import type { ResourceClient } from "./resource-client.ts";
import { LEASES, type Lease } from "./resources.ts";

export interface LeaderElectorOptions {
  /** Must not be fenced by this elector. */
  readonly client: Client;
  readonly namespace: string;
  /** Name of the Lease. */
  readonly name: string;
  /** Unique per process, not per host: "pod name_random". */
  readonly identity: string;
  /** How long others leave the lease alone after its last change; 15 s unless told. */
  readonly leaseDurationMs?: number;
  /** How long we lead without a successful renewal; 10 s unless told. */
  readonly renewDeadlineMs?: number;
  /** Pause between two tries; 2 s unless told. */
  readonly retryPeriodMs?: number;
  readonly logger?: Logger;
  readonly metrics?: KubeMetrics;
  readonly clock?: Clock;
  readonly random?: () => number;
}

/** Leadership ended without our will. The process had better start anew. */
export class LeadershipLostError extends KubeError {
  override readonly code = "KUBE_LEADERSHIP_LOST";
}

/** A write was about to happen without leadership. */
export class NotLeadingError extends KubeError {
  override readonly code = "KUBE_NOT_LEADING";
}

/** client-go's JitterFactor: candidates do not knock at the same moment. */
const JITTER = 1.2;

/** Sees to it that one of several processes leads, by a Lease, with client-go's times. */
export class LeaderElector {
  readonly name: string;
  readonly identity: string;
  readonly #leases: ResourceClient<Lease>;
  readonly #namespace: string;
  readonly #leaseDurationMs: number;
  readonly #renewDeadlineMs: number;
  readonly #retryPeriodMs: number;
  readonly #logger: Logger;
  readonly #metrics: KubeMetrics;
  readonly #clock: Clock;
  readonly #random: () => number;
  #lease: Lease | undefined;
  #observedMs = Number.NEGATIVE_INFINITY;
  /** When the request of the last successful renewal was sent; undefined while another leads. */
  #renewedMs: number | undefined;
  #term = -1;

  /** @throws RangeError unless lease duration > renew deadline > retry period * 1.2 */
  constructor(options: LeaderElectorOptions) {
    const { leaseDurationMs = 15_000, renewDeadlineMs = 10_000, retryPeriodMs = 2000 } = options;
    if (!(leaseDurationMs > renewDeadlineMs && renewDeadlineMs > retryPeriodMs * JITTER)) {
      throw new RangeError(
        `leader election: lease ${leaseDurationMs} > renew deadline ${renewDeadlineMs} > retry ${retryPeriodMs} * ${JITTER} must hold`,
      );
    }
    this.name = options.name;
    this.identity = options.identity;
    this.#namespace = options.namespace;
    this.#leases = options.client.resource(LEASES).namespace(options.namespace);
    this.#leaseDurationMs = leaseDurationMs;
    this.#renewDeadlineMs = renewDeadlineMs;
    this.#retryPeriodMs = retryPeriodMs;
    this.#logger = (options.logger ?? silentLogger).child({ lease: `${options.namespace}/${options.name}` });
    this.#metrics = options.metrics ?? new KubeMetrics();
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
    this.#metrics.leading(this.name, false, 0);
  }

  /** True while we lead, by the clock and not by a timer: a process that was stopped wakes up not leading. */
  get isLeader(): boolean {
    return this.#remainingMs() > 0;
  }

  /** The Lease's leaseTransitions when we began to lead: grows with each leader. -1 before the first time. */
  get term(): number {
    return this.#term;
  }

  /** Who leads, as last seen; "" when nobody does. */
  get holder(): string {
    return this.#lease?.spec?.holderIdentity ?? "";
  }

  /**
   * To be called before each write that only the leader may do; see `Client.fenced`.
   * @throws NotLeadingError
   */
  assertLeading(): void {
    if (!this.isLeader) {
      throw new NotLeadingError(`lease ${this.#namespace}/${this.name}: ${this.identity} does not lead`);
    }
  }

  /**
   * Waits until we lead, then runs `lead` and renews the lease until it ends; then releases the lease.
   * @param lead gets the term, and a signal that aborts when `signal` does or leadership is lost; it must end then
   * @throws LeadershipLostError when the lease could not be renewed in time; whatever `lead` throws
   */
  async run(signal: AbortSignal, lead: (term: number, signal: AbortSignal) => Promise<void>): Promise<void> {
    if (!(await this.#acquire(signal))) {
      return;
    }
    const leading = new AbortController();
    const onAbort = () => leading.abort(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) {
      onAbort();
    }
    const released = new AbortController();
    const renewing = this.#renew(released.signal).catch((error: unknown) => {
      leading.abort(error);
      return error;
    });
    let lost: unknown;
    try {
      await lead(this.#term, leading.signal);
    } finally {
      signal.removeEventListener("abort", onAbort);
      released.abort();
      lost = await renewing;
      if (lost === undefined) {
        await this.#release();
      }
      this.#renewedMs = undefined;
      this.#metrics.leading(this.name, false, this.#term);
    }
    if (lost !== undefined) {
      throw lost;
    }
  }

  /** False when the signal aborted before we led. */
  async #acquire(signal: AbortSignal): Promise<boolean> {
    while (!signal.aborted) {
      try {
        // A try may take so long that what it acquired is over.
        if ((await this.#try(this.#renewDeadlineMs, signal)) && this.isLeader) {
          this.#logger.info({ identity: this.identity, term: this.#term }, "leading");
          this.#metrics.leading(this.name, true, this.#term);
          return true;
        }
      } catch (error) {
        if (!signal.aborted) {
          this.#logger.warn({ err: error }, "could not acquire the lease; trying again");
        }
      }
      await this.#pause(signal);
    }
    return false;
  }

  /** Renews until `signal` aborts. @throws LeadershipLostError */
  async #renew(signal: AbortSignal): Promise<void> {
    for (;;) {
      await this.#pause(signal, this.#remainingMs());
      if (signal.aborted) {
        return;
      }
      let cause: unknown;
      try {
        const remainingMs = this.#remainingMs();
        // Not aborted by `signal`: a renewal cut off would leave the release without the lease's version.
        if (remainingMs > 0 && (await this.#try(remainingMs))) {
          continue;
        }
      } catch (error) {
        cause = error;
        this.#logger.warn({ err: error }, "could not renew the lease; trying again");
      }
      if (!this.isLeader) {
        this.#renewedMs = undefined;
        this.#metrics.leading(this.name, false, this.#term);
        const now =
          this.holder === this.identity ? "nobody answered in time" : `${this.holder || "nobody"} holds it`;
        throw new LeadershipLostError(`lease ${this.#namespace}/${this.name}: leadership lost: ${now}`, {
          cause,
        });
      }
    }
  }

  /** One try to acquire or renew. True when we lead after it. */
  async #try(timeoutMs: number, signal?: AbortSignal): Promise<boolean> {
    const options = { timeoutMs, ...(signal !== undefined && { signal }) };
    const sentMs = this.#clock.monotonic();
    const isLeading = this.#renewedMs !== undefined;
    // A leader knows the lease: it wrote it. Anyone else's write shows as a conflict.
    if (!isLeading || this.#lease === undefined) {
      this.#observe(await this.#leases.get(this.name, options).catch(ignoreNotFound));
    }
    const step = nextStep(this.#lease, this.identity, this.#observedMs, sentMs, this.#leaseDurationMs);
    if (step === "wait") {
      return false;
    }
    try {
      const spec = heldSpec(this.#lease, {
        identity: this.identity,
        isLeading,
        durationMs: this.#leaseDurationMs,
        epochMs: this.#clock.now(),
      });
      const metadata = { name: this.name, namespace: this.#namespace };
      this.#observe(
        this.#lease === undefined
          ? await this.#leases.create({ metadata, spec }, options)
          : await this.#leases.update({ ...this.#lease, spec }, options),
      );
    } catch (error) {
      const isStale = error instanceof ConflictError || error instanceof AlreadyExistsError;
      // Without a lease, what was not found is the namespace.
      const isGone = error instanceof NotFoundError && this.#lease !== undefined;
      if (isStale || isGone) {
        // Our own write may have got through with its answer lost; what the lease says decides.
        this.#observe(await this.#leases.get(this.name, options).catch(ignoreNotFound));
        return false;
      }
      throw error;
    }
    if (!isLeading) {
      this.#term = this.#lease?.spec?.leaseTransitions ?? 0;
    }
    this.#renewedMs = sentMs;
    return true;
  }

  /** Lets the next candidate take over at once. Failing that, the lease runs out by itself. */
  async #release(): Promise<void> {
    const lease = this.#lease;
    if (lease === undefined || !this.isLeader) {
      return;
    }
    // Before the request: once it is done another may lead, whenever the answer comes.
    this.#renewedMs = undefined;
    const spec = releasedSpec(lease, this.#clock.now());
    try {
      this.#observe(await this.#leases.update({ ...lease, spec }, { timeoutMs: this.#renewDeadlineMs }));
      this.#logger.info({ identity: this.identity }, "released the lease");
    } catch (error) {
      this.#logger.warn({ err: error }, "could not release the lease; it runs out by itself");
    }
  }

  #observe(lease: Lease | undefined): void {
    if (lease?.metadata.resourceVersion !== this.#lease?.metadata.resourceVersion) {
      this.#observedMs = this.#clock.monotonic();
    }
    this.#lease = lease;
    if (this.holder !== this.identity) {
      this.#renewedMs = undefined;
    }
  }

  /** How long we lead yet; 0 or less when we do not. */
  #remainingMs(): number {
    return this.#renewedMs === undefined
      ? 0
      : this.#renewedMs + this.#renewDeadlineMs - this.#clock.monotonic();
  }

  /** Waits the retry period with its jitter, but not past `maxMs`. */
  async #pause(signal: AbortSignal, maxMs = Number.POSITIVE_INFINITY): Promise<void> {
    const delayMs = Math.min(maxMs, this.#retryPeriodMs * (1 + (JITTER - 1) * this.#random()));
    await sleep(delayMs, { clock: this.#clock, signal }).catch(() => {});
  }
}
