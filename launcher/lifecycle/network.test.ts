import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { describe, it } from "node:test";
import type { LaunchInterface } from "../../api/launch-spec.ts";
import type { Attachment } from "../../api/launcher-protocol.ts";
import type { InterfaceAttachment } from "../../api/pod-interface.ts";
import { FakeClock } from "../../lib/fake-clock.ts";
import { leaseFor } from "../dhcp/lease.ts";
import type { DhcpServer, DhcpServerEvents, Lease } from "../dhcp/types.ts";
import type { GuestPort } from "../loopback/ports.ts";
import { GuestNetwork } from "./network.ts";

class FakeDhcpServer extends EventEmitter<DhcpServerEvents> implements DhcpServer {
  counters = () => ({ ack: 2 });
  close = () => Promise.resolve();
}

const INTERFACE: LaunchInterface = {
  name: "default",
  binding: "bridge",
  podInterface: "eth0",
  model: "virtio",
  queues: 1,
};

const ATTACHED: InterfaceAttachment = {
  name: "default",
  podInterface: {
    name: "eth0",
    macAddress: "02:00:00:00:00:07",
    mtu: 1450,
    addresses: ["10.244.0.7/24"],
    routes: [{ destination: "0.0.0.0/0", gateway: "10.244.0.1" }],
    neighbours: [],
  },
  guest: { macAddress: "02:00:00:00:00:07" },
  tap: { name: "tap0", queues: 1 },
  bridge: { name: "k6t-eth0", macAddress: "02:00:00:00:00:08", address: "169.254.75.10" },
};

const OK: Attachment = { ok: true, interfaces: [ATTACHED] };

function bench(interfaces: readonly LaunchInterface[] = [INTERFACE], dhcpFailure?: Error) {
  const told: string[] = [];
  const started: (readonly Lease[])[] = [];
  const looped: GuestPort[] = [];
  const server = new FakeDhcpServer();
  const ended = Promise.withResolvers<void>();
  const quiet = () => {};
  const warned: unknown[] = [];
  const warn = (what: unknown) => void warned.push(what);
  const clock = new FakeClock();
  const network = new GuestNetwork({
    spec: { interfaces },
    clock,
    log: { debug: quiet, info: quiet, warn, error: quiet, fatal: quiet },
    leaseFor: (attachment) =>
      leaseFor({ attachment, resolvConf: "nameserver 10.96.0.10\n", hostname: "vm-a", namespace: "default" }),
    startDhcp6Server: () => undefined,
    loopbackPorts: { listen: async (ports) => void looped.push(...ports), close: () => {} },
    startDhcpServer: async (leases) => {
      if (dhcpFailure !== undefined) throw dhcpFailure;
      started.push(leases);
      return server;
    },
    onReady: () => {
      told.push("ready");
      ended.resolve();
    },
    onFailed: (code) => {
      told.push(`failed ${code}`);
      ended.resolve();
    },
    onChange: () => told.push("change"),
  });
  return { network, told, started, looped, server, clock, warned, ended: ended.promise };
}

describe("the guest's network", () => {
  it("is ready once DHCP serves the address of the pod", async () => {
    const { network, told, started, ended } = bench();
    network.attach(OK);
    await ended;
    assert.deepEqual(told, ["change", "ready"]);
    assert.equal(started[0]?.[0]?.address, "10.244.0.7");
    assert.deepEqual(network.interfaces, [
      {
        name: "default",
        macAddress: "02:00:00:00:00:07",
        podInterfaceName: "eth0",
        ipAddresses: ["10.244.0.7"],
        queueCount: 1,
        leased: false,
      },
    ]);
  });

  it("has the listed ports on the pod's loopback once it is ready", async () => {
    const { network, looped, ended } = bench([{ ...INTERFACE, loopbackPorts: [80, 22] }]);
    network.attach(OK);
    await ended;
    const addresses = { guestAddress: "10.244.0.7", ownAddress: ATTACHED.bridge.address };
    assert.deepEqual(looped, [
      { port: 80, ...addresses },
      { port: 22, ...addresses },
    ]);
  });

  it("behind masquerade is reached at the pod's addresses, whatever the guest is given", async () => {
    const { network, started, ended } = bench();
    const guest = {
      macAddress: "02:00:00:00:00:77",
      subnet: { address: "10.0.2.2/24", gateway: "10.0.2.1" },
    };
    const bridge = { ...ATTACHED.bridge, address: "10.0.2.1" };
    network.attach({ ok: true, interfaces: [{ ...ATTACHED, guest, bridge }] });
    await ended;
    assert.equal(started[0]?.[0]?.address, "10.0.2.2");
    assert.deepEqual(network.interfaces[0]?.ipAddresses, ["10.244.0.7"]);
  });

  it("on a wire without addresses is ready without DHCP", async () => {
    const { network, told, started, ended } = bench();
    const podInterface = { ...ATTACHED.podInterface, addresses: [], routes: [] };
    const { address: _, ...bridge } = ATTACHED.bridge;
    network.attach({ ok: true, interfaces: [{ ...ATTACHED, podInterface, bridge }] });
    await ended;
    assert.deepEqual([told, started], [["change", "ready"], []]);
    assert.deepEqual(network.interfaces[0]?.ipAddresses, []);
  });

  it("attached again by a restarted agent starts nothing a second time", async () => {
    const { network, told, started, ended } = bench();
    network.attach(OK);
    await ended;
    network.attach(structuredClone(OK));
    assert.equal(started.length, 1);
    assert.deepEqual(told, ["change", "ready"]);
  });

  it("attached otherwise than before refuses, and keeps what it has", async () => {
    const { network, ended } = bench();
    network.attach(OK);
    await ended;
    const other: Attachment = {
      ok: true,
      interfaces: [{ ...ATTACHED, guest: { macAddress: "02:00:00:00:00:99" } }],
    };
    assert.throws(() => network.attach(other), { status: 409, code: "AttachmentChanged" });
    assert.throws(() => network.attach({ ok: false, code: "X", message: "m" }), { status: 409 });
    assert.equal(network.interfaces[0]?.macAddress, "02:00:00:00:00:07");
  });

  it("tells the first lease and no renewal", async () => {
    const { network, told, server, ended } = bench();
    network.attach(OK);
    await ended;
    const event = { interfaceName: "default", macAddress: "02:00:00:00:00:07", address: "10.244.0.7" };
    server.emit("leased", event);
    server.emit("leased", event);
    assert.deepEqual(told, ["change", "ready", "change"]);
    assert.equal(network.interfaces[0]?.leased, true);
  });

  it("tells what each guest is offered, when it last took it, and what became of its messages", async () => {
    const { network, server, clock, ended } = bench();
    assert.deepEqual(network.dhcp(), { leases: {}, counters: {} });
    network.attach(OK);
    await ended;
    const offered = {
      address: "10.244.0.7/24",
      router: "10.244.0.1",
      routes: [{ destination: "0.0.0.0/0", gateway: "10.244.0.1" }],
      dnsServers: ["10.96.0.10"],
      searchDomains: [],
      mtu: 1450,
      leaseSeconds: 86_400,
    };
    assert.deepEqual(network.dhcp(), { leases: { default: offered }, counters: { ack: 2 } });
    const event = { interfaceName: "default", macAddress: "02:00:00:00:00:07", address: "10.244.0.7" };
    server.emit("leased", event);
    clock.advance(43_200_000);
    server.emit("leased", event);
    assert.equal(network.dhcp().leases["default"]?.acknowledged, "2026-01-01T12:00:00.000Z");
  });

  it("of a guest that declines its address without end is told of once a minute for each interface", async () => {
    const { network, server, clock, warned, ended } = bench();
    network.attach(OK);
    await ended;
    const event = { interfaceName: "default", macAddress: "02:00:00:00:00:07", address: "10.244.0.7" };
    const told = { interface: "default", address: "10.244.0.7" };
    for (let n = 0; n < 100; n++) server.emit("declined", event);
    assert.deepEqual(warned, [told]);
    server.emit("declined", { ...event, interfaceName: "second" });
    assert.deepEqual(warned, [told, { ...told, interface: "second" }]);
    clock.advance(59_999);
    server.emit("declined", event);
    assert.equal(warned.length, 2);
    clock.advance(1);
    server.emit("declined", event);
    assert.deepEqual(warned.slice(2), [told]);
  });

  it("that the agent refuses fails with the agent's code", async () => {
    const { network, told } = bench();
    network.attach({ ok: false, code: "HostNetwork", message: "the pod has the node's network" });
    assert.deepEqual(told, ["failed HostNetwork"]);
  });

  it("fails where an interface is missing, has no address, or DHCP can't listen", async () => {
    const missing = bench();
    missing.network.attach({ ok: true, interfaces: [] });
    await missing.ended;
    assert.deepEqual(missing.told, ["failed AttachmentIncomplete"]);

    const bare = bench();
    bare.network.attach({
      ok: true,
      interfaces: [{ ...ATTACHED, podInterface: { ...ATTACHED.podInterface, addresses: [] } }],
    });
    await bare.ended;
    assert.deepEqual(bare.told, ["failed NoIPv4Address"]);

    const deaf = bench([INTERFACE], Object.assign(new Error("EADDRINUSE"), { code: "DhcpServerFailed" }));
    deaf.network.attach(OK);
    await deaf.ended;
    assert.deepEqual(deaf.told, ["change", "failed DhcpServerFailed"]);
  });

  it("of a guest without interfaces is ready without a DHCP server", async () => {
    const { network, told, started, ended } = bench([]);
    network.attach({ ok: true, interfaces: [] });
    await ended;
    assert.deepEqual(told, ["change", "ready"]);
    assert.equal(started.length, 0);
  });
});
