import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { FakeClock } from "../lib/fake-clock.ts";
import { QueueMetrics } from "./queue-metrics.ts";
import {
  BucketRateLimiter,
  ItemExponentialFailureRateLimiter,
  ItemFastSlowRateLimiter,
  MaxOfRateLimiter,
} from "./rate-limiter.ts";
import { LOW_PRIORITY, type QueueItem, WorkQueue } from "./workqueue.ts";

const newQueue = (clock = new FakeClock()) => ({ clock, queue: new WorkQueue({ clock }) });

/** Takes and ends all that is ready, in order. */
function drain(queue: WorkQueue): string[] {
  const keys: string[] = [];
  for (let item = queue.tryGet(); item !== undefined; item = queue.tryGet()) {
    keys.push(item.key);
    queue.done(item.key);
  }
  return keys;
}

describe("the work queue", () => {
  test("merges adds of one key and hands keys out first come first served", () => {
    const { queue } = newQueue();
    for (const key of ["a", "b", "a", "c", "b"]) {
      queue.add(key);
    }
    assert.equal(queue.length, 3);
    assert.deepEqual(drain(queue), ["a", "b", "c"]);
  });

  test("runs a key once more, and only after done, when it was added while processing", () => {
    const { queue } = newQueue();
    queue.add("a");
    assert.equal(queue.tryGet()?.key, "a");
    queue.add("a");
    queue.add("a");
    assert.equal(queue.tryGet(), undefined);
    queue.done("a");
    assert.deepEqual(drain(queue), ["a"]);
  });

  test("takes higher priorities first, and a raised key leaves its old place", () => {
    const { queue } = newQueue();
    queue.add("restart-1", { priority: LOW_PRIORITY });
    queue.add("restart-2", { priority: LOW_PRIORITY });
    queue.add("user");
    queue.add("restart-2", { priority: 5 });
    queue.add("user", { priority: LOW_PRIORITY });
    assert.deepEqual(drain(queue), ["restart-2", "user", "restart-1"]);
    assert.equal(queue.length, 0);
  });

  test("a run's priority does not stick to the next run of its key", () => {
    const { queue } = newQueue();
    queue.add("a", { priority: 10 });
    queue.tryGet();
    queue.add("a", { priority: LOW_PRIORITY });
    queue.add("b");
    queue.done("a");
    assert.deepEqual(drain(queue), ["b", "a"]);
  });

  test("keeps the earliest time of a delayed key, and an add makes it ready at once", () => {
    const { clock, queue } = newQueue();
    queue.addAfter("a", 1000);
    queue.addAfter("a", 500);
    queue.addAfter("a", 2000);
    queue.addAfter("b", 700);
    clock.advance(499);
    assert.deepEqual(drain(queue), []);
    clock.advance(1);
    assert.deepEqual(drain(queue), ["a"]);
    queue.add("b");
    assert.deepEqual(drain(queue), ["b"]);
    clock.advance(5000);
    assert.deepEqual(drain(queue), []);
    assert.equal(clock.pending, 0);
  });

  test("a delay of nothing is none", () => {
    const { clock, queue } = newQueue();
    queue.addAfter("none", 0);
    queue.addAfter("past", -1, { priority: 1 });
    assert.deepEqual([drain(queue), clock.pending], [["past", "none"], 0]);
  });

  test("a delay that ends while its key is processing makes it run again after done", () => {
    const { clock, queue } = newQueue();
    queue.add("a");
    queue.tryGet();
    queue.addAfter("a", 100);
    clock.advance(100);
    assert.equal(queue.tryGet(), undefined);
    queue.done("a");
    assert.deepEqual(drain(queue), ["a"]);
  });

  test("adds of one turn make one run, the most urgent first, for those who wait as well", async () => {
    const { queue } = newQueue();
    const first = queue.get();
    queue.add("a", { priority: LOW_PRIORITY });
    queue.add("b");
    queue.add("b");
    assert.equal((await first)?.key, "b");
    queue.done("b");
    assert.deepEqual(drain(queue), ["a"]);
  });

  test("a waiting get receives the next key, and undefined at shutdown", async () => {
    const { queue } = newQueue();
    const first = queue.get();
    const second = queue.get();
    queue.add("a");
    assert.equal((await first)?.key, "a");
    queue.shutDown();
    assert.equal(await second, undefined);
  });

  test("after shutdown it takes nothing new, drops what is delayed and still hands out what is ready", async () => {
    const { clock, queue } = newQueue();
    queue.add("ready");
    queue.addAfter("delayed", 10);
    queue.shutDown();
    queue.add("late");
    queue.addAfter("later", 1);
    clock.advance(100);
    assert.equal((await queue.get())?.key, "ready");
    assert.equal(await queue.get(), undefined);
    assert.equal(clock.pending, 0);
  });

  test("hands a key added in the turn of the shutdown to who waits for one, so that a drain can end", async () => {
    const { queue } = newQueue();
    const [first, second] = [queue.get(), queue.get()];
    queue.add("a");
    const drained = queue.shutDownWithDrain();
    assert.equal((await first)?.key, "a");
    assert.equal(await second, undefined);
    queue.done("a");
    await drained;
  });

  test("a drain ends when the last key is done, dirty ones included, or when its signal aborts", async () => {
    const { queue } = newQueue();
    queue.add("a");
    queue.tryGet();
    queue.add("a");
    let isDrained = false;
    const drained = queue.shutDownWithDrain().then(() => {
      isDrained = true;
    });
    queue.done("a");
    await Promise.resolve();
    assert.equal(isDrained, false);
    assert.deepEqual(drain(queue), ["a"]);
    await drained;
    const stuck = newQueue().queue;
    stuck.add("b");
    await stuck.shutDownWithDrain(AbortSignal.abort());
  });

  test("retries wait 5 ms, 10 ms, 20 ms … until the key is forgotten", () => {
    const clock = new FakeClock();
    const queue = new WorkQueue({ clock, rateLimiter: new ItemExponentialFailureRateLimiter() });
    for (const delayMs of [5, 10, 20]) {
      queue.addRateLimited("a");
      assert.equal(clock.nextInMs, delayMs);
      clock.advance(delayMs);
      assert.deepEqual(drain(queue), ["a"]);
    }
    assert.equal(queue.retries("a"), 3);
    queue.forget("a");
    queue.addRateLimited("a");
    assert.equal(clock.nextInMs, 5);
  });

  test("counts adds that merge as one, and the wait for a key's own run to end as waiting", () => {
    const clock = new FakeClock();
    const metrics = new QueueMetrics();
    const queue = new WorkQueue({ clock, metrics });
    queue.add("a");
    queue.add("a");
    queue.tryGet();
    queue.add("a");
    queue.add("a");
    clock.advance(2000);
    queue.done("a");
    clock.advance(1000);
    queue.tryGet();
    assert.deepEqual([metrics.adds, metrics.queueSeconds.sum, metrics.workSeconds.sum], [2, 3, 2]);
  });

  test("counts adds, retries, waits and the work in progress", () => {
    const clock = new FakeClock();
    const metrics = new QueueMetrics();
    const queue = new WorkQueue({ clock, metrics });
    queue.add("a");
    queue.add("b", { priority: LOW_PRIORITY });
    clock.advance(2000);
    queue.tryGet();
    clock.advance(3000);
    const { depth, longestSeconds, unfinishedSeconds } = metrics.observe();
    assert.deepEqual(
      [depth.get(0), depth.get(LOW_PRIORITY), longestSeconds, unfinishedSeconds],
      [0, 1, 3, 3],
    );
    queue.done("a");
    assert.deepEqual([metrics.adds, metrics.queueSeconds.sum, metrics.workSeconds.sum], [2, 2, 3]);
  });
});

type Command =
  | {
      readonly do: "add" | "addAfter";
      readonly key: string;
      readonly priority: number;
      readonly delayMs: number;
    }
  | { readonly do: "tryGet" | "get" | "shutDown" }
  | { readonly do: "done"; readonly key: string }
  | { readonly do: "advance"; readonly ms: number };

const key = fc.constantFrom("a", "b", "c", "d");
const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constantFrom("add" as const, "addAfter" as const),
      key,
      priority: fc.integer({ min: -1, max: 1 }),
      delayMs: fc.integer({ min: 1, max: 20 }),
    }),
  },
  { weight: 8, arbitrary: fc.record({ do: fc.constantFrom("tryGet" as const, "get" as const) }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant("done" as const), key }) },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant("advance" as const), ms: fc.integer({ min: 1, max: 10 }) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("shutDown" as const) }) },
);

/** The contract in its plainest words: for each key when it may run, at what priority, and in what order. */
class Model {
  nowMs = 0;
  isShuttingDown = false;
  #turn = 0;
  readonly wanted = new Map<string, { dueMs: number; priority: number; turn: number | undefined }>();
  readonly processing = new Set<string>();

  want(key: string, priority: number, dueMs: number): void {
    if (this.isShuttingDown) {
      return;
    }
    const known = this.wanted.get(key);
    if (known === undefined) {
      this.wanted.set(key, { dueMs, priority, turn: undefined });
    } else {
      if (priority > known.priority) {
        known.priority = priority;
        known.turn = known.turn === undefined ? undefined : this.#turn++;
      }
      known.dueMs = Math.min(known.dueMs, dueMs);
    }
    this.settle();
  }

  /** Gives a turn to what has become ready, earliest first. */
  settle(): void {
    const ready = [...this.wanted]
      .filter(
        ([key, item]) => item.turn === undefined && item.dueMs <= this.nowMs && !this.processing.has(key),
      )
      .sort(([, a], [, b]) => a.dueMs - b.dueMs);
    for (const [, item] of ready) {
      item.turn = this.#turn++;
    }
  }

  /** What is not due by now never comes; what waits for its key's own run does. */
  shutDown(): void {
    this.isShuttingDown = true;
    for (const [key, item] of this.wanted) {
      if (item.dueMs > this.nowMs) {
        this.wanted.delete(key);
      }
    }
  }

  get ready(): string[] {
    return [...this.wanted].filter(([, item]) => item.turn !== undefined).map(([key]) => key);
  }

  /** The key that comes next, of the highest priority. Ties in due time leave the order open. */
  next(): string | undefined {
    const item = (key: string) => this.wanted.get(key) ?? assert.fail();
    return this.ready.sort(
      (a, b) => item(b).priority - item(a).priority || (item(a).turn ?? 0) - (item(b).turn ?? 0),
    )[0];
  }

  /** Checks what the queue handed out against what may come next. */
  take(got: QueueItem | undefined): void {
    const expected = this.next();
    assert.equal(got === undefined, expected === undefined);
    if (got === undefined || expected === undefined) {
      return;
    }
    const due = this.wanted.get(expected);
    const item = this.wanted.get(got.key);
    assert.equal(got.priority, due?.priority, "the highest priority goes first");
    assert.ok(!this.processing.has(got.key), "no key twice at once");
    assert.ok(item !== undefined && item.dueMs <= this.nowMs, "no key before its time");
    // Keys due in the same ms have no order among themselves.
    assert.ok(got.key === expected || item.dueMs === due?.dueMs, `${got.key} came before ${expected}`);
    this.wanted.delete(got.key);
    this.processing.add(got.key);
  }
}

test("the work queue does what its model does, whatever the order of calls", async () => {
  // Without a size fast-check makes short arrays, however long they may be.
  const turn = fc.array(command, { minLength: 1, maxLength: 4 });
  const turns = fc.array(turn, { maxLength: 30, size: "max" });
  const property = fc.asyncProperty(turns, async (steps) => {
    const { clock, queue } = newQueue();
    const model = new Model();
    const handedOut: (QueueItem | undefined)[] = [];
    let waiting = 0;
    /** Of those waiting, how many a shutdown must leave without a key. */
    let sentAway = 0;
    let isDrained = false;
    const run = (step: Command) => {
      switch (step.do) {
        case "add":
          queue.add(step.key, { priority: step.priority });
          model.want(step.key, step.priority, model.nowMs);
          break;
        case "addAfter":
          queue.addAfter(step.key, step.delayMs, { priority: step.priority });
          model.want(step.key, step.priority, model.nowMs + step.delayMs);
          break;
        case "done":
          queue.done(step.key);
          model.processing.delete(step.key);
          model.settle();
          break;
        case "advance":
          // One ms at a time, so that due times never tie by rounding.
          for (let ms = 0; ms < step.ms; ms += 1) {
            clock.advance(1);
            model.nowMs += 1;
            model.settle();
          }
          break;
        case "tryGet":
          // Who waits comes first, at the end of the turn.
          if (waiting === 0) {
            model.take(queue.tryGet());
          }
          break;
        case "get":
          if (model.next() === undefined && !model.isShuttingDown) {
            waiting += 1;
            void queue.get().then((item) => handedOut.push(item));
          }
          break;
        case "shutDown":
          void queue.shutDownWithDrain().then(() => {
            isDrained = true;
          });
          sentAway += Math.max(0, waiting - sentAway - model.ready.length);
          model.shutDown();
          break;
      }
    };
    const settle = async () => {
      await new Promise((resolve) => setImmediate(resolve));
      for (const item of handedOut.splice(0)) {
        waiting -= 1;
        if (item === undefined) {
          sentAway -= 1;
          assert.ok(sentAway >= 0, "only a shutdown sends away");
        } else {
          model.take(item);
        }
      }
      if (waiting > 0) {
        assert.deepEqual(model.ready, [], "nobody waits while a key is ready");
        assert.equal(model.isShuttingDown, false, "a shutdown ends the waiting");
      }
      assert.equal(queue.length, model.ready.length);
      const isIdle = model.wanted.size === 0 && model.processing.size === 0;
      assert.equal(isDrained, model.isShuttingDown && isIdle);
    };
    for (const turn of steps) {
      for (const step of turn) {
        run(step);
        if (step.do === "shutDown") {
          // It hands out what is ready there and then.
          await settle();
        }
      }
      await settle();
    }
  });
  await fc.assert(property, { numRuns: 500 });
});

describe("rate limiters", () => {
  test("an item's wait doubles up to 1000 s and no further", () => {
    const limiter = new ItemExponentialFailureRateLimiter();
    const waits = Array.from({ length: 40 }, () => limiter.when("a"));
    assert.deepEqual(waits.slice(0, 4), [5, 10, 20, 40]);
    assert.equal(waits.at(-1), 1_000_000);
    assert.equal(limiter.when("b"), 5);
  });

  test("a bucket lets its burst through and then spaces calls evenly", () => {
    const clock = new FakeClock();
    const bucket = new BucketRateLimiter(10, 3, clock);
    assert.deepEqual(
      Array.from({ length: 5 }, () => bucket.when("any")),
      [0, 0, 0, 100, 200],
    );
    clock.advance(1000);
    assert.equal(bucket.when("any"), 0);
  });

  test("fast-slow turns slow, and max-of takes the longest wait and forgets everywhere", () => {
    const fastSlow = new ItemFastSlowRateLimiter(5, 1000, 2);
    const both = new MaxOfRateLimiter(new ItemExponentialFailureRateLimiter(7, 7), fastSlow);
    assert.deepEqual([both.when("a"), both.when("a"), both.when("a")], [7, 7, 1000]);
    assert.equal(both.retries("a"), 3);
    both.forget("a");
    assert.equal(both.retries("a"), 0);
    assert.equal(both.when("a"), 7);
  });
});
