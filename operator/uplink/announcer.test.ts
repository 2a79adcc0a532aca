import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { DEFAULT_BURST_STRATEGY } from "../../api/cpu-burst.ts";
import type { LauncherAnnouncement } from "../../api/uplink-protocol.ts";
import { FakeClock } from "../../lib/fake-clock.ts";
import { Http2Client } from "../../transport/client.ts";
import { RequestError } from "../../transport/errors.ts";
import { serveHttp2 } from "../../transport/server.ts";
import { Agents } from "./agents.ts";
import { Announcer } from "./announcer.ts";

const NODE = "node-1";
const DEADLINE_MS = 30_000;

let sockets = 0;

/** An announcer with one agent, and what that has been told and holds. */
class Uplink {
  readonly clock = new FakeClock();
  readonly announcer: Announcer;
  readonly held: number[] = [];
  /** What is to be announced now. */
  wanted = 1000;
  /** What the agent does once it holds what it was told, and before it answers. */
  answer: () => void | Promise<void> = () => {};
  /** Whose CPU burst the agent says it can't lower. */
  pending: unknown;
  #failed = Promise.withResolvers<void>();

  static async open(t: TestContext): Promise<Uplink> {
    const path = join(tmpdir(), `announcer-${process.pid}-${sockets++}.sock`);
    const listener = createServer().listen(path);
    await once(listener, "listening");
    const agentSide = connect(path);
    const [operatorSide] = (await once(listener, "connection")) as [Socket];
    listener.close();
    return new Uplink(t, operatorSide, agentSide);
  }

  private constructor(t: TestContext, operatorSide: Socket, agentSide: Socket) {
    const agents = new Agents();
    const served = serveHttp2(agentSide, {
      "PUT /v1/launchers": async (request) => {
        const { launchers } = (await request.json()) as LauncherAnnouncement;
        this.held.push(launchers[0]?.cpu?.baseMilliCpu ?? 0);
        await this.answer();
        if (this.pending === undefined) request.reply(204);
        else request.reply(200, { pendingCpu: this.pending });
      },
    });
    const agent = { nodeName: NODE, connection: "status", expiresAt: Number.MAX_SAFE_INTEGER } as const;
    agents.add({ agent, client: new Http2Client(operatorSide) });
    this.announcer = new Announcer({
      agents,
      announcementFor: () => ({ launchers: [launcher(this.wanted)] }),
      onError: () => this.#failed.resolve(),
      clock: this.clock,
    });
    this.announcer.start(1);
    t.after(() => {
      this.announcer.stop();
      agents.close();
      served.destroy();
    });
  }

  /** Resolves when the announcer has learned that the agent did not take an announcement. */
  get failed(): Promise<void> {
    return this.#failed.promise;
  }

  confirm(podUid = "a"): Promise<boolean> {
    return this.announcer.confirm(NODE, podUid, DEADLINE_MS);
  }
}

function launcher(baseMilliCpu: number) {
  const cpu = { baseMilliCpu, burst: DEFAULT_BURST_STRATEGY };
  return { podUid: "a", podName: "p", namespace: "n", vmiName: "v", vmiUid: "u", interfaces: [], cpu };
}

describe("an announcer's confirmation", () => {
  it("of what was confirmed before is not given on the strength of that once another was sent", async (t) => {
    const up = await Uplink.open(t);
    assert(await up.confirm());
    up.answer = () => {
      throw new RequestError(503, "Unavailable", "it holds it, though");
    };
    up.wanted = 500;
    up.announcer.announce(NODE);
    await up.failed;
    up.answer = () => {};
    up.wanted = 1000;
    const confirmed = up.confirm();
    up.clock.advance(10_000);
    assert(await confirmed);
    assert.deepEqual(up.held, [1000, 500, 1000]);
  });

  it("leaves out the pods that the agent names, until it names them no more", async (t) => {
    const up = await Uplink.open(t);
    up.pending = ["a"];
    assert.equal(await up.confirm("a"), false);
    assert.equal(await up.confirm("b"), true, "others don't wait for it");
    const told = up.held.length;
    up.pending = undefined;
    const again = Promise.withResolvers<void>();
    up.answer = again.resolve;
    up.clock.advance(10_000);
    await again.promise;
    assert.equal(await up.confirm("a"), true);
    assert.equal(up.held.length, told + 1, "it is told again by itself, and then no more");
    assert.equal(up.clock.pending, 0);
  });

  it("is not given for an answer that says nothing of bursts", async (t) => {
    const up = await Uplink.open(t);
    up.pending = "a";
    up.announcer.announce(NODE);
    await up.failed;
    up.pending = undefined;
    const confirmed = up.confirm();
    up.clock.advance(10_000);
    assert(await confirmed);
  });

  it("is given while other announcements follow without a pause", async (t) => {
    const up = await Uplink.open(t);
    up.answer = () => {
      up.wanted += 1;
      up.announcer.announce(NODE);
    };
    up.announcer.announce(NODE);
    assert(await up.confirm());
    assert(up.held.length >= 2);
  });

  it("takes an answer to what was asked for after it, not to what was under way", async (t) => {
    const up = await Uplink.open(t);
    assert(await up.confirm());
    const order: string[] = [];
    const [received, mayAnswer] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    up.answer = async () => {
      received.resolve();
      await mayAnswer.promise;
      order.push(`agent answers ${up.held.at(-1)}`);
    };
    up.wanted = 500;
    up.announcer.announce(NODE);
    await received.promise;
    up.wanted = 250;
    const confirmed = up.confirm().then((isConfirmed) => order.push(`confirmed: ${isConfirmed}`));
    mayAnswer.resolve();
    await confirmed;
    assert.deepEqual(order, ["agent answers 500", "agent answers 250", "confirmed: true"]);
  });
});
