/** Ports of a guest whose pod has the address 127.0.0.1. */
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { describe, it } from "node:test";
import { cachesOf, type MachineState } from "./launcher.fixture.ts";
import type { SubresourcePath } from "./path.ts";
import { openPort } from "./port-forward.ts";
import { StatusError } from "./status.ts";

const GUEST: MachineState = { podIP: "127.0.0.1" };

function forward(
  parameters: readonly string[],
  state = GUEST,
  resource: SubresourcePath["resource"] = "virtualmachineinstances",
) {
  const path = { group: "subresources.kubevirt.io", namespace: "default", resource, name: "tiny" };
  return openPort(cachesOf(state), { ...path, subresource: "portforward", parameters });
}

const refused = (reason: string, message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof StatusError, String(error));
  assert.match(error.message, message);
  assert.equal(error.reason, reason);
  return true;
};

async function listening(): Promise<{ port: string; accept: () => Promise<Socket>; close: () => void }> {
  const server = createServer({ allowHalfOpen: true }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const accepted = once(server, "connection");
  return {
    port: String((server.address() as AddressInfo).port),
    accept: async () => (await accepted)[0] as Socket,
    close: () => server.close(),
  };
}

describe("a TCP port of a guest", () => {
  for (const [what, protocol, state, resource] of [
    ["of a VMI", ["tcp"], GUEST, "virtualmachineinstances"],
    ["without a protocol", [], GUEST, "virtualmachineinstances"],
    ["of a VM", ["tcp"], { ...GUEST, vmStatus: "Running" }, "virtualmachines"],
  ] as const) {
    it(`is dialled at its pod's address: ${what}`, async () => {
      const service = await listening();
      const session = await forward([service.port, ...protocol], state, resource);
      assert.ok(session.kind === "bytes");
      const socket = await service.accept();
      session.stream.write("ping");
      assert.equal(String((await once(socket, "data"))[0]), "ping");
      socket.end("pong");
      assert.equal(String((await once(session.stream, "data"))[0]), "pong");
      session.stream.end();
      service.close();
    });
  }

  it("is not what the guest tells of its addresses", async () => {
    const service = await listening();
    const state = { podIP: "127.0.0.2", status: { interfaces: [{ ipAddress: "127.0.0.1" }] } };
    await assert.rejects(forward([service.port], state), refused("ServiceUnavailable", /127\.0\.0\.2/));
    service.close();
  });

  it("at which nothing listens is told so", async () => {
    const { port, close } = await listening();
    close();
    await assert.rejects(
      forward([port, "tcp"]),
      refused("ServiceUnavailable", new RegExp(`TCP port ${port} of the VMI default/tiny .*nothing listens`)),
    );
  });
});

it("a UDP port of a guest is reached by datagrams", async () => {
  const service = createSocket("udp4").bind(0, "127.0.0.1");
  await once(service, "listening");
  const session = await forward([String(service.address().port), "udp"]);
  assert.ok(session.kind === "datagrams");
  session.socket.send("ping");
  assert.equal(String((await once(service, "message"))[0]), "ping");
  session.socket.close();
  service.close();
});

describe("a port is refused", () => {
  for (const parameters of [
    [],
    ["0"],
    ["65536"],
    ["http"],
    ["-1"],
    ["22", "tcp", "x"],
    ["1e3"],
    ["22", "sctp"],
  ]) {
    it(`that is none: ${parameters.join("/")}`, () =>
      assert.rejects(forward(parameters), refused("BadRequest", /portforward/)));
  }

  for (const [what, state, message] of [
    [
      "has no interface on the pod network",
      { spec: { domain: { devices: { autoattachPodInterface: false } } } },
      /no interface on the pod network/,
    ],
    [
      "has other networks only",
      { spec: { domain: { devices: {} }, networks: [{ name: "a", multus: { networkName: "a" } }] } },
      /no interface on the pod network/,
    ],
    ["has no address yet", { podIP: "" }, /no address yet/],
    ["is paused", { isPaused: true }, /paused: let it go on with "virtpod unpause tiny"/],
  ] as const) {
    it(`of a guest that ${what}`, () =>
      assert.rejects(forward(["22"], { ...GUEST, ...state }), refused("Conflict", message)));
  }
});
