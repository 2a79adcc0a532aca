import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, it, type TestContext } from "node:test";
import { connect } from "node:tls";
import type { LauncherStatus } from "../../api/launcher-protocol.ts";
import type { AgentStatus, AnnouncedLauncher, LauncherAnnouncement } from "../../api/uplink-protocol.ts";
import { RequestError } from "../../transport/errors.ts";
import { type ServedConnection, serveHttp2 } from "../../transport/server.ts";
import {
  createAuthority,
  createServingCertificate,
  type KeyedCertificate,
} from "../certificates/authority.ts";
import { Agents } from "./agents.ts";
import { Announcer } from "./announcer.ts";
import type { TokenReviewResult } from "./identity.ts";
import { UplinkListener } from "./listener.ts";
import { Statuses } from "./statuses.ts";

const SERVER_NAME = "virtpod-uplink.virtpod.svc";
const AGENT = "system:serviceaccount:virtpod:virtpod-agent";

interface Uplink {
  readonly port: number;
  readonly authority: KeyedCertificate;
  readonly agents: Agents;
  readonly rejections: string[];
}

async function uplink(t: TestContext, review: Partial<TokenReviewResult> = {}): Promise<Uplink> {
  const authority = await createAuthority(Date.now());
  const agents = new Agents();
  const rejections: string[] = [];
  const listener = new UplinkListener({
    certificate: await createServingCertificate(authority, [SERVER_NAME], Date.now()),
    agentUsername: AGENT,
    reviewToken: async (_token, audience) => ({
      authenticated: true,
      username: AGENT,
      audiences: [audience],
      extra: { "authentication.kubernetes.io/node-name": ["node-1"] },
      ...review,
    }),
    onConnected: (connection) => agents.add(connection),
    onRejected: (_remote, error) => rejections.push(error instanceof Error ? error.message : String(error)),
    port: 0,
    host: "127.0.0.1",
  });
  const port = await listener.listen();
  t.after(async () => {
    agents.close();
    await listener.close();
  });
  return { port, authority, agents, rejections };
}

interface FakeAgent {
  readonly announcements: LauncherAnnouncement[];
  readonly announced: () => Promise<void>;
  /** From now on no announcement is taken. */
  readonly refuse: () => void;
  readonly served: ServedConnection;
}

/** An agent as the protocol describes it, telling `told` and then keeping its status stream open. */
async function dial(
  t: TestContext,
  { port, authority }: Uplink,
  told: readonly AgentStatus[] = [],
  { statusEnds = false } = {},
): Promise<FakeAgent> {
  const socket = connect({ host: "127.0.0.1", port, servername: SERVER_NAME, ca: authority.certificatePem });
  socket.on("error", () => {});
  await once(socket, "secureConnect");
  const announcements: LauncherAnnouncement[] = [];
  let isRefusing = false;
  let wake = () => {};
  const claims = Buffer.from(JSON.stringify({ exp: Date.now() / 1000 + 3600 })).toString("base64url");
  const served = serveHttp2(socket, {
    "GET /v1/identity": (request) => request.reply(200, { token: `h.${claims}.s`, connection: "status" }),
    "PUT /v1/launchers": async (request) => {
      if (isRefusing) throw new RequestError(503, "Unavailable", "not yet");
      announcements.push((await request.json()) as LauncherAnnouncement);
      request.reply(204);
      wake();
    },
    "GET /v1/status": (request) =>
      request.replyLines(
        (async function* () {
          yield* told;
          if (!statusEnds) await new Promise(() => {});
        })(),
      ),
  });
  t.after(() => served.destroy());
  return {
    announcements,
    refuse: () => {
      isRefusing = true;
    },
    announced: () =>
      new Promise((resolve) => {
        wake = resolve;
      }),
    served,
  };
}

function status(phase: LauncherStatus["phase"]): LauncherStatus {
  return { phase, interfaces: [], timeline: { launcherStarted: "2026-01-01T00:00:00.000Z" } };
}

function launcher(podUid: string): AnnouncedLauncher {
  return { podUid, podName: "p", namespace: "n", vmiName: "v", vmiUid: "u", interfaces: [] };
}

describe("the uplink", () => {
  it("takes an agent whose token the API server binds to a node", async (t) => {
    const up = await uplink(t);
    const connected = once(up.agents, "status");
    await dial(t, up);
    assert.equal((await connected)[0], "node-1");
    assert(up.agents.isConnected("node-1"));
  });

  for (const [claim, review, reason] of [
    [
      "a token that isn't authentic",
      { authenticated: false, error: "expired" },
      /did not authenticate.*expired/,
    ],
    ["another service account", { username: "system:serviceaccount:virtpod:other" }, /it is system:.*other/],
    ["another audience", { audiences: ["api"] }, /not for audience virtpod/],
    ["a token without a node", { extra: {} }, /not bound to a node/],
  ] as const) {
    it(`closes the connection of ${claim}`, async (t) => {
      const up = await uplink(t, review);
      const agent = await dial(t, up);
      await agent.served.ended;
      assert.match(up.rejections[0] ?? "", reason);
      assert.equal(up.agents.isConnected("node-1"), false);
    });
  }

  it("gives the leader every launcher's status, and drops what a reconnected agent no longer tells", async (t) => {
    const up = await uplink(t);
    const statuses = new Statuses(up.agents, (_node, error) => assert.fail(String(error)));
    statuses.start();
    const toldB = new Promise<void>((resolve) => {
      statuses.on("launcher", (uid) => uid === "b" && resolve());
    });
    await dial(t, up, [
      { type: "node", node: { kvm: { usable: true, reason: "" }, agentVersion: "1" } },
      { type: "launcher", podUid: "a", status: status("running") },
      { type: "synced" },
      { type: "launcher", podUid: "b", status: status("starting") },
    ]);
    await toldB;
    assert.equal(statuses.launcher("a", "node-1")?.status?.phase, "running");
    assert.equal(statuses.launcher("a", "node-2"), undefined);
    assert(statuses.isKvmUsable());

    const dropped = new Promise<void>((resolve) => {
      statuses.on("launcher", () => statuses.launcher("a", "node-1") === undefined && resolve());
    });
    await dial(t, up, [{ type: "launcher", podUid: "b", status: status("running") }, { type: "synced" }]);
    await dropped;
    assert.equal(statuses.launcher("b", "node-1")?.status?.phase, "running");
    statuses.stop();
  });

  it("tells of a launcher that speaks nonsense as refused, and goes on with the node's others", async (t) => {
    const up = await uplink(t);
    const statuses = new Statuses(up.agents, (_node, error) => assert.fail(String(error)));
    statuses.start();
    const told = once(statuses, "launcher");
    const toldGood = new Promise<void>((resolve) => {
      statuses.on("launcher", (uid) => uid === "good" && resolve());
    });
    const bad = { ...status("running"), interfaces: [{}] } as unknown as LauncherStatus;
    await dial(t, up, [
      { type: "launcher", podUid: "bad", status: bad },
      { type: "launcher", podUid: "good", status: status("running") },
    ]);
    assert.deepEqual(await told, ["bad"]);
    await toldGood;
    assert.equal(statuses.launcher("bad", "node-1")?.refused?.code, "MalformedStatus");
    assert.equal(statuses.launcher("good", "node-1")?.status?.phase, "running");
    statuses.stop();
  });

  it("cuts a sentence that is too long for a condition", async (t) => {
    const up = await uplink(t);
    const statuses = new Statuses(up.agents, (_node, error) => assert.fail(String(error)));
    statuses.start();
    const told = once(statuses, "launcher");
    await dial(t, up, [{ type: "refused", podUid: "a", code: "C", message: "x".repeat(5000) }]);
    await told;
    assert.equal(statuses.launcher("a", "node-1")?.refused?.message.length, 4096);
    statuses.stop();
  });

  it("keeps nothing of a pod that is gone, nor what is told of it afterwards", async (t) => {
    const up = await uplink(t);
    const statuses = new Statuses(up.agents, (_node, error) => assert.fail(String(error)));
    statuses.start();
    statuses.forget("gone", "node-1");
    const told = once(statuses, "launcher");
    await dial(t, up, [
      { type: "launcher", podUid: "gone", status: status("stopped") },
      { type: "launcher", podUid: "a", status: status("running") },
    ]);
    assert.deepEqual(await told, ["a"]);
    assert.equal(statuses.size, 1);
    statuses.forget("a", "node-1");
    assert.equal(statuses.size, 0);
    statuses.stop();
  });

  it("ends the connection of an agent whose status stream ends, so that it comes anew", async (t) => {
    const up = await uplink(t);
    const errors: string[] = [];
    const statuses = new Statuses(up.agents, (_node, error) => errors.push(String(error)));
    statuses.start();
    const agent = await dial(t, up, [], { statusEnds: true });
    await agent.served.ended;
    assert.match(errors[0] ?? "", /ended its status stream/);
    statuses.stop();
  });

  it("destroys an agent's earlier status connection when it makes a new one", async (t) => {
    const up = await uplink(t);
    const statuses = new Statuses(up.agents, (_node, error) => assert.fail(String(error)));
    statuses.start();
    const connected = once(up.agents, "status");
    const earlier = await dial(t, up);
    // Who has been dialled may still be proving who it is.
    await connected;
    await dial(t, up, [{ type: "launcher", podUid: "a", status: status("running") }]);
    await earlier.served.ended;
    assert(up.agents.isConnected("node-1"));
    statuses.stop();
  });

  it("remembers nothing of what an agent was announced once that agent is lost", async (t) => {
    const up = await uplink(t);
    const announcer = new Announcer({
      agents: up.agents,
      announcementFor: () => ({ launchers: [launcher("a")] }),
      // The agent may be gone before it has answered.
      onError: () => {},
    });
    announcer.start(1);
    const agent = await dial(t, up);
    await agent.announced();
    assert.equal(announcer.size, 1);
    const lost = once(up.agents, "lost");
    agent.served.destroy();
    await lost;
    assert.equal(announcer.size, 0);
    announcer.stop();
  });

  it("confirms what an agent has taken, and not what it refuses or what nobody is there to take", async (t) => {
    const up = await uplink(t);
    let version = "1";
    const announcer = new Announcer({
      agents: up.agents,
      announcementFor: () => ({
        launchers: [],
        settings: { version, logLevel: "info", sharePoolThresholdPercent: 50 },
      }),
      onError: () => {},
    });
    announcer.start(1);
    t.after(() => announcer.stop());
    assert.equal(await announcer.confirm("node-1", "a", 1_000), false, "nobody is there");
    const agent = await dial(t, up);
    await agent.announced();
    version = "2";
    assert.equal(await announcer.confirm("node-1", "a", 30_000), true);
    assert.equal(agent.announcements.at(-1)?.settings?.version, "2");
    assert.deepEqual([...announcer.versions], [["node-1", "2"]]);
    assert.equal(await announcer.confirm("node-1", "a", 30_000), true, "and nothing is left to tell");
    agent.refuse();
    version = "3";
    assert.equal(await announcer.confirm("node-1", "a", 50), false, "it refuses");
    assert.deepEqual([...announcer.versions], [["node-1", "2"]]);
  });

  it("reports a defect in gathering an announcement as an error, and tries again", async (t) => {
    const up = await uplink(t);
    const errors: string[] = [];
    let calls = 0;
    const announcer = new Announcer({
      agents: up.agents,
      announcementFor: () => {
        calls += 1;
        if (calls === 1) throw new Error("a defect");
        return { launchers: [launcher("a")] };
      },
      onError: (_node, error) => errors.push(String(error)),
    });
    announcer.start(1);
    const agent = await dial(t, up);
    await agent.announced();
    assert.deepEqual(errors, ["Error: a defect"]);
    assert.equal(agent.announcements.length, 1);
    announcer.stop();
  });

  it("ends the connection of an agent that tells what no agent may tell", async (t) => {
    const up = await uplink(t);
    const errors: string[] = [];
    const statuses = new Statuses(up.agents, (_node, error) => errors.push(String(error)));
    statuses.start();
    const agent = await dial(t, up, [
      { type: "launcher", podUid: "x".repeat(300), status: status("running") },
    ]);
    await agent.served.ended;
    assert.match(errors[0] ?? "", /podUid is not a string of at most 256/);
    statuses.stop();
  });

  it("announces the whole set once, and again only when it changed", async (t) => {
    const up = await uplink(t);
    let launchers = [launcher("a")];
    const announcer = new Announcer({
      agents: up.agents,
      announcementFor: () => ({ launchers }),
      onError: (_node, error) => assert.fail(String(error)),
    });
    announcer.start(7);
    const connected = once(up.agents, "status");
    const agent = await dial(t, up);
    const first = agent.announced();
    await connected;
    await first;
    announcer.announce("node-1");
    launchers = [launcher("a"), launcher("b")];
    const second = agent.announced();
    announcer.announce("node-1");
    announcer.announce("node-1");
    await second;
    assert.deepEqual(
      agent.announcements.map((a) => [a.term, a.launchers.map((l) => l.podUid)]),
      [
        [7, ["a"]],
        [7, ["a", "b"]],
      ],
    );
    announcer.stop();
  });
});
