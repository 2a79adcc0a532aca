/** The guest agent's subresources, from the handler to a node's agent that answers as the uplink's protocol says. */
import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import type { GuestAgentInfo } from "../../api/guest-agent.ts";
import { RequestError } from "../../transport/errors.ts";
import type { Routes } from "../../transport/server.ts";
import { freezeRequest, guestAgentHandlers } from "./guest-agent.ts";
import { reachableLauncher } from "./launcher.fixture.ts";

const INFO: GuestAgentInfo = {
  agentVersion: "10.0.2",
  supportedCommands: [
    { name: "guest-info", enabled: true },
    { name: "guest-exec", enabled: false },
  ],
  hostname: "guest",
  os: { id: "debian", prettyName: "Debian GNU/Linux 13 (trixie)" },
  timezone: { zone: "CET", offset: 3600 },
  users: [{ userName: "debian", loginTime: 1_700_000_000.5 }],
  fileSystems: [
    {
      diskName: "vda1",
      mountPoint: "/",
      fileSystemType: "ext4",
      usedBytes: 1_000,
      totalBytes: 4_000,
      disks: [{ serial: "root", busType: "virtio" }],
    },
  ],
  frozen: false,
};

async function handlers(t: TestContext, routes: Routes, phase = "Running") {
  const { caches, agents } = await reachableLauncher(t, routes, { phase });
  const all = guestAgentHandlers(caches, agents);
  return (subresource: string, body?: unknown, name = "tiny") => {
    const group = "subresources.kubevirt.io";
    const path = {
      group,
      namespace: "default",
      resource: "virtualmachineinstances",
      name,
      subresource,
    } as const;
    const handler = all[`virtualmachineinstances/${subresource}`];
    assert(handler !== undefined);
    return handler.answer(path, body);
  };
}

const telling = (info: unknown): Routes => ({
  "GET /v1/launchers/pod-1/guest-agent": (request) => request.reply(200, info),
});

describe("what a guest agent knows", () => {
  it("is answered in KubeVirt's shapes", async (t) => {
    const ask = await handlers(t, telling(INFO));
    const userList = [{ userName: "debian", loginTime: 1_700_000_000.5 }];
    const disks = [
      {
        diskName: "vda1",
        mountPoint: "/",
        fileSystemType: "ext4",
        usedBytes: 1_000,
        totalBytes: 4_000,
        disk: [{ serial: "root", busType: "virtio" }],
      },
    ];
    assert.deepEqual(await ask("guestosinfo"), {
      guestAgentVersion: "10.0.2",
      supportedCommands: [{ name: "guest-info", enabled: true }, { name: "guest-exec" }],
      hostname: "guest",
      os: { id: "debian", prettyName: "Debian GNU/Linux 13 (trixie)" },
      timezone: "CET, 3600",
      userList,
      fsInfo: { disks },
      fsFreezeStatus: "thawed",
    });
    assert.deepEqual(await ask("userlist"), { metadata: {}, items: userList });
    assert.deepEqual(await ask("filesystemlist"), { metadata: {}, items: disks });
  });

  it("shows ten users at most with the rest, and all of them by themselves", async (t) => {
    const users = Array.from({ length: 30 }, (_, i) => ({ userName: `user-${i}`, loginTime: 0 }));
    const ask = await handlers(t, telling({ ...INFO, users }));
    assert.equal(((await ask("guestosinfo")) as { userList: unknown[] }).userList.length, 10);
    assert.equal(((await ask("userlist")) as { items: unknown[] }).items.length, 30);
  });

  it("is not passed on where a launcher tells nonsense", async (t) => {
    const ask = await handlers(t, telling({ ...INFO, users: [{ userName: {} }] }));
    await assert.rejects(ask("guestosinfo"), { code: "MalformedStatus" });
  });

  for (const [claim, status, code, reason] of [
    ["without an agent is a conflict", 409, "GuestAgentNotConnected", "Conflict"],
    ["of a silent agent is unavailable", 503, "GuestAgentUnresponsive", "ServiceUnavailable"],
    ["behind a launcher that is away is unavailable", 502, "ConnectionClosed", "ServiceUnavailable"],
    ["that the agent refuses is an internal error", 500, "GuestAgentRefused", "InternalError"],
  ] as const) {
    it(claim, async (t) => {
      const ask = await handlers(t, {
        "GET /v1/launchers/pod-1/guest-agent": () => {
          throw new RequestError(status, code, "its own words");
        },
      });
      await assert.rejects(ask("guestosinfo"), {
        reason,
        message: /guestosinfo .*default\/tiny: its own words/,
      });
    });
  }

  it("of a VMI that isn't there, or is over, is told so", async (t) => {
    const ask = await handlers(t, {}, "Succeeded");
    await assert.rejects(ask("guestosinfo", undefined, "other"), { reason: "NotFound" });
    await assert.rejects(ask("guestosinfo"), { reason: "Conflict", message: /not running/ });
  });
});

describe("a freeze", () => {
  it("travels with its time in seconds, and an unfreeze without", async (t) => {
    const bodies: unknown[] = [];
    const take: Routes[string] = async (request) => {
      bodies.push(await request.json());
      request.reply(204);
    };
    const ask = await handlers(t, {
      "POST /v1/launchers/pod-1/freeze": take,
      "POST /v1/launchers/pod-1/unfreeze": take,
    });
    assert.equal(await ask("freeze", { unfreezeTimeout: "5m0s" }), undefined);
    assert.equal(await ask("unfreeze"), undefined);
    assert.deepEqual(bodies, [{ unfreezeTimeoutSeconds: 300 }, {}]);
  });

  it("needs a time, and none becomes never by rounding", () => {
    for (const body of [undefined, null, {}, { unfreezeTimeout: 5 }, { unfreezeTimeout: "soon" }]) {
      assert.throws(() => freezeRequest(body), { reason: "BadRequest" });
    }
    assert.deepEqual(freezeRequest({ unfreezeTimeout: "1ms" }), { unfreezeTimeoutSeconds: 1 });
    assert.deepEqual(freezeRequest({ unfreezeTimeout: "0s" }), { unfreezeTimeoutSeconds: 0 });
  });
});
