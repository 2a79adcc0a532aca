import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Clock, Timer } from "../lib/clock.ts";
import { Client } from "./client.ts";
import { anonymous } from "./config.ts";
import { FakeApiServer } from "./fake/server.ts";
import { FakeTransport } from "./fake/transport.ts";
import { LeaderElector } from "./leader-election.ts";
import { LEASES } from "./resources.ts";
import type { Transport, TransportRequest, TransportResponse } from "./transport.ts";

/** One machine's clock: it runs at its own rate, its wall time is off, and its process may be stopped. */
class MachineClock implements Clock {
  readonly #rate: number;
  readonly #timers = new Set<{ readonly dueMs: number; readonly callback: () => void }>();
  #elapsedMs = 0;
  wallOffsetMs = 0;
  stoppedUntilMs = 0;

  constructor(rate: number) {
    this.#rate = rate;
  }

  now(): number {
    return Date.UTC(2026, 0, 1) + this.#elapsedMs + this.wallOffsetMs;
  }

  monotonic(): number {
    return this.#elapsedMs;
  }

  setTimeout(callback: () => void, delayMs: number): Timer {
    const timer = { dueMs: this.#elapsedMs + delayMs, callback };
    this.#timers.add(timer);
    return { cancel: () => void this.#timers.delete(timer) };
  }

  /** Time passes, also while the process is stopped; only its timers wait then. */
  advance(realMs: number): void {
    this.#elapsedMs += realMs * this.#rate;
    if (this.#elapsedMs < this.stoppedUntilMs) {
      return;
    }
    for (const timer of [...this.#timers].sort((a, b) => a.dueMs - b.dueMs)) {
      if (timer.dueMs <= this.#elapsedMs && this.#timers.delete(timer)) {
        timer.callback();
      }
    }
  }
}

type Network = "sound" | "requests lost" | "replies lost" | "requests late" | "replies late";

/** A machine's way to the API server. What is late arrives when the network changes, asked for or not. */
class LossyTransport implements Transport {
  readonly host = "fake";
  readonly #inner: FakeTransport;
  readonly #late: (() => void)[] = [];
  #network: Network = "sound";

  constructor(server: FakeApiServer) {
    this.#inner = new FakeTransport(server);
  }

  set network(network: Network) {
    this.#network = network;
    for (const arrive of this.#late.splice(0)) {
      arrive();
    }
  }

  async send(request: TransportRequest): Promise<TransportResponse> {
    switch (this.#network) {
      case "sound":
        return this.#inner.send(request);
      case "requests lost":
        throw new Error("no route to host");
      case "replies lost":
        await this.#inner.send(request);
        throw new Error("connection reset");
      case "requests late": {
        const never = new AbortController().signal;
        return this.#delay(request.signal, () => this.#inner.send({ ...request, signal: never }));
      }
      case "replies late": {
        const reply = await this.#inner.send(request);
        return this.#delay(request.signal, async () => reply);
      }
    }
  }

  #delay(signal: AbortSignal, arrive: () => Promise<TransportResponse>): Promise<TransportResponse> {
    return new Promise((resolve, reject) => {
      this.#late.push(() => void arrive().then(resolve, reject));
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    });
  }

  close(): Promise<void> {
    return this.#inner.close();
  }
}

/** A process that stands for election again and again. */
class Candidate {
  readonly clock: MachineClock;
  readonly transport: LossyTransport;
  readonly elector: LeaderElector;
  #stop = new AbortController();
  #isOver = false;

  constructor(server: FakeApiServer, identity: string, rate: number, onLead: (term: number) => void) {
    this.clock = new MachineClock(rate);
    this.transport = new LossyTransport(server);
    const client = new Client({
      transport: this.transport,
      credentials: anonymous,
      userAgent: identity,
      clock: this.clock,
      random: () => 0.5,
    });
    const { clock } = this;
    this.elector = new LeaderElector({ client, namespace: "default", name: "lease", identity, clock });
    void this.#run(onLead);
  }

  /** Ends gracefully, releasing the lease, and stands again. */
  resign(): void {
    this.#stop.abort();
  }

  end(): void {
    this.#isOver = true;
    this.#stop.abort();
  }

  async #run(onLead: (term: number) => void): Promise<void> {
    while (!this.#isOver) {
      this.#stop = new AbortController();
      const lead = async (term: number, signal: AbortSignal) => {
        onLead(term);
        if (!signal.aborted) {
          await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
        }
      };
      await this.elector.run(this.#stop.signal, lead).catch(() => {});
    }
  }
}

const TICK_MS = 400;
/** Most trouble is the leader's. */
const who = fc.constantFrom<number | "leader">(0, 1, 2, "leader", "leader", "leader", "leader");
const network = fc.constantFrom<Network>(
  "sound",
  "requests lost",
  "replies lost",
  "requests late",
  "replies late",
);
const trouble = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant("network" as const), network }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant("stop" as const), forMs: fc.integer({ min: 1, max: 30_000 }) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("resign" as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("set the wall clock" as const), offsetMs: fc.integer() }),
  },
);
const step = fc.record({ who, trouble, ticks: fc.constantFrom(0, 1, 2, 5, 10, 20, 40) });

test("two never lead at once and terms only grow, whatever clocks, processes and networks do; and then one leads", async () => {
  // 15 s of one clock outlast 10 s of another as long as their rates differ by less than a half.
  const rates = fc.tuple(...Array.from({ length: 3 }, () => fc.constantFrom(0.85, 1, 1.2)));
  const property = fc.asyncProperty(
    rates,
    fc.array(step, { maxLength: 30, size: "max" }),
    async (rates, steps) => {
      const server = new FakeApiServer({ resources: [LEASES] });
      const terms: number[] = [];
      const candidates = rates.map(
        (rate, index) => new Candidate(server, `candidate-${index}`, rate, (term) => terms.push(term)),
      );
      const leaders = () =>
        candidates.filter(({ elector }) => elector.isLeader).map(({ elector }) => elector.identity);
      const pass = async (ticks: number) => {
        for (let tick = 0; tick < ticks; tick += 1) {
          for (const { clock } of candidates) {
            clock.advance(TICK_MS);
          }
          for (let turn = 0; turn < 4; turn += 1) {
            await new Promise((resolve) => setImmediate(resolve));
            assert.ok(leaders().length <= 1, `${leaders().join(" and ")} lead at once`);
          }
        }
      };
      for (const { who, trouble, ticks } of steps) {
        const leader = candidates.find(({ elector }) => elector.isLeader);
        const candidate = who === "leader" ? leader : candidates[who];
        switch (trouble.do) {
          case "network":
            if (candidate !== undefined) {
              candidate.transport.network = trouble.network;
            }
            break;
          case "stop":
            if (candidate !== undefined) {
              candidate.clock.stoppedUntilMs = candidate.clock.monotonic() + trouble.forMs;
            }
            break;
          case "resign":
            candidate?.resign();
            break;
          case "set the wall clock":
            if (candidate !== undefined) {
              candidate.clock.wallOffsetMs = trouble.offsetMs;
            }
            break;
        }
        await pass(ticks);
      }
      for (const { transport, clock } of candidates) {
        transport.network = "sound";
        clock.stoppedUntilMs = 0;
      }
      await pass(60_000 / TICK_MS);
      assert.equal(leaders().length, 1, "somebody leads once all is well");
      assert.deepEqual(
        terms,
        [...new Set(terms)].sort((a, b) => a - b),
        "each term is newer than the one before",
      );
      for (const candidate of candidates) {
        candidate.end();
      }
      await pass(5);
    },
  );
  await fc.assert(property, { numRuns: 60 });
});
