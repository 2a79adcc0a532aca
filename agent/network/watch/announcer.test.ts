import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { FakeClock } from "../../../lib/fake-clock.ts";
import { announcementFrames, isGatewaysAnswer, type Presence } from "./announcement.ts";
import { announce } from "./announcer.ts";
import type { DatagramSocket } from "./sockets.ts";

const PRESENCE: Presence = {
  macAddress: "0a:58:0a:f4:00:07",
  addresses: ["10.244.0.7", "fd00::7"],
  gateways: ["10.244.0.1"],
};

/** The gateway's answer to the guest's MAC, changed at one octet where told. */
function answer(offset = 0, octet?: number): Buffer {
  const frame = Buffer.from(
    "0a580af40007" +
      "0a580af40001" +
      "0806" + // Ethernet
      "0001080006040002" +
      "0a580af40001" +
      "0af40001" +
      "0a580af40007" +
      "0af40007",
    "hex",
  );
  if (octet !== undefined) frame.writeUInt8(octet, offset);
  return frame;
}

async function pass(clock: FakeClock, durationMs: number): Promise<void> {
  clock.advance(durationMs);
  // What waited for the clock goes on.
  await setImmediate();
}

class FakeSocket implements DatagramSocket {
  readonly sent: Buffer[] = [];
  hear: (datagram: Buffer) => void = () => assert.fail("nobody listens");

  send(datagram: Uint8Array): boolean {
    this.sent.push(Buffer.from(datagram));
    return true;
  }

  onDatagram(listener: (datagram: Buffer) => void): void {
    this.hear = listener;
  }

  pause(): void {}

  resume(): void {}

  [Symbol.dispose](): void {}
}

test("the gateway is asked before the addresses are announced, so that its answer speaks for both", () => {
  const [request, arp, advertisement, ...rest] = announcementFrames(PRESENCE).map((frame) =>
    frame.toString("hex"),
  );
  assert.equal(
    request,
    "ffffffffffff0a580af400070806" + "0001080006040001" + "0a580af400070af40007" + "0000000000000af40001",
  );
  assert.equal(
    arp,
    "ffffffffffff0a580af400070806" + "0001080006040001" + "0a580af400070af40007" + "0000000000000af40007",
  );
  assert.equal(
    advertisement,
    "3333000000010a580af4000786dd" + // to all nodes
      "6000000000203aff" +
      "fd000000000000000000000000000007" +
      "ff020000000000000000000000000001" +
      "8800473d20000000" +
      "fd000000000000000000000000000007" +
      "02010a580af40007",
  );
  assert.deepEqual(rest, []);
});

test("an advertisement's checksum adds up to nothing, as the receiver looks at it", () => {
  const [, , frame] = announcementFrames(PRESENCE);
  assert.ok(frame);
  const pseudoHeader = Buffer.concat([frame.subarray(22, 54), Buffer.from([0, 0, 0, 32, 0, 0, 0, 58])]);
  const covered = Buffer.concat([pseudoHeader, frame.subarray(54)]);
  let sum = 0;
  for (let i = 0; i < covered.length; i += 2) sum += covered.readUInt16BE(i);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  assert.equal(sum, 0xffff);
});

test("only a gateway's reply to the guest's own MAC is its answer", () => {
  assert.ok(isGatewaysAnswer(answer(), PRESENCE));
  assert.ok(isGatewaysAnswer(Buffer.concat([answer(), Buffer.alloc(18)]), PRESENCE), "padded on the wire");
  assert.ok(!isGatewaysAnswer(answer(13, 0x00), PRESENCE), "another EtherType");
  assert.ok(!isGatewaysAnswer(answer(21, 1), PRESENCE), "a request");
  assert.ok(!isGatewaysAnswer(answer(31, 9), PRESENCE), "another sender");
  assert.ok(!isGatewaysAnswer(answer(37, 9), PRESENCE), "to another MAC");
  assert.ok(!isGatewaysAnswer(answer().subarray(0, 40), PRESENCE), "cut short");
});

test("announcing goes on until the gateway answers, and then stops at once", async () => {
  const socket = new FakeSocket();
  const clock = new FakeClock();
  const signal = new AbortController().signal;
  const announcing = announce(socket, PRESENCE, { signal, clock });
  assert.equal(socket.sent.length, 3);
  socket.hear(answer(31, 9));
  await pass(clock, 50);
  assert.equal(socket.sent.length, 6);
  socket.hear(answer());
  assert.equal(await announcing, true);
  await pass(clock, 10_000);
  assert.equal(socket.sent.length, 6);
});

test("without an answer it ends after twelve rounds in 32 seconds, and with its session at once", async () => {
  const clock = new FakeClock();
  const silent = { ...PRESENCE, gateways: [] };
  const socket = new FakeSocket();
  const announcing = announce(socket, silent, { signal: new AbortController().signal, clock });
  for (const [passedMs, rounds] of [
    [0, 1],
    [1550, 6],
    [31_949, 11],
    [31_950, 12],
    [60_000, 12],
  ] as const) {
    while (clock.monotonic() < passedMs) await pass(clock, Math.min(50, passedMs - clock.monotonic()));
    assert.equal(socket.sent.length, rounds * 2, `${passedMs} ms`);
  }
  assert.equal(await announcing, false);

  const controller = new AbortController();
  const cut = announce(new FakeSocket(), silent, { signal: controller.signal, clock });
  controller.abort(new Error("over"));
  await assert.rejects(cut, /over/);
});
