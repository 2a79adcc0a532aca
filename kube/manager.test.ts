import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { FakeClock } from "../lib/fake-clock.ts";
import { FakeApiServer } from "./fake/server.ts";
import { fakeClient } from "./fake/transport.ts";
import { LeaderElector } from "./leader-election.ts";
import { Manager, type ManagerOptions, type Runnable } from "./manager.ts";
import { LEASES } from "./resources.ts";
import { settle } from "./testing/turns.ts";

function start(options: ManagerOptions = {}) {
  const log: string[] = [];
  const clock = new FakeClock();
  const manager = new Manager({ clock, ...options });
  const stop = new AbortController();
  const part = (name: string, extra: Partial<Runnable> = {}): Runnable => ({
    name,
    run: (signal) => {
      log.push(`+${name}`);
      return new Promise((resolve) => {
        const end = () => {
          log.push(`-${name}`);
          resolve();
        };
        signal.addEventListener("abort", end, { once: true });
      });
    },
    ...extra,
  });
  return { log, clock, manager, stop, part };
}

describe("the manager", () => {
  test("starts servers, caches, others, controllers, each when the one before is ready, and stops in reverse", async () => {
    const it = start();
    const filled = Promise.withResolvers<void>();
    it.manager.add("controllers", it.part("controller"));
    it.manager.add("others", it.part("other"));
    it.manager.add("caches", it.part("cache", { waitForSync: () => filled.promise }));
    it.manager.add("servers", it.part("server"));
    const running = it.manager.run(it.stop.signal);
    await settle();
    assert.deepEqual([it.log, it.manager.isReady], [["+server", "+cache"], false]);
    filled.resolve();
    await settle();
    assert.deepEqual([it.log.slice(2), it.manager.isReady], [["+other", "+controller"], true]);
    it.stop.abort();
    await running;
    assert.deepEqual(it.log.slice(4), ["-controller", "-other", "-cache", "-server"]);
    assert.deepEqual([it.clock.pending, it.manager.isReady], [0, false]);
  });

  test("stops everything when one part fails or ends by itself, and throws why", async () => {
    const it = start();
    const failing = Promise.withResolvers<void>();
    it.manager.add("servers", it.part("server"));
    it.manager.add("others", it.part("other", { run: () => failing.promise }));
    const running = it.manager.run(it.stop.signal);
    await settle();
    failing.reject(new Error("port taken"));
    await assert.rejects(running, /port taken/);
    assert.deepEqual(it.log, ["+server", "-server"]);
    const quitter = start();
    quitter.manager.add("others", quitter.part("quitter", { run: async () => {} }));
    await assert.rejects(quitter.manager.run(quitter.stop.signal), /quitter ended without being told to/);
  });

  test("names the caches that do not fill in time", async () => {
    const it = start({ syncTimeoutMs: 1000 });
    const waitForSync = (signal: AbortSignal) =>
      new Promise<void>((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    it.manager.add(
      "caches",
      it.part("pods", { waitForSync }),
      it.part("nodes", { waitForSync: async () => {} }),
    );
    const running = it.manager.run(it.stop.signal);
    await settle();
    it.clock.advance(1000);
    await assert.rejects(running, /not ready within 1000 ms: pods$/);
  });

  test("stops while a part is not ready that heeds no signal", { timeout: 5000 }, async () => {
    const it = start();
    it.manager.add("caches", it.part("deaf", { waitForSync: () => new Promise(() => {}) }));
    const running = it.manager.run(it.stop.signal);
    await settle();
    it.stop.abort();
    await running;
    assert.deepEqual(it.log, ["+deaf", "-deaf"]);
    assert.equal(it.clock.pending, 0);
  });

  test("gives up on a part that does not stop, after the grace, and names it", async () => {
    const it = start({ gracefulShutdownMs: 30_000 });
    it.manager.add("others", it.part("stuck", { run: () => new Promise(() => {}) }));
    const running = it.manager.run(it.stop.signal);
    await settle();
    it.stop.abort();
    await settle();
    it.clock.advance(30_000);
    await assert.rejects(running, /not stopped within 30000 ms: stuck/);
  });

  test("starts controllers only while leading, stops them before it lets go of the lease, and fails when it loses it", async () => {
    const server = new FakeApiServer({ resources: [LEASES] });
    const clock = new FakeClock();
    const client = fakeClient(server);
    const make = (identity: string) =>
      new LeaderElector({ client, namespace: "default", name: "l", identity, clock, random: () => 0 });
    const holder = () => server.get(LEASES, "default/l")?.spec?.holderIdentity;
    const first = start({ elector: make("first"), clock });
    first.manager.add("controllers", {
      name: "controller",
      run: async (signal) => {
        await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
        first.log.push(`stopped while ${holder()} leads`);
      },
    });
    const second = start({ elector: make("second"), clock });
    second.manager.add("controllers", second.part("controller"));
    const runningFirst = first.manager.run(first.stop.signal);
    await settle();
    const runningSecond = second.manager.run(second.stop.signal);
    await settle();
    assert.deepEqual([second.log, second.manager.isReady], [[], true], "a standby is ready and does nothing");
    first.stop.abort();
    await runningFirst;
    assert.deepEqual(first.log, ["stopped while first leads"]);
    clock.advance(2000);
    await settle();
    assert.deepEqual(second.log, ["+controller"]);
    server.intercept = () => ({ statusCode: 503, text: "away" });
    const lost = assert.rejects(runningSecond, /leadership lost/);
    for (let tries = 0; tries < 6; tries += 1) {
      clock.advance(2000);
      await settle();
    }
    await lost;
    assert.deepEqual(second.log, ["+controller", "-controller"]);
  });
});
