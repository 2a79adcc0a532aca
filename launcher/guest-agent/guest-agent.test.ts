/** The guest agent's shell on a fake connection and a fake clock. */
import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";
import { FakeClock } from "../../lib/fake-clock.ts";
import { LibvirtError } from "../libvirt/errors.ts";
import type { AgentConnection } from "./connection.ts";
import { isChannelOpen } from "./connection.ts";
import { type Answers, HONEST_ANSWERS } from "./fake-guest-agent.ts";
import { GuestAgent } from "./guest-agent.ts";

/** libvirtd and an agent behind it, in memory. */
class FakeConnection implements AgentConnection {
  readonly asked: string[] = [];
  answers: Answers = HONEST_ANSWERS;
  readonly #closed = Promise.withResolvers<void>();
  #onChannel: (isOpen: boolean) => void = () => {};

  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  async follow(onChannel: (isOpen: boolean) => void): Promise<void> {
    this.#onChannel = onChannel;
    onChannel(false);
  }

  open(isOpen: boolean): void {
    this.#onChannel(isOpen);
  }

  async command(text: string): Promise<string> {
    const { execute, arguments: argument } = JSON.parse(text) as { execute: string; arguments?: unknown };
    this.asked.push(execute);
    const answer = await this.answers[execute]?.(argument);
    if (answer === undefined) throw new LibvirtError("GuestAgentTimeout", "agent command: no answer");
    if ("error" in answer) throw new LibvirtError("LibvirtInternal", answer.error);
    return "raw" in answer ? answer.raw : JSON.stringify({ return: answer.value });
  }

  close(): void {
    this.#closed.resolve();
  }
}

const quiet = () => {};
const LOG = { debug: quiet, info: quiet, warn: quiet, error: quiet, fatal: quiet };

let closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing) close();
  closing = [];
});

async function bench() {
  const clock = new FakeClock();
  const connections: FakeConnection[] = [];
  let changes = 0;
  const agent = new GuestAgent({
    connect: async () => {
      const connection = new FakeConnection();
      connections.push(connection);
      return connection;
    },
    macAddresses: () => new Set(["02:00:00:00:00:01"]),
    accessCredentials: [],
    clock,
    log: LOG,
    onChange: () => {
      changes += 1;
    },
  });
  closing.push(() => agent.close());
  agent.guestRuns(true);
  await settle();
  const newest = (): FakeConnection => {
    const connection = connections.at(-1);
    assert(connection !== undefined);
    return connection;
  };
  /** Time goes on, as far as the agent has something to do meanwhile. */
  const advance = async (ms: number) => {
    for (let left = ms; left > 0; ) {
      const step = Math.min(left, clock.nextInMs ?? left);
      clock.advance(step);
      left -= Math.max(step, 1);
      await settle();
    }
  };
  return { agent, clock, connections, newest, advance, changes: () => changes };
}

async function settle(): Promise<void> {
  for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve));
}

describe("a guest's agent", () => {
  it("is told of once with all that it says first, and not again while that stays", async () => {
    const { agent, newest, advance, changes } = await bench();
    assert.deepEqual(agent.status, {});
    newest().open(true);
    await advance(1);
    assert.equal(changes(), 1);
    assert.equal(agent.status.guestAgent?.os?.id, "debian");
    assert.equal(agent.info().users.length, 1);
    await advance(3_600_000);
    assert.equal(changes(), 1);
    const counts = Object.groupBy(newest().asked, (name) => name);
    assert.equal(counts["guest-get-users"]?.length, 361);
    assert.equal(counts["guest-get-osinfo"]?.length, 33);
  });

  it("whose users and file systems change is nobody's business, but is known when asked for", async () => {
    const { agent, newest, advance, changes } = await bench();
    newest().open(true);
    await advance(1);
    newest().answers = { ...HONEST_ANSWERS, "guest-get-users": () => ({ value: [] }) };
    await advance(20_000);
    assert.equal(changes(), 1);
    assert.deepEqual(agent.info().users, []);
  });

  it("is asked nothing while its guest is paused, and what is overdue when it runs again", async () => {
    const { agent, newest, advance } = await bench();
    newest().open(true);
    await advance(1);
    agent.guestRuns(false);
    const before = newest().asked.length;
    await advance(600_000);
    assert.equal(newest().asked.length, before);
    await assert.rejects(agent.freeze(0), { status: 409 });
    agent.guestRuns(true);
    await advance(1);
    assert.equal(newest().asked.length, before + 8);
  });

  it("that leaves is told of, and asked nothing; one that comes is asked anew", async () => {
    const { agent, newest, advance, changes } = await bench();
    newest().open(true);
    await advance(1);
    await advance(10_000);
    newest().open(false);
    assert.deepEqual(agent.status, {});
    assert.throws(() => agent.info(), { status: 409, code: "GuestAgentNotConnected" });
    const before = newest().asked.length;
    await advance(60_000);
    assert.equal(newest().asked.length, before);
    newest().open(true);
    await advance(1);
    assert.equal(changes(), 3);
    assert.equal(newest().asked.length, before + 8);
  });

  it("is found again when the connection to libvirtd is lost", async () => {
    const { agent, connections, newest, advance } = await bench();
    newest().open(true);
    await advance(1);
    newest().close();
    await advance(60_000);
    assert.equal(connections.length, 2);
    assert.deepEqual(agent.status, {});
    newest().open(true);
    await advance(1);
    assert.notEqual(agent.status.guestAgent, undefined);
  });

  it("that doesn't answer is told of nevertheless, and left in peace ever longer", async () => {
    const { agent, newest, advance, changes } = await bench();
    newest().answers = {};
    newest().open(true);
    await advance(1);
    assert.deepEqual(agent.status.guestAgent, { interfaces: [], frozen: false });
    await advance(3_600_000);
    assert(newest().asked.length < 20, `${newest().asked.length} commands in an hour`);
    assert.equal(changes(), 1);
  });

  it("that refuses a command is asked for it rarely, and for the others as often as ever", async () => {
    const { newest, advance } = await bench();
    newest().answers = { ...HONEST_ANSWERS, "guest-get-users": () => ({ error: "never" }) };
    newest().open(true);
    await advance(3_600_000);
    const counts = Object.groupBy(newest().asked, (name) => name);
    assert.equal(counts["guest-get-users"]?.length, 12);
    assert.equal(counts["guest-fsfreeze-status"]?.length, 720);
  });

  it("that lacks commands is told of with which, and isn't asked for them", async () => {
    const { agent, newest, advance } = await bench();
    const commands = ["guest-info", "guest-get-osinfo", "guest-get-timezone", "guest-get-host-name"];
    newest().answers = {
      ...HONEST_ANSWERS,
      "guest-info": () => ({
        value: {
          version: "1",
          supported_commands: [
            ...commands.map((name) => ({ name, enabled: true })),
            { name: "guest-get-users", enabled: false },
          ],
        },
      }),
    };
    newest().open(true);
    await advance(1);
    assert.match(
      agent.status.guestAgent?.unsupported ?? "",
      /lacks guest-get-fsinfo, guest-get-users, guest-network-get-interfaces/,
    );
    assert(!newest().asked.includes("guest-get-users"));
  });

  it("takes one command at a time, and only so many in a row", async () => {
    const { agent, newest, advance } = await bench();
    newest().open(true);
    await advance(1);
    const { promise, resolve } = Promise.withResolvers<void>();
    newest().answers = {
      ...HONEST_ANSWERS,
      "guest-fsfreeze-status": async () => {
        await promise;
        return { value: "thawed" };
      },
    };
    const before = newest().asked.length;
    const results = Array.from({ length: 30 }, () =>
      agent.unfreeze().then(
        () => "done",
        (error: { code: string }) => error.code,
      ),
    );
    await settle();
    assert.equal(newest().asked.length, before + 1);
    resolve();
    const outcomes = Object.groupBy(await Promise.all(results), (outcome) => outcome);
    assert.deepEqual([outcomes["done"]?.length, outcomes["GuestAgentBusy"]?.length], [16, 14]);
  });
});

describe("a freeze", () => {
  const frozenGuest = () => {
    const guest = { isFrozen: false, thaws: 0 };
    const answers: Answers = {
      ...HONEST_ANSWERS,
      "guest-fsfreeze-status": () => ({ value: guest.isFrozen ? "frozen" : "thawed" }),
      "guest-fsfreeze-freeze": () => {
        guest.isFrozen = true;
        return { value: 1 };
      },
      "guest-fsfreeze-thaw": () => {
        guest.isFrozen = false;
        guest.thaws += 1;
        return { value: 1 };
      },
    };
    return { guest, answers };
  };

  const frozenFor = async (seconds: number) => {
    const { agent, newest, advance } = await bench();
    const { guest, answers } = frozenGuest();
    newest().answers = answers;
    newest().open(true);
    await advance(1);
    await agent.freeze(seconds);
    return { agent, guest, answers, newest, advance };
  };

  it("of no time stays until it is ended", async () => {
    const { agent, guest, advance } = await frozenFor(0);
    await advance(3_600_000);
    assert.equal(guest.isFrozen, true);
    await agent.unfreeze();
    assert.equal(guest.isFrozen, false);
  });

  it("ends at its time, and is tried until the agent answers", async () => {
    const { guest, answers, newest, advance } = await frozenFor(60);
    newest().answers = {};
    await advance(90_000);
    assert.equal(guest.isFrozen, true);
    newest().answers = answers;
    await advance(60_000);
    assert.deepEqual([guest.isFrozen, guest.thaws], [false, 1]);
    await advance(600_000);
    assert.equal(guest.thaws, 1);
  });

  it("ends at its time after an unfreeze that came to nothing", async () => {
    const { agent, guest, answers, newest, advance } = await frozenFor(60);
    newest().answers = {};
    await assert.rejects(agent.unfreeze(), { status: 503 });
    newest().answers = answers;
    await advance(90_000);
    assert.deepEqual([guest.isFrozen, guest.thaws], [false, 1]);
  });

  it("that was ended is not ended again at its time", async () => {
    const { agent, guest, advance } = await frozenFor(60);
    await agent.unfreeze();
    guest.isFrozen = true;
    await advance(90_000);
    assert.deepEqual([guest.isFrozen, guest.thaws], [true, 1]);
  });

  it("that the guest is still working on fails no liveness probe, one that was refused does", async () => {
    const { agent, newest, advance } = await bench();
    const { answers } = frozenGuest();
    const { promise, resolve } = Promise.withResolvers<void>();
    newest().answers = {
      ...answers,
      "guest-fsfreeze-freeze": async () => {
        await promise;
        return { error: "a hook failed" };
      },
      "guest-exec": () => ({ error: "the command is not allowed" }),
    };
    newest().open(true);
    await advance(1);
    const refused = assert.rejects(agent.freeze(30), { status: 500 });
    await settle();
    const probe = { kind: "liveness", timeoutSeconds: 2, command: ["/bin/true"] } as const;
    assert.deepEqual(await agent.probe(probe), { isSuccess: true, message: "the guest is frozen" });
    resolve();
    await refused;
    assert.equal((await agent.probe(probe)).isSuccess, false);
  });

  it("whose answer is lost ends at its time too", async () => {
    const { agent, newest, advance } = await bench();
    const { guest, answers } = frozenGuest();
    newest().answers = {
      ...answers,
      "guest-fsfreeze-freeze": () => {
        guest.isFrozen = true;
        throw new LibvirtError("GuestAgentTimeout", "lost");
      },
    };
    newest().open(true);
    await advance(1);
    await assert.rejects(agent.freeze(30), { status: 503 });
    await advance(40_000);
    assert.equal(guest.isFrozen, false);
  });

  it("that the agent refuses leaves nothing behind", async () => {
    const { agent, newest, advance } = await bench();
    const { answers } = frozenGuest();
    newest().answers = { ...answers, "guest-fsfreeze-freeze": () => ({ error: "a hook failed" }) };
    newest().open(true);
    await advance(1);
    await assert.rejects(agent.freeze(30), { status: 500, message: /a hook failed/ });
    const before = newest().asked.length;
    await advance(4_000);
    await advance(28_000);
    assert(!newest().asked.slice(before).includes("guest-fsfreeze-thaw"));
  });
});

describe("the channel in a domain's XML", () => {
  const channel = (state: string) =>
    `<channel type='unix'><source mode='bind' path='/x'/><target type='virtio' name='org.qemu.guest_agent.0'${state}/></channel>`;

  it("is open where libvirt says so, and of no other name", () => {
    assert.equal(isChannelOpen(channel(" state='connected'")), true);
    assert.equal(isChannelOpen(channel(" state='disconnected'")), false);
    assert.equal(isChannelOpen(channel("")), false);
    assert.equal(isChannelOpen("<target type='virtio' name='com.redhat.spice.0' state='connected'/>"), false);
  });
});
