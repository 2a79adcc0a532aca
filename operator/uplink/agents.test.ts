import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FakeClock } from "../../lib/fake-clock.ts";
import type { Http2Client } from "../../transport/client.ts";
import { Agents } from "./agents.ts";

const connection = (nodeName: string) => ({
  agent: { nodeName, connection: "streams", expiresAt: 0 } as const,
  client: { isOpen: true, ended: new Promise(() => {}), close: () => {} } as unknown as Http2Client,
});

describe("the agent of a node", () => {
  it("is waited for while its replica has just started, and for no other node's", async () => {
    const agents = new Agents(new FakeClock());
    const waiting = agents.discoveredStreams("node-1");
    agents.add(connection("node-2"));
    const wanted = connection("node-1");
    agents.add(wanted);
    assert.equal(await waiting, wanted.client);
    assert.equal(await agents.discoveredStreams("node-1"), wanted.client);
    assert.equal(agents.listenerCount("streams"), 0);
  });

  it("that doesn't come is missing when the time of starting is over, and then at once", async () => {
    const clock = new FakeClock();
    const agents = new Agents(clock);
    const waiting = assert.rejects(agents.discoveredStreams("node-1"), { code: "AgentNotConnected" });
    clock.advance(15_000);
    await waiting;
    await assert.rejects(agents.discoveredStreams("node-1"), { code: "AgentNotConnected" });
    assert.equal(agents.listenerCount("streams"), 0);
  });
});
