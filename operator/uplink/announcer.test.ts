import assert from "node:assert/strict";
import { duplexPair } from "node:stream";
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
const DEADLINE_MS = 2_000;

/** An announcer with one agent, and what that has been told and holds. */
class Uplink {
  readonly clock = new FakeClock();
  readonly announcer: Announcer;
  readonly held: number[] = [];
  /** What is to be announced now. */
  wanted = 1000;
  /** What the agent does once it holds what it was told, and before it answers. */
  answer: () => void | Promise<void> = () => {};
  #failed = Promise.withResolvers<void>();

  constructor(t: TestContext) {
    const agents = new Agents();
    const [operatorSide, agentSide] = duplexPair();
    const served = serveHttp2(agentSide, {
      "PUT /v1/launchers": async (request) => {
        const { launchers } = (await request.json()) as LauncherAnnouncement;
        this.held.push(launchers[0]?.cpu?.baseMilliCpu ?? 0);
        await this.answer();
        request.reply(204);
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
      // A pair in memory tells neither side of the other's end.
      operatorSide.destroy();
    });
  }

  /** Resolves when the announcer has learned that the agent did not take an announcement. */
  get failed(): Promise<void> {
    return this.#failed.promise;
  }

  confirm(): Promise<boolean> {
    return this.announcer.confirm(NODE, DEADLINE_MS);
  }
}

function launcher(baseMilliCpu: number) {
  const cpu = { baseMilliCpu, burst: DEFAULT_BURST_STRATEGY };
  return { podUid: "a", podName: "p", namespace: "n", vmiName: "v", vmiUid: "u", interfaces: [], cpu };
}

describe("an announcer's confirmation", () => {
  it("of what was confirmed before is not given on the strength of that once another was sent", async (t) => {
    const up = new Uplink(t);
    assert(await up.confirm());
    up.answer = () => {
      throw new RequestError(503, "CpuBurstPending", "it holds it, though");
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

  it("is given while other announcements follow without a pause", async (t) => {
    const up = new Uplink(t);
    up.answer = () => {
      up.wanted += 1;
      up.announcer.announce(NODE);
    };
    up.announcer.announce(NODE);
    assert(await up.confirm());
    assert(up.held.length >= 2);
  });

  it("takes an answer to what was asked for after it, not to what was under way", async (t) => {
    const up = new Uplink(t);
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
