import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, it } from "node:test";
import { RequestError } from "../../transport/errors.ts";
import type { Routes } from "../../transport/server.ts";
import { reachableLauncher } from "./launcher.fixture.ts";
import { askLauncher } from "./launcher.ts";
import { openLauncherStream } from "./streams.ts";

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
      message: "the console of default/tiny can't be reached: the guest's serial console is open no more",
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
      message: "the VMI default/tiny is shutting down",
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
