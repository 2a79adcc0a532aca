import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { FakeClock } from "../lib/fake-clock.ts";
import { FakeApiServer } from "./fake/server.ts";
import { fakeClient } from "./fake/transport.ts";
import { LeaderElector, LeadershipLostError, NotLeadingError } from "./leader-election.ts";
import { microTime, nextStep } from "./lease.ts";
import { type Logger, silentLogger } from "./logger.ts";
import { mergePatch } from "./request.ts";
import { CONFIG_MAPS, LEASES, type Lease } from "./resources.ts";
import { settle, until } from "./testing/turns.ts";

const aborted = (signal: AbortSignal) =>
  new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));

function candidate(
  server: FakeApiServer,
  identity: string,
  clock = new FakeClock(),
  logger: Logger = silentLogger,
) {
  const elector = new LeaderElector({
    client: fakeClient(server, identity),
    namespace: "default",
    name: "lease",
    identity,
    clock,
    logger,
    random: () => 0,
  });
  const stop = new AbortController();
  const terms: number[] = [];
  const run = () =>
    elector.run(stop.signal, async (term, signal) => {
      terms.push(term);
      if (!signal.aborted) {
        await aborted(signal);
      }
    });
  return { elector, clock, stop, terms, run };
}

const newServer = () => new FakeApiServer({ resources: [LEASES, CONFIG_MAPS] });
const leaseOf = (server: FakeApiServer) => server.get(LEASES, "default/lease")?.spec;

describe("the leader elector", () => {
  test("takes a free lease, renews it every 2 s, and releases it at the end so that the next leads at once", async () => {
    const server = newServer();
    const a = candidate(server, "a");
    const runningA = a.run();
    await until(() => a.elector.isLeader);
    assert.deepEqual(
      [leaseOf(server)?.holderIdentity, leaseOf(server)?.leaseDurationSeconds, a.terms],
      ["a", 15, [0]],
    );
    const before = server.writes.length;
    for (let turn = 0; turn < 15; turn += 1) {
      a.clock.advance(2000);
      await until(() => server.writes.length === before + turn + 1);
      await settle(20);
    }
    assert.equal(a.elector.isLeader, true, "30 s later it still leads");
    a.stop.abort();
    await runningA;
    assert.deepEqual([leaseOf(server)?.holderIdentity, leaseOf(server)?.leaseDurationSeconds], ["", 1]);
    const b = candidate(server, "b");
    const runningB = b.run();
    await until(() => b.elector.isLeader);
    assert.deepEqual(b.terms, [1]);
    b.stop.abort();
    await runningB;
  });

  test("leaves a lease alone until it has seen it unchanged for its duration, whatever the holder's clock says", async () => {
    const server = newServer();
    const a = candidate(server, "a", new FakeClock(0));
    const runningA = a.run();
    await until(() => a.elector.isLeader);
    const b = candidate(server, "b");
    const runningB = b.run();
    await settle(20);
    b.clock.advance(2000);
    await settle(20);
    a.clock.advance(2000);
    await settle(20);
    for (let second = 0; second < 14; second += 2) {
      b.clock.advance(2000);
      await settle(20);
      assert.equal(b.elector.isLeader, false);
    }
    for (let tries = 0; tries < 2; tries += 1) {
      b.clock.advance(2000);
      await settle(20);
    }
    await until(() => b.elector.isLeader);
    assert.equal(b.elector.term, 1);
    a.clock.advance(10_000);
    await assert.rejects(runningA, LeadershipLostError);
    b.stop.abort();
    await runningB;
  });

  test("stops leading within the renew deadline when the API server is away", async () => {
    const server = newServer();
    const a = candidate(server, "a");
    const running = a.run();
    await until(() => a.elector.isLeader);
    server.intercept = () => ({ statusCode: 500, text: "away" });
    const lost = assert.rejects(running, LeadershipLostError);
    for (let second = 0; second < 10; second += 2) {
      a.clock.advance(2000);
      await settle(20);
    }
    assert.equal(a.elector.isLeader, false);
    a.clock.advance(2000);
    await lost;
  });

  test("a process that was stopped wakes up not leading, before any timer runs, and its fenced client writes nothing", async () => {
    const server = newServer();
    const a = candidate(server, "a");
    const running = a.run();
    await until(() => a.elector.isLeader);
    const client = fakeClient(server).fenced(() => a.elector.assertLeading());
    await client.resource(CONFIG_MAPS).create({ metadata: { name: "one", namespace: "default" } });
    const wake = a.clock.monotonic() + 20_000;
    a.clock.monotonic = () => wake;
    assert.equal(a.elector.isLeader, false);
    const late = client.resource(CONFIG_MAPS).create({ metadata: { name: "two", namespace: "default" } });
    await assert.rejects(late, NotLeadingError);
    assert.equal(server.get(CONFIG_MAPS, "default/two"), undefined);
    a.stop.abort();
    await running;
    assert.equal(leaseOf(server)?.holderIdentity, "a", "what it no longer holds it does not release");
  });

  test("leads from when it asked, not from when it was answered", async () => {
    const server = newServer();
    const a = candidate(server, "a");
    const running = a.run();
    await until(() => a.elector.isLeader);
    let isSlow = true;
    server.intercept = ({ method }) => {
      if (!isSlow) {
        return { statusCode: 500, text: "away" };
      }
      if (method === "PUT") {
        isSlow = false;
        a.clock.advance(5000);
      }
      return undefined;
    };
    const lost = assert.rejects(running, LeadershipLostError);
    a.clock.advance(2000);
    await settle(20);
    assert.equal(a.clock.monotonic(), 7000);
    a.clock.advance(4999);
    assert.equal(a.elector.isLeader, true);
    a.clock.advance(1);
    assert.equal(a.elector.isLeader, false, "10 s after it asked at 2 s");
    await settle(20);
    a.clock.advance(2000);
    await lost;
  });

  test("gives up at once when it sees another holder", async () => {
    const server = newServer();
    const a = candidate(server, "a");
    const running = a.run();
    await until(() => a.elector.isLeader);
    const thief = mergePatch({ spec: { holderIdentity: "thief" } });
    await fakeClient(server).resource(LEASES).namespace("default").patch("lease", thief);
    const lost = assert.rejects(running, /thief holds it/);
    a.clock.advance(2000);
    await lost;
  });

  test("no longer leads once its release may have been done, however late the answer comes", async () => {
    const server = newServer();
    const a = candidate(server, "a");
    const running = a.run();
    await until(() => a.elector.isLeader);
    const answer = Promise.withResolvers<undefined>();
    let isReleasing = false;
    server.intercept = ({ method }) => {
      isReleasing ||= method === "PUT";
      return method === "PUT" ? answer.promise : undefined;
    };
    a.stop.abort();
    await until(() => isReleasing);
    assert.equal(a.elector.isLeader, false);
    answer.resolve(undefined);
    await running;
    assert.equal(leaseOf(server)?.holderIdentity, "");
  });

  test("when the lease is deleted the leader stops at once, and who saw it held waits its duration", async () => {
    const server = newServer();
    const [a, b] = [candidate(server, "a"), candidate(server, "b")];
    const runningA = a.run();
    await until(() => a.elector.isLeader);
    const runningB = b.run();
    await settle(20);
    await fakeClient(server).resource(LEASES).namespace("default").delete("lease");
    b.clock.advance(2000);
    await settle(20);
    assert.deepEqual([a.elector.isLeader, b.elector.isLeader], [true, false]);
    const lost = assert.rejects(runningA, /nobody holds it/);
    a.clock.advance(2000);
    await lost;
    for (let tries = 0; tries < 8; tries += 1) {
      assert.equal(b.elector.isLeader, false);
      b.clock.advance(2000);
      await settle(20);
    }
    assert.equal(b.elector.isLeader, true);
    b.stop.abort();
    await runningB;
  });

  test("says that it cannot make the lease when its namespace is missing, and goes on trying", async () => {
    const server = newServer();
    const warnings: string[] = [];
    const logger: Logger = {
      ...silentLogger,
      warn: (_, message) => void warnings.push(message),
      child: () => logger,
    };
    const a = candidate(server, "a", new FakeClock(), logger);
    const message = 'namespaces "default" not found';
    server.intercept = ({ method }) =>
      method === "POST"
        ? { statusCode: 404, body: { kind: "Status", code: 404, reason: "NotFound", message } }
        : undefined;
    const running = a.run();
    await until(() => warnings.length === 1);
    server.intercept = undefined;
    a.clock.advance(2000);
    await until(() => a.elector.isLeader);
    a.stop.abort();
    await running;
  });

  test("does not begin to lead by a lease that took longer to get than one may lead by it", async () => {
    const server = newServer();
    const a = candidate(server, "a");
    let isSlow = true;
    server.intercept = ({ method }) => {
      if (method === "POST" && isSlow) {
        isSlow = false;
        a.clock.advance(10_000);
      }
      return undefined;
    };
    const running = a.run();
    await settle(20);
    assert.deepEqual([a.terms, leaseOf(server)?.holderIdentity], [[], "a"]);
    a.clock.advance(2000);
    await until(() => a.terms.length === 1);
    a.stop.abort();
    await running;
  });

  test("a candidate that waits for an answer ends at once when it is told to", async () => {
    const server = newServer();
    const a = candidate(server, "a");
    server.intercept = ({ path }) => (path.includes("leases") ? new Promise<undefined>(() => {}) : undefined);
    const running = a.run();
    await until(() => server.requests.length === 1);
    a.stop.abort();
    await running;
    assert.deepEqual([a.terms, a.clock.pending], [[], 0]);
  });

  test("of two that start together exactly one leads", async () => {
    const server = newServer();
    const both = [candidate(server, "a"), candidate(server, "b")];
    const running = both.map(({ run }) => run());
    await settle(20);
    assert.equal(both.filter(({ elector }) => elector.isLeader).length, 1);
    for (const { stop, clock } of both) {
      stop.abort();
      clock.advance(2000);
    }
    await Promise.all(running);
  });

  test("rejects times that would let two lead", () => {
    const options = { client: fakeClient(newServer()), namespace: "n", name: "l", identity: "i" };
    assert.throws(() => new LeaderElector({ ...options, leaseDurationMs: 10_000 }), RangeError);
    assert.throws(() => new LeaderElector({ ...options, retryPeriodMs: 9000 }), RangeError);
  });
});

test("a lease held by another is never taken before its duration has passed since it was seen to change", () => {
  fc.assert(
    fc.property(
      fc.nat({ max: 60 }),
      fc.nat({ max: 60_000 }),
      fc.nat({ max: 60_000 }),
      (seconds, observedMs, elapsedMs) => {
        const lease = { spec: { holderIdentity: "other", leaseDurationSeconds: seconds } } as Lease;
        const step = nextStep(lease, "me", observedMs, observedMs + elapsedMs, 15_000);
        assert.equal(step, elapsedMs >= Math.max(seconds * 1000, 15_000) ? "take" : "wait");
      },
    ),
  );
  assert.equal(nextStep(undefined, "me", Number.NEGATIVE_INFINITY, 0, 15_000), "create");
  assert.equal(nextStep(undefined, "me", 0, 14_999, 15_000), "wait");
  assert.equal(nextStep({ spec: { holderIdentity: "" } } as Lease, "me", 0, 0, 15_000), "take");
  assert.equal(nextStep({ spec: { holderIdentity: "me" } } as Lease, "me", 0, 0, 15_000), "renew");
  assert.equal(microTime(0), "1970-01-01T00:00:00.000000Z");
});
