import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, it } from "node:test";
import { RequestError } from "../../transport/errors.ts";
import type { Routes } from "../../transport/server.ts";
import { reachableLauncher } from "./launcher.fixture.ts";
import { askLauncher } from "./launcher.ts";
import { openLauncherStream, openSession } from "./streams.ts";

const PATH = {
  namespace: "default",
  group: "subresources.kubevirt.io",
  resource: "virtualmachineinstances",
  name: "tiny",
  subresource: "console",
} as const;
const ROUTE = "POST /v1/launchers/pod-1/console";

const open: Routes = {
  [ROUTE]: (request) => void request.accept().end("login:"),
};
const closed: Routes = {
  [ROUTE]: () => {
    throw new RequestError(409, "ConsoleNotOpen", "the guest's serial console is open no more");
  },
};

describe("the console of a VMI", () => {
  it("is the launcher's, while the VMI shuts down as well", async (t) => {
    for (const isDeleted of [false, true]) {
      const { caches, agents } = await reachableLauncher(t, open, { isDeleted });
      const stream = await openLauncherStream(caches, agents, PATH);
      const [chunk] = (await once(stream, "data")) as [Buffer];
      assert.equal(chunk.toString(), "login:");
      stream.destroy();
    }
  });

  it("that runs and can't be had is refused in the launcher's words", async (t) => {
    const { caches, agents } = await reachableLauncher(t, closed);
    await assert.rejects(openLauncherStream(caches, agents, PATH), {
      reason: "ServiceUnavailable",
      message:
        "the console of the VMI default/tiny can't be reached: the guest's serial console is open no more",
    });
  });

  it("that shuts down and can't be had says so, whatever it was that failed", async (t) => {
    for (const routes of [closed, {}]) {
      const { caches, agents } = await reachableLauncher(t, routes, { isDeleted: true });
      await assert.rejects(openLauncherStream(caches, agents, PATH), {
        reason: "Conflict",
        message: /^the VMI default\/tiny is shutting down, so its console can't be reached: /,
      });
    }
    const { caches, agents } = await reachableLauncher(t, open, { isDeleted: true });
    agents.close();
    await assert.rejects(openLauncherStream(caches, agents, PATH), { message: /is shutting down/ });
  });

  it("whose pod has ended says whether it is being deleted or has run its course", async (t) => {
    const over = { phase: "Succeeded" };
    const { caches, agents } = await reachableLauncher(t, open, over);
    await assert.rejects(openLauncherStream(caches, agents, PATH), {
      message: /not running \(phase Succeeded\)/,
    });
    const leaving = await reachableLauncher(t, open, { ...over, isDeleted: true });
    await assert.rejects(openLauncherStream(leaving.caches, leaving.agents, PATH), {
      reason: "Conflict",
      message: "the VMI default/tiny is shutting down: it can be started again once it is gone",
    });
  });
});

describe("a session that ends", () => {
  for (const [told, code, reason] of [
    ["displaced", 4001, "another client has taken this console over"],
    ["consoleEnded", 1000, "the guest has ended"],
    ["lost", 1012, "the connection to the guest's node was lost: connect again"],
  ] as const) {
    it(`says why: ${told} is ${code}`, async (t) => {
      const routes: Routes = {
        [ROUTE]: (request) =>
          void request
            .accept(() => told)
            .resume()
            .end("last words"),
      };
      const { caches, agents } = await reachableLauncher(t, routes);
      const session = await openSession(caches, agents, PATH);
      assert.ok(session.kind === "bytes");
      session.stream.resume();
      await once(session.stream, "end");
      await new Promise((resolve) => setImmediate(resolve));
      assert.deepEqual(session.ending?.(), { code, reason });
    });
  }
});

describe("an agent that dies", () => {
  it("breaks its sessions off, and their clients are to connect again", async (t) => {
    let die = () => {};
    const routes: Routes = {
      [ROUTE]: (request) => {
        request.accept();
        die = () => request.stream.session?.socket.destroy();
      },
    };
    const { caches, agents } = await reachableLauncher(t, routes);
    const session = await openSession(caches, agents, PATH);
    assert.ok(session.kind === "bytes");
    session.stream.resume();
    const closed = once(session.stream, "close");
    die();
    await closed;
    assert.equal(session.ending?.()?.code, 1012);
  });
});

describe("a viewer that leaves others alone", () => {
  it("is refused while somebody looks at the screen", async (t) => {
    const vnc: Routes = {
      "POST /v1/launchers/pod-1/vnc": (request) => {
        assert.match(request.path, /vnc\?preserveSession=true$/);
        throw new RequestError(409, "VncInUse", "somebody looks at the guest's screen");
      },
    };
    const { caches, agents } = await reachableLauncher(t, vnc);
    const path = { ...PATH, subresource: "vnc", query: new URLSearchParams("preserveSession=true") };
    await assert.rejects(openSession(caches, agents, path), {
      reason: "Conflict",
      message: /somebody looks at the guest's screen/,
    });
  });
});

describe("a request to a launcher whose VMI shuts down", () => {
  it("is refused with that in front of what failed", async (t) => {
    const routes: Routes = {
      "GET /v1/launchers/pod-1/guest-agent": () => {
        throw new RequestError(503, "LauncherNotConnected", "no launcher");
      },
    };
    const { caches, agents } = await reachableLauncher(t, routes, { isDeleted: true });
    const ask = askLauncher(caches, agents, { ...PATH, subresource: "guestosinfo" }, (client, route) =>
      client.request("GET", `${route}/guest-agent`),
    );
    await assert.rejects(ask, {
      reason: "Conflict",
      message: "guestosinfo of the VMI default/tiny: it is shutting down: no launcher",
    });
  });
});
