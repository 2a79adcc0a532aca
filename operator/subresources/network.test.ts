/** `virtpod net`'s subresource, from the handler to a node's agent that answers as the uplink's protocol says. */
import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import type { DhcpState, WiredPath } from "../../api/network-path.ts";
import type { Routes } from "../../transport/server.ts";
import { reachableLauncher } from "./launcher.fixture.ts";
import { networkHandlers } from "./network.ts";

const traffic = { bytes: 1500, packets: 2, dropped: 1 };
const WIRED: WiredPath = {
  interfaces: [
    {
      name: "default",
      binding: "masquerade",
      guestMacAddress: "02:00:00:00:00:07",
      links: [
        {
          role: "tap",
          name: "tap0",
          macAddress: "fe:00:00:00:00:01",
          mtu: 1450,
          isUp: true,
          addresses: [],
          fromGuest: traffic,
          toGuest: traffic,
        },
      ],
      dropped: [{ chain: "from-tap0", rule: "vlan", packets: 3, bytes: 180 }],
    },
  ],
  differences: ["eth0: is down"],
};
const DHCP: DhcpState = {
  leases: {
    default: {
      address: "10.0.2.2/24",
      router: "10.0.2.1",
      routes: [{ destination: "0.0.0.0/0", gateway: "10.0.2.1" }],
      dnsServers: ["10.96.0.10"],
      searchDomains: ["svc.cluster.local"],
      mtu: 1450,
      leaseSeconds: 86_400,
      acknowledged: "2026-01-01T00:00:00.000Z",
    },
  },
  counters: { ack: 1 },
};

/** Asks for the network of one VMI whose node's agent serves these routes. */
async function asking(t: TestContext, routes: Routes): Promise<() => Promise<unknown>> {
  const { caches, agents } = await reachableLauncher(t, routes);
  const handler = networkHandlers(caches, agents)["virtualmachineinstances/network"];
  assert.equal(handler?.group, "subresources.virtpod.io");
  const path = {
    group: "subresources.virtpod.io",
    namespace: "default",
    resource: "virtualmachineinstances",
    name: "tiny",
    subresource: "network",
  } as const;
  return () => handler.answer(path, undefined);
}

const wired = (answer: unknown = WIRED): Routes => ({
  "GET /v1/launchers/pod-1/network": (request) => request.reply(200, answer),
});
const dhcp = (answer: unknown = DHCP): Routes => ({
  "GET /v1/launchers/pod-1/dhcp": (request) => request.reply(200, answer),
});

describe("a guest's network", () => {
  it("is what the agent sees, with the launcher's leases", async (t) => {
    const ask = await asking(t, { ...wired(), ...dhcp() });
    assert.deepEqual(await ask(), {
      interfaces: WIRED.interfaces.map((one) => ({ ...one, lease: DHCP.leases["default"] })),
      differences: WIRED.differences,
      dhcpCounters: { ack: 1 },
    });
  });

  it("is told without leases where the launcher is of an earlier version", async (t) => {
    const ask = await asking(t, wired());
    assert.deepEqual(await ask(), { ...WIRED, dhcpCounters: {} });
  });

  it("is refused with the agent's reason", async (t) => {
    const ask = await asking(t, {});
    await assert.rejects(ask(), {
      name: "StatusError",
      code: 404,
      message: /network of the VMI default\/tiny/,
    });
  });

  it("is refused where agent or launcher tell what nobody agreed on", async (t) => {
    for (const routes of [
      { ...wired({ interfaces: 1 }), ...dhcp() },
      { ...wired({ ...WIRED, interfaces: [{ ...WIRED.interfaces[0], binding: "none" }] }), ...dhcp() },
      { ...wired(), ...dhcp({ leases: { default: {} }, counters: {} }) },
      { ...wired(), ...dhcp({ leases: {}, counters: { ack: "many" } }) },
    ]) {
      const ask = await asking(t, routes);
      await assert.rejects(ask(), { name: "StatusError", code: 503 });
    }
  });
});
