import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { decodeRequest } from "./codec.ts";
import { type ClientMessage, clientMessage, LEASE } from "./packet.fixture.ts";
import { type Decision, respond } from "./responder.ts";
import { termsOf } from "./terms.ts";
import type { Lease } from "./types.ts";

const OWN = [10, 244, 0, 7] as const;
const OTHER = [10, 244, 0, 99] as const;
const SERVER = [169, 254, 75, 10] as const;
const BROADCAST = "255.255.255.255:68";
const UNICAST = `${LEASE.address}:68`;
/** Without what is sent to those who don't ask. */
const PLAIN: Lease = { ...LEASE, ntpServers: [] };

function decide(message: ClientMessage, lease: Lease = PLAIN): Decision {
  const decoded = decodeRequest(clientMessage(message));
  assert.ok(decoded.ok);
  return respond(decoded.request, termsOf(lease));
}

interface Reply {
  readonly kind: string;
  readonly leased: boolean;
  /** Address and port. */
  readonly destination: string;
  readonly bytes: Uint8Array;
  readonly codes: readonly number[];
  option(code: number): readonly number[] | undefined;
}

function reply(message: ClientMessage, lease: Lease = PLAIN): Reply {
  const decision = decide(message, lease);
  assert.ok(!decision.silent, "there is an answer");
  const { kind, leased, destination, port, message: encoded } = decision.answer;
  const options: [number, number[]][] = [];
  for (let at = 240; encoded.bytes[at] !== 255; ) {
    const [code = 0, length = 0] = encoded.bytes.subarray(at, at + 2);
    options.push([code, [...encoded.bytes.subarray(at + 2, at + 2 + length)]]);
    at += 2 + length;
  }
  return {
    kind,
    leased,
    destination: `${destination}:${port}`,
    bytes: encoded.bytes,
    codes: options.map(([code]) => code),
    option: (code) => options.find(([other]) => other === code)?.[1],
  };
}

function silence(message: ClientMessage): string {
  const decision = decide(message);
  return decision.silent ? decision.reason : `answered ${decision.answer.kind}`;
}

const list = (...codes: number[]): number[] => [55, codes.length, ...codes];

describe("DISCOVER", () => {
  test("is offered the one address, with the times, from this server", () => {
    const offer = reply({ transactionId: 0x01020304, options: [53, 1, 1, 255] });
    assert.equal(offer.kind, "offer");
    assert.equal(offer.leased, false);
    assert.deepEqual(offer.option(53), [2]);
    assert.deepEqual(offer.option(54), SERVER);
    assert.deepEqual(offer.option(51), [0, 1, 0x51, 0x80]);
    assert.deepEqual(offer.option(58), [0, 0, 0xa8, 0xc0]);
    assert.deepEqual(offer.option(59), [0, 1, 0x27, 0x50]);
    assert.deepEqual([...offer.bytes.subarray(0, 8)], [2, 1, 6, 0, 1, 2, 3, 4]);
    assert.deepEqual([...offer.bytes.subarray(12, 24)], [0, 0, 0, 0, ...OWN, 0, 0, 0, 0]);
    assert.ok(offer.bytes.length >= 300);
  });

  test("is answered by unicast, and by broadcast to a client that asks for it", () => {
    assert.equal(reply({ options: [53, 1, 1, 255] }).destination, UNICAST);
    assert.equal(reply({ flags: 0x8000, options: [53, 1, 1, 255] }).destination, BROADCAST);
  });

  test("with an address filled in, or another one wished for, is still offered ours", () => {
    const offer = reply({ clientAddress: OTHER, options: [53, 1, 1, 50, 4, ...OTHER, 255] });
    assert.deepEqual([...offer.bytes.subarray(12, 20)], [0, 0, 0, 0, ...OWN]);
    assert.equal(offer.destination, UNICAST);
  });
});

describe("REQUEST", () => {
  const states: readonly (readonly [state: string, own: ClientMessage, other: ClientMessage])[] = [
    [
      "SELECTING",
      { options: [53, 1, 3, 50, 4, ...OWN, 54, 4, ...SERVER, 255] },
      { options: [53, 1, 3, 50, 4, ...OTHER, 54, 4, ...SERVER, 255] },
    ],
    [
      "INIT-REBOOT",
      { options: [53, 1, 3, 50, 4, ...OWN, 255] },
      { options: [53, 1, 3, 50, 4, ...OTHER, 255] },
    ],
    [
      "RENEWING",
      { clientAddress: OWN, options: [53, 1, 3, 255] },
      { clientAddress: OTHER, options: [53, 1, 3, 255] },
    ],
    [
      "REBINDING",
      { clientAddress: OWN, flags: 0x8000, options: [53, 1, 3, 255] },
      { clientAddress: OTHER, flags: 0x8000, options: [53, 1, 3, 255] },
    ],
  ];
  for (const [state, own, other] of states) {
    test(`in ${state} is granted the pod's address`, () => {
      const ack = reply(own);
      assert.equal(ack.kind, "ack");
      assert.equal(ack.leased, true);
      assert.equal(ack.destination, UNICAST);
      assert.deepEqual(ack.option(53), [5]);
      assert.deepEqual(ack.option(51), [0, 1, 0x51, 0x80]);
      assert.deepEqual([...ack.bytes.subarray(12, 16)], own.clientAddress ?? [0, 0, 0, 0]);
      assert.deepEqual([...ack.bytes.subarray(16, 20)], OWN);
    });

    test(`in ${state} is refused any other, for all to hear and without a lease`, () => {
      const nak = reply({ ...other, options: [61, 2, 1, 2, ...(other.options ?? [])] });
      assert.equal(nak.kind, "nak");
      assert.equal(nak.leased, false);
      assert.equal(nak.destination, BROADCAST);
      assert.deepEqual(nak.codes, [53, 54, 56, 61]);
      assert.deepEqual([...nak.bytes.subarray(12, 28)], new Array(16).fill(0));
    });
  }

  test("of another server is none of ours", () => {
    assert.equal(silence({ options: [53, 1, 3, 50, 4, ...OWN, 54, 4, 192, 0, 2, 1, 255] }), "otherServer");
  });

  test("without any address is not answered", () => {
    assert.equal(silence({ options: [53, 1, 3, 255] }), "requestWithoutAddress");
  });
});

describe("INFORM", () => {
  test("is told the parameters, but no address and no times", () => {
    const ack = reply({ clientAddress: OWN, options: [53, 1, 8, ...list(1, 6, 51, 58, 59), 255] });
    assert.deepEqual(ack.codes, [53, 54, 1, 6]);
    assert.equal(ack.leased, false);
    assert.equal(ack.destination, UNICAST);
    assert.deepEqual([...ack.bytes.subarray(12, 20)], [...OWN, 0, 0, 0, 0]);
  });

  test("from an address that is not the guest's is not answered", () => {
    assert.equal(silence({ clientAddress: OTHER, options: [53, 1, 8, 255] }), "foreignAddress");
  });
});

describe("options", () => {
  test("come in the client's order, each once, and nothing besides", () => {
    const offer = reply({ options: [53, 1, 1, ...list(119, 6, 1, 3, 6, 12), 255] });
    assert.deepEqual(offer.codes, [53, 54, 51, 58, 59, 119, 6, 1, 3, 12]);
  });

  test("have the mask before the router, whatever the client's order", () => {
    assert.deepEqual(reply({ options: [53, 1, 1, ...list(3, 6, 1), 255] }).codes.slice(5), [1, 3, 6]);
  });

  test("are all there is when the client asks for nothing in particular", () => {
    const codes = reply({ options: [53, 1, 1, 57, 2, 5, 220, 255] }, LEASE).codes;
    assert.deepEqual(codes, [53, 54, 51, 58, 59, 1, 3, 6, 12, 15, 26, 28, 42, 119, 121]);
  });

  test("carry the default route in 121, and again in 249 for clients that know no better", () => {
    const offer = reply({ options: [53, 1, 1, ...list(121, 249), 255] });
    assert.deepEqual(offer.option(121), [0, 10, 244, 0, 1]);
    assert.deepEqual(offer.option(249), [0, 10, 244, 0, 1]);
  });

  test("that no server has are passed over", () => {
    const offer = reply({ options: [53, 1, 1, ...list(50, 52, 55, 56, 60, 61, 80, 116, 145), 255] });
    assert.deepEqual(offer.codes, [53, 54, 51, 58, 59]);
  });

  test("61 and 82 come back as they came, 82 last", () => {
    const offer = reply({ options: [53, 1, 1, 82, 3, 1, 200, 9, 61, 3, 0, 0, 7, ...list(1), 255] });
    assert.deepEqual(offer.codes, [53, 54, 51, 58, 59, 1, 61, 82]);
    assert.deepEqual(offer.option(61), [0, 0, 7]);
    assert.deepEqual(offer.option(82), [1, 200, 9]);
  });

  test("keep within the client's limit, which is never below 576, and within the link's MTU", () => {
    const searchDomains = Array.from({ length: 32 }, (_, n) => `${"x".repeat(60)}.n${n}.example`);
    for (const [size, mtu, limit] of [
      [0, 1500, 548],
      [1, 1500, 548],
      [1000, 1500, 972],
      [65_535, 9000, 1472],
      [65_535, 1450, 1422],
      [65_535, 400, 548],
    ] as const) {
      const decision = decide(
        { options: [53, 1, 1, 57, 2, size >> 8, size & 255, 255] },
        { ...PLAIN, mtu, searchDomains },
      );
      assert.ok(!decision.silent);
      assert.ok(decision.answer.message.bytes.length <= limit);
      assert.deepEqual(decision.answer.message.omitted, [119], "the search list, and it alone, has no room");
    }
  });

  test("that the client wants to see again come before parameters, where there is no room for both", () => {
    const offer = reply({ options: [53, 1, 1, 61, 255, ...new Array(255).fill(7), ...list(12, 119), 255] });
    assert.equal(offer.option(61)?.length, 255);
    assert.deepEqual(offer.codes.slice(0, 5), [53, 54, 51, 58, 59]);
    const twice = [61, 255, ...new Array(255).fill(7), 82, 255, ...new Array(255).fill(8)];
    const decision = decide({ options: [53, 1, 1, ...twice, 255] });
    assert.ok(!decision.silent);
    assert.ok(decision.answer.message.omitted.includes(82));
    assert.ok(!decision.answer.message.omitted.includes(61));
  });
});

describe("a relay", () => {
  test("that is the guest itself is answered at the server's port, and told to broadcast a refusal", () => {
    const offer = reply({ relayAddress: OWN, options: [53, 1, 1, 255] });
    assert.equal(offer.destination, `${LEASE.address}:67`);
    assert.deepEqual([...offer.bytes.subarray(24, 28)], OWN);
    const nak = reply({ relayAddress: OWN, options: [53, 1, 3, 50, 4, ...OTHER, 255] });
    assert.equal(nak.destination, `${LEASE.address}:67`);
    assert.deepEqual([...nak.bytes.subarray(10, 12)], [0x80, 0]);
  });

  test("elsewhere is not answered", () => {
    assert.equal(silence({ relayAddress: OTHER, options: [53, 1, 1, 255] }), "relayed");
  });
});

test("what is not to be answered has its reason", () => {
  assert.equal(silence({ macAddress: "52:54:00:00:00:01", options: [53, 1, 1, 255] }), "foreignClient");
  assert.equal(silence({ options: [53, 1, 4, 50, 4, ...OWN, 54, 4, ...SERVER, 255] }), "declined");
  assert.equal(silence({ clientAddress: OWN, options: [53, 1, 7, 54, 4, ...SERVER, 255] }), "released");
  for (const type of [4, 7]) {
    assert.equal(silence({ options: [53, 1, type, 54, 4, 192, 0, 2, 1, 255] }), "otherServer");
  }
  for (const type of [2, 5, 6]) assert.equal(silence({ options: [53, 1, type, 255] }), "serverMessage");
});
