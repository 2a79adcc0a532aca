import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { GuestInterface } from "../../api/guest-agent.ts";
import type { LauncherStatus } from "../../api/launcher-protocol.ts";
import { guestAgentConditions, guestStatus, mergeInterfaces } from "./guest-agent.ts";

const OWN = {
  name: "default",
  mac: "02:00:00:00:00:01",
  podInterfaceName: "eth0",
  infoSource: "domain",
  ipAddresses: ["10.244.0.7"],
  ipAddress: "10.244.0.7",
};

const told = (over: Partial<GuestInterface>): GuestInterface => ({
  interfaceName: "enp1s0",
  macAddress: "02:00:00:00:00:01",
  ipAddresses: ["10.244.0.7"],
  ...over,
});

const launcher = (over: Partial<LauncherStatus>): LauncherStatus => ({
  phase: "running",
  interfaces: [],
  timeline: { launcherStarted: "2026-01-01T00:00:00.000Z" },
  ...over,
});

describe("the interfaces of a VMI", () => {
  it("stay as they are without an agent", () => {
    assert.deepEqual(mergeInterfaces([OWN], []), [OWN]);
  });

  it("get the guest's name for them, by MAC address in either case", () => {
    assert.deepEqual(mergeInterfaces([{ ...OWN, mac: "02:00:00:00:00:01".toUpperCase() }], [told({})]), [
      {
        ...OWN,
        mac: "02:00:00:00:00:01",
        infoSource: "domain, guest-agent",
        interfaceName: "enp1s0",
      },
    ]);
  });

  for (const [claim, own, guest, expected] of [
    ["keep the pod's address where the guest has another", ["10.0.0.1"], ["192.168.0.9"], ["10.0.0.1"]],
    ["lose theirs where the guest has none of the family", ["10.0.0.1"], ["fe80::1"], ["fe80::1"]],
    ["lose theirs where the guest has none at all", ["10.0.0.1"], [], []],
    ["get what only the guest knows", [], ["fe80::1", "192.168.0.9"], ["192.168.0.9", "fe80::1"]],
    ["get the guest's of another family", ["10.0.0.1"], ["fe80::1", "10.0.0.1"], ["10.0.0.1", "fe80::1"]],
  ] as const) {
    it(claim, () => {
      const { ipAddress: _, ...iface } = OWN;
      const [merged] = mergeInterfaces([{ ...iface, ipAddresses: [...own] }], [told({ ipAddresses: guest })]);
      assert.deepEqual(merged?.ipAddresses, expected);
      assert.equal(merged?.ipAddress, expected[0]);
    });
  }

  it("are followed by those that only the guest has", () => {
    const bridge = {
      interfaceName: "docker0",
      macAddress: "02:42:00:00:00:01",
      ipAddresses: ["fd00::1", "172.17.0.1"],
    };
    const { macAddress: _, ...tunnel } = { ...bridge, interfaceName: "tun0", ipAddresses: [] };
    assert.deepEqual(mergeInterfaces([OWN], [bridge, told({}), tunnel]).slice(1), [
      {
        interfaceName: "docker0",
        infoSource: "guest-agent",
        mac: "02:42:00:00:00:01",
        ipAddresses: ["fd00::1", "172.17.0.1"],
        ipAddress: "172.17.0.1",
      },
      { interfaceName: "tun0", infoSource: "guest-agent", ipAddresses: [] },
    ]);
  });
});

describe("the conditions of a guest's agent", () => {
  it("are none without an agent and credentials", () => {
    assert.deepEqual(guestAgentConditions(launcher({})), []);
  });

  it("tell of its connection, of what it lacks and of the credentials", () => {
    const conditions = guestAgentConditions(
      launcher({
        guestAgent: { interfaces: [], frozen: false, unsupported: "the guest agent lacks guest-get-users" },
        accessCredentials: { synchronized: false, message: "there is no user jane" },
      }),
    );
    assert.deepEqual(conditions, [
      { type: "AgentConnected", status: "True" },
      {
        type: "AgentVersionNotSupported",
        status: "True",
        reason: "RequiredCommandsMissing",
        message: "the guest agent lacks guest-get-users",
      },
      {
        type: "AccessCredentialsSynchronized",
        status: "False",
        reason: "AccessCredentialsSyncFailed",
        message: "there is no user jane",
      },
    ]);
  });
});

describe("the guest's system", () => {
  it("is told as the agent tells it, and stands while it tells nothing", () => {
    const guestAgent = { interfaces: [], frozen: false };
    assert.deepEqual(guestStatus(launcher({ guestAgent: { ...guestAgent, os: { id: "debian" } } })), {
      guestOSInfo: { id: "debian" },
    });
    assert.deepEqual(guestStatus(launcher({ guestAgent })), {});
    assert.deepEqual(guestStatus(launcher({})), {});
  });

  it("is frozen only while its agent says so", () => {
    const frozen = launcher({ guestAgent: { interfaces: [], frozen: true } });
    assert.deepEqual(guestStatus(frozen), { fsFreezeStatus: "frozen" });
  });
});
