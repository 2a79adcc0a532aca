import assert from "node:assert/strict";
import { test } from "node:test";
import { clientMessage, DISCOVER_OPTIONS, LEASE } from "./packet.fixture.ts";
import { startDhcpServer } from "./server.ts";
import type { DhcpServer, Lease } from "./types.ts";
import { Wire } from "./wire.fixture.ts";

const DISCOVER = clientMessage({ options: DISCOVER_OPTIONS });

async function serving(lease: Lease = LEASE): Promise<{ wire: Wire; server: DhcpServer }> {
  const wire = new Wire();
  return { wire, server: await startDhcpServer({ leases: [lease], createSocket: wire.createSocket }) };
}

test("options that a client's messages have no room for are told of once", async () => {
  const privateOptions = [1, 250, 251].map((length, n) => ({
    option: 224 + n,
    value: "x".repeat(length),
  }));
  const { wire, server } = await serving({ ...LEASE, privateOptions });
  const told: unknown[] = [];
  server.on("omitted", (event) => told.push(event));
  wire.deliver(0, DISCOVER);
  wire.deliver(0, DISCOVER);
  assert.deepEqual(told, [{ interfaceName: "default", options: [225, 226] }]);
  assert.deepEqual(server.counters(), { offer: 2, optionsOmitted: 2 });
});

test("a kernel that takes no replies costs 64 of them, and the rest are counted", async () => {
  const { wire, server } = await serving();
  wire.isOpen = false;
  for (let n = 0; n < 100; n++) wire.deliver(0, DISCOVER);
  assert.equal(wire.sent.length, 64);
  assert.deepEqual(server.counters(), { sendQueueFull: 36 });
});

test("a server that was closed answers nothing", async () => {
  const { wire, server } = await serving();
  await server.close();
  wire.deliver(0, DISCOVER);
  assert.equal(wire.sent.length, 0);
});
