import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FakeClock } from "../../lib/fake-clock.ts";
import type { DomainFact } from "./events.ts";
import { type Daemon, type DomainConnection, Supervisor } from "./supervisor.ts";

class FakeDaemon implements Daemon {
  readonly #exit = Promise.withResolvers<void>();
  readonly exited = this.#exit.promise;
  isStopped = false;

  die = () => this.#exit.resolve();
  stop = () => {
    this.isStopped = true;
  };
}

class FakeConnection implements DomainConnection {
  readonly #close = Promise.withResolvers<void>();
  readonly closed = this.#close.promise;
  state: DomainFact = { kind: "running" };
  tell: (fact: DomainFact) => void = () => {};

  listen = async (onFact: (fact: DomainFact) => void) => {
    this.tell = onFact;
  };
  readState = async () => this.state;
  machineType = async () => "pc-q35-10.0";
  create = async () => {};
  acpiShutdown = async () => {};
  destroy = async () => {};
  pause = async () => {};
  resume = async () => {};
  reset = async () => {};
  softReboot = async () => {};
  statistics = async () => ({ cpu: { seconds: 0, userSeconds: 0, systemSeconds: 0 }, vcpus: [], memory: {} });
  close = () => this.#close.resolve();
}

function bench(options: { readonly failures?: number } = {}) {
  const told: string[] = [];
  const daemons: FakeDaemon[] = [];
  const connections: FakeConnection[] = [];
  const clock = new FakeClock();
  const quiet = () => {};
  let failures = options.failures ?? 0;
  let nextState: DomainFact = { kind: "running" };
  const supervisor = new Supervisor({
    startDaemon: async () => {
      const daemon = new FakeDaemon();
      daemons.push(daemon);
      return daemon;
    },
    connect: async () => {
      if (failures-- > 0) throw new Error("connection refused");
      const connection = new FakeConnection();
      connection.state = nextState;
      connections.push(connection);
      return connection;
    },
    listener: {
      onReady: () => told.push("ready"),
      onFailed: (error) => told.push(`failed ${(error as Error).message}`),
      onFact: (fact) => told.push(fact.kind),
      onReconnected: () => told.push("reconnected"),
    },
    clock,
    log: { debug: quiet, info: quiet, warn: quiet, error: quiet, fatal: quiet },
  });
  const fail = (count: number) => {
    failures = count;
  };
  const leave = (state: DomainFact) => {
    nextState = state;
  };
  return { supervisor, told, daemons, connections, clock, fail, leave };
}

function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

async function passTime(clock: FakeClock): Promise<void> {
  clock.advance(10_000);
  await settle();
}

describe("the supervisor of libvirtd", () => {
  it("tells that libvirtd is ready, without asking for a domain that can't be there", async () => {
    const { supervisor, told, connections } = bench();
    supervisor.run();
    await settle();
    connections[0]?.tell({ kind: "running" });
    assert.deepEqual(told, ["ready", "running"]);
  });

  it("fails the start when the first connection fails", async () => {
    const { supervisor, told, clock } = bench({ failures: 1 });
    supervisor.run();
    await settle();
    await passTime(clock);
    assert.deepEqual(told, ["failed connection refused"]);
  });

  it("starts libvirtd again when it dies, listens, and tells the state that it reads", async () => {
    const { supervisor, told, daemons, connections, clock } = bench();
    supervisor.run();
    await settle();
    daemons[0]?.die();
    connections[0]?.close();
    await settle();
    await assert.rejects(supervisor.acpiShutdown(), { code: "LibvirtUnavailable" });
    await passTime(clock);
    assert.equal(daemons.length, 2);
    assert.deepEqual(told, ["ready", "running", "reconnected"]);
    await supervisor.acpiShutdown();
  });

  it("connects again to a libvirtd that still runs without starting another", async () => {
    const { supervisor, daemons, connections, clock } = bench();
    supervisor.run();
    await settle();
    connections[0]?.close();
    await settle();
    await passTime(clock);
    assert.deepEqual([daemons.length, connections.length], [1, 2]);
  });

  it("tells of a domain that is gone when libvirtd is back", async () => {
    const { supervisor, told, connections, clock, leave } = bench();
    supervisor.run();
    await settle();
    leave({ kind: "gone", how: "unknown" });
    connections[0]?.close();
    await settle();
    await passTime(clock);
    assert.deepEqual(told, ["ready", "gone", "reconnected"]);
  });

  it("goes on trying for as long as it takes, once it was ready", async () => {
    const { supervisor, told, connections, clock, fail } = bench();
    supervisor.run();
    await settle();
    fail(20);
    connections[0]?.close();
    await settle();
    for (let i = 0; i < 25; i++) await passTime(clock);
    assert.equal(told.at(-1), "reconnected");
  });

  it("stops libvirtd and nothing more when it is closed", async () => {
    const { supervisor, daemons, told, clock } = bench();
    supervisor.run();
    await settle();
    supervisor.close();
    await settle();
    await passTime(clock);
    assert.equal(daemons[0]?.isStopped, true);
    assert.equal(daemons.length, 1);
    assert.deepEqual(told, ["ready"]);
  });
});
