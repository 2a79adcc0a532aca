import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { FakeClock } from "../../../lib/fake-clock.ts";
import { advertise } from "./router.ts";
import { type GuestRouter, routerAdvertisementFrame } from "./router-advertisement.ts";
import type { DatagramSocket } from "./sockets.ts";

const ROUTER: GuestRouter = { macAddress: "02:00:00:00:00:00", address: "fe80::1", mtu: 1400 };
const THIRTY_MINUTES_MS = 1_800_000;

class FakeSocket implements DatagramSocket {
  sent = 0;
  isPaused = false;
  #listener: (datagram: Buffer) => void = () => assert.fail("nobody listens");

  send(): boolean {
    this.sent++;
    return true;
  }

  onDatagram(listener: (datagram: Buffer) => void): void {
    this.#listener = listener;
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
  }

  ask(): void {
    this.#listener(Buffer.alloc(0));
  }

  [Symbol.dispose](): void {}
}

async function pass(clock: FakeClock, durationMs: number): Promise<void> {
  clock.advance(durationMs);
  // What waited for the clock goes on.
  await setImmediate();
}

test("the advertisement says: a router for 9000 s, addresses by DHCPv6, the pod's MTU", () => {
  assert.equal(
    routerAdvertisementFrame(ROUTER).toString("hex"),
    "333300000001" +
      "020000000000" +
      "86dd" +
      "6000000000203aff" +
      "fe800000000000000000000000000001" +
      "ff020000000000000000000000000001" +
      "8600" +
      "0abd" + // as a Linux host checks it (masquerade6.boundary.test.ts)
      "40c02328" +
      "0000000000000000" +
      "0101020000000000" +
      "0501000000000578",
  );
});

test("a router advertises itself at once, when asked, and every half hour", async () => {
  const clock = new FakeClock();
  const socket = new FakeSocket();
  const controller = new AbortController();
  const ended = advertise(socket, ROUTER, { signal: controller.signal, clock });
  assert.equal(socket.sent, 1);
  await pass(clock, 3000);
  socket.ask();
  await setImmediate();
  assert.equal(socket.sent, 2);
  await pass(clock, 3000);
  await pass(clock, THIRTY_MINUTES_MS - 1);
  assert.equal(socket.sent, 2);
  await pass(clock, 1);
  assert.equal(socket.sent, 3);
  controller.abort(new Error("over"));
  await assert.rejects(ended, /over/);
});

test("who asks before the next may be sent is answered as soon as it may", async () => {
  const clock = new FakeClock();
  const socket = new FakeSocket();
  const controller = new AbortController();
  const ended = advertise(socket, ROUTER, { signal: controller.signal, clock });
  await pass(clock, 1500);
  assert.equal(socket.isPaused, false);
  socket.ask();
  await pass(clock, 1499);
  assert.equal(socket.sent, 1);
  await pass(clock, 1);
  assert.equal(socket.sent, 2);
  controller.abort(new Error("over"));
  await assert.rejects(ended, /over/);
});

test("who asks without end is answered every three seconds, and not heard in between", async () => {
  const clock = new FakeClock();
  const socket = new FakeSocket();
  const controller = new AbortController();
  const ended = advertise(socket, ROUTER, { signal: controller.signal, clock });
  socket.ask();
  for (let second = 0; second < 30; second++) {
    if (!socket.isPaused) socket.ask();
    await setImmediate();
    await pass(clock, 1000);
  }
  assert.ok(socket.sent >= 10 && socket.sent <= 11, String(socket.sent));
  controller.abort(new Error("over"));
  await assert.rejects(ended, /over/);
});
