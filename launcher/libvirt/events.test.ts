import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { decodeDomainEvent } from "./events.ts";
import type { Message } from "./framing.ts";
import { readTypedParameters, writeDomain } from "./structures.ts";
import { XdrReader, XdrWriter } from "./xdr.ts";

const DOMAIN = { name: "default_a", uuid: "5d2f0c0e-7f8b-4d7e-9a51-0e6f3a1c2b4d", id: -1 };

function message(procedure: number, write: (writer: XdrWriter) => void): Message {
  const writer = new XdrWriter().int(0); // callback id 0 is a valid one
  writeDomain(writer, DOMAIN);
  write(writer);
  const header = { program: 0x20008086, version: 1, type: 2, serial: 0, status: 0 };
  return { ...header, procedure, payload: writer.bytes() };
}

describe("domain events", () => {
  it("tell which domain and what", () => {
    assert.deepEqual(decodeDomainEvent(message(318, (writer) => writer.int(5).int(1))), {
      kind: "lifecycle",
      domain: DOMAIN,
      event: 5,
      detail: 1,
    });
    assert.deepEqual(
      decodeDomainEvent(
        message(324, (writer) => writer.string("/d.qcow2").string("ua-root").int(1).string("enospc")),
      ),
      {
        kind: "ioError",
        domain: DOMAIN,
        path: "/d.qcow2",
        alias: "ua-root",
        action: "paused",
        reason: "enospc",
      },
    );
    assert.deepEqual(decodeDomainEvent(message(348, (writer) => writer.int(1).int(2))), {
      kind: "agentLifecycle",
      domain: DOMAIN,
      connected: true,
    });
  });

  it("of a kind that wasn't asked for are none", () => {
    assert.equal(decodeDomainEvent(message(9999, () => {})), undefined);
  });

  it("with a layout of their own are refused", () => {
    assert.throws(() => decodeDomainEvent(message(318, (writer) => writer.int(5))), /are wanted/);
    assert.throws(() => decodeDomainEvent(message(319, (writer) => writer.int(5))), /left over/);
  });
});

describe("typed parameters", () => {
  it("keep a 64-bit value that no number holds exactly", () => {
    const writer = new XdrWriter().uint(3);
    writer
      .string("cpu.time")
      .int(4)
      .uhyper((1n << 63n) + 1n);
    writer.string("net.0.rx.bytes").int(4).uhyper(7n);
    writer.string("net.0.name").int(7).string("tap0");
    assert.deepEqual(readTypedParameters(new XdrReader(writer.bytes()), 10), {
      "cpu.time": (1n << 63n) + 1n,
      "net.0.rx.bytes": 7,
      "net.0.name": "tap0",
    });
  });
});
