/** A fake agent accepts on a real unix socket and asks through transport/, as the real one does. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import type { Attachment, LauncherStatus } from "../../api/launcher-protocol.ts";
import { systemClock } from "../../lib/clock.ts";
import { Http2Client } from "../../transport/client.ts";
import { RequestError } from "../../transport/errors.ts";
import { Latest } from "../lifecycle/latest.ts";
import { AgentLink } from "./link.ts";
import { type LauncherPorts, launcherRoutes } from "./routes.ts";

const STATUS: LauncherStatus = {
  phase: "running",
  interfaces: [],
  timeline: { launcherStarted: "2026-01-01T00:00:00.000Z" },
};

class FakeAgent {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async listen(path: string): Promise<FakeAgent> {
    const server = createServer().listen(path);
    await once(server, "listening");
    return new FakeAgent(server);
  }

  async accept(): Promise<Http2Client> {
    const [socket] = (await once(this.#server, "connection")) as [Socket];
    return new Http2Client(socket);
  }

  stop(): void {
    this.#server.close();
  }
}

interface Bench {
  readonly path: string;
  readonly link: AgentLink;
  readonly told: string[];
  readonly status: Latest<LauncherStatus>;
}

async function bench(t: TestContext): Promise<Bench> {
  const folder = await mkdtemp(join(tmpdir(), "link-"));
  const path = join(folder, "agent.sock");
  const told: string[] = [];
  const status = new Latest(STATUS);
  const ports: LauncherPorts = {
    attach: (attachment: Attachment) => void told.push(`attach ${attachment.ok}`),
    watchStatus: () => status.watch(),
    shutdown: (gracePeriodMs) => void told.push(`shutdown ${gracePeriodMs}`),
    request: async (verb) => {
      if (verb === "pause") throw new RequestError(409, "DomainNotStarted", "not yet");
      told.push(verb);
    },
    dhcp: () => ({ leases: {}, counters: {} }),
    statistics: async () => ({
      cpu: { seconds: 1, userSeconds: 1, systemSeconds: 0 },
      vcpus: [],
      memory: { resident: 1 },
    }),
    guestAgentInfo: () => ({ supportedCommands: [], users: [], fileSystems: [], frozen: false }),
    freeze: async (unfreezeTimeoutSeconds) => void told.push(`freeze ${unfreezeTimeoutSeconds}`),
    unfreeze: async () => {
      throw new RequestError(409, "GuestAgentNotConnected", "no guest agent");
    },
    console: async (accept) => {
      const stream = accept();
      stream.pipe(stream);
    },
    vnc: async () => {
      throw new RequestError(404, "VncUnavailable", "the guest has no graphics");
    },
  };
  const quiet = () => {};
  const log = { debug: quiet, info: quiet, warn: quiet, error: quiet, fatal: quiet };
  const link = new AgentLink({ socketPath: path, routes: launcherRoutes(ports), clock: systemClock, log });
  t.after(async () => {
    await link.close(100);
    await rm(folder, { recursive: true });
  });
  return { path, link, told, status };
}

async function connected(t: TestContext): Promise<Bench & { readonly client: Http2Client }> {
  const made = await bench(t);
  const agent = await FakeAgent.listen(made.path);
  void made.link.run();
  const client = await agent.accept();
  t.after(() => {
    client.destroy();
    agent.stop();
  });
  return { ...made, client };
}

describe("the link to the agent", () => {
  it("takes attachment, shutdown and verbs, and answers as the protocol says", async (t) => {
    const { client, told } = await connected(t);
    assert.equal(
      await client.request("PUT", "/v1/attachment", { body: { ok: true, interfaces: [] } }),
      undefined,
    );
    await client.request("POST", "/v1/unpause");
    await client.request("POST", "/v1/reset");
    await client.request("POST", "/v1/soft-reboot");
    await client.request("POST", "/v1/shutdown", { body: { gracePeriodSeconds: 7 } });
    assert.deepEqual(told, ["attach true", "unpause", "reset", "soft-reboot", "shutdown 7000"]);
  });

  it("refuses what is malformed by field, and passes on a refusal's status and code", async (t) => {
    const { client, told } = await connected(t);
    await assert.rejects(client.request("PUT", "/v1/attachment", { body: { ok: true, interfaces: [{}] } }), {
      status: 400,
      code: "AttachmentInvalid",
      message: /interfaces\[0\]\.name/,
    });
    await assert.rejects(client.request("POST", "/v1/shutdown", { body: { gracePeriodSeconds: -1 } }), {
      status: 400,
      code: "ShutdownRequestInvalid",
    });
    await assert.rejects(client.request("POST", "/v1/pause"), { status: 409, code: "DomainNotStarted" });
    await assert.rejects(client.open("/v1/vnc"), { status: 404, code: "VncUnavailable" });
    assert.deepEqual(told, []);
  });

  it("streams the status whole, at once and after each change, and ends it with the last", async (t) => {
    const { client, link, status } = await connected(t);
    const phases: string[] = [];
    for await (const line of client.lines("/v1/status")) {
      const { phase } = line as LauncherStatus;
      phases.push(phase);
      if (phase === "running") status.set({ ...STATUS, phase: "stopping" });
      if (phase === "stopping") {
        status.set({ ...STATUS, phase: "stopped" });
        status.close();
        void link.close(1_000);
      }
    }
    assert.deepEqual(phases, ["running", "stopping", "stopped"]);
    await client.ended;
  });

  it("gives the console's bytes both ways", async (t) => {
    const { client } = await connected(t);
    const stream = await client.open("/v1/console");
    stream.write("echo");
    const [chunk] = (await once(stream, "data")) as [Buffer];
    assert.equal(chunk.toString(), "echo");
    stream.close();
  });

  it("is dialled until the agent is there, and again after each of its restarts", async (t) => {
    const { path, link } = await bench(t);
    void link.run();
    while (link.failure === undefined) await new Promise((resolve) => setImmediate(resolve));
    for (let restart = 0; restart < 3; restart++) {
      const agent = await FakeAgent.listen(path);
      const client = await agent.accept();
      assert.equal(((await client.lines("/v1/status").next()).value as LauncherStatus).phase, "running");
      // Killed, as far as the launcher sees it: the connection ends and nobody listens.
      agent.stop();
      client.destroy();
      await rm(path, { force: true });
    }
  });
});
