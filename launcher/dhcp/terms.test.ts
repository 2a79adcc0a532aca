import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeRequest } from "./codec.ts";
import { clientMessage, LEASE } from "./packet.fixture.ts";
import { readReply } from "./reply.fixture.ts";
import { respond } from "./responder.ts";
import { termsOf } from "./terms.ts";
import type { Lease } from "./types.ts";

const PLAIN: Lease = { ...LEASE, ntpServers: [] };

/** Options field and header of the OFFER to a client that asks for these codes. */
function offered(lease: Lease, ...asked: readonly number[]) {
  const decoded = decodeRequest(clientMessage({ options: [53, 1, 1, 55, asked.length, ...asked, 255] }));
  assert.ok(decoded.ok);
  const decision = respond(decoded.request, termsOf(lease));
  assert.ok(!decision.silent);
  const { bytes } = decision.answer.message;
  const { options, order } = readReply(bytes);
  return {
    codes: order.slice(5),
    text: (code: number) => Buffer.from(options.get(code) ?? []).toString("utf8"),
    nextServer: [...bytes.subarray(20, 24)],
  };
}

test("what the machine's author wrote is sent unasked, behind what was asked for", () => {
  const lease: Lease = {
    ...LEASE,
    bootFileName: "pxe/boot.efi",
    tftpServerName: "192.0.2.9",
    privateOptions: [
      { option: 252, value: "http://wpad.example/" },
      { option: 224, value: "ä" },
    ],
  };
  const offer = offered(lease, 252, 1);
  assert.deepEqual(offer.codes, [252, 1, 42, 66, 67, 224]);
  assert.equal(offer.text(67), "pxe/boot.efi");
  assert.equal(offer.text(66), "192.0.2.9");
  assert.equal(offer.text(252), "http://wpad.example/");
  assert.equal(offer.text(224), "ä");
  assert.deepEqual(offer.nextServer, [192, 0, 2, 9]);
});

test("a TFTP server that is named has no address to give", () => {
  const offer = offered({ ...PLAIN, tftpServerName: "tftp.example", bootFileName: "x" }, 66);
  assert.deepEqual(offer.codes, [66, 67]);
  assert.deepEqual(offer.nextServer, [0, 0, 0, 0]);
});

test("a machine without dhcpOptions has none of theirs, whoever asks", () => {
  assert.deepEqual(offered(PLAIN, 42, 66, 67, 224, 254, 1).codes, [1]);
});

test("a private option 249 stands in the place of Microsoft's routes", () => {
  const lease: Lease = { ...PLAIN, privateOptions: [{ option: 249, value: "mine" }] };
  assert.equal(offered(lease, 249).text(249), "mine");
  assert.equal(offered(lease, 1).text(249), "mine");
  assert.equal(offered(PLAIN, 1).text(249), "");
});
