import assert from "node:assert/strict";
import { duplexPair } from "node:stream";
import { describe, it, type TestContext } from "node:test";
import { FakeClock } from "../../lib/fake-clock.ts";
import { type CallOptions, RpcConnection } from "./connection.ts";
import { LibvirtError } from "./errors.ts";
import { encodeMessage, type Message, type MessageHeader, MessageParser } from "./framing.ts";
import { PROCEDURE, PROGRAM } from "./protocol.ts";
import { XdrWriter } from "./xdr.ts";

/** The other end of the socket: answers as the test tells it to. */
class FakePeer {
  readonly connection: RpcConnection;
  readonly events: Message[] = [];
  readonly clock = new FakeClock();
  readonly #end;
  readonly #received: Message[] = [];
  readonly #waiting: ((message: Message) => void)[] = [];

  constructor(t: TestContext) {
    const [ours, theirs] = duplexPair();
    this.#end = theirs;
    const parser = new MessageParser();
    theirs.on("data", (chunk: Buffer) => {
      for (const message of parser.push(chunk)) {
        const next = this.#waiting.shift();
        if (next === undefined) this.#received.push(message);
        else next(message);
      }
    });
    const onEvent = (message: Message) => this.events.push(message);
    this.connection = new RpcConnection(ours, { onEvent, clock: this.clock });
    t.after(() => this.connection.close());
  }

  received(): Promise<Message> {
    const message = this.#received.shift();
    if (message !== undefined) return Promise.resolve(message);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  send(header: Partial<MessageHeader>, payload: Uint8Array = Buffer.alloc(0)): void {
    const whole = { program: PROGRAM.remote, version: 1, procedure: 0, type: 1, serial: 0, status: 0 };
    this.#end.write(encodeMessage({ ...whole, ...header }, payload));
  }

  write(bytes: Buffer): void {
    this.#end.write(bytes);
  }

  hangUp(): void {
    this.#end.end();
  }

  version(options?: CallOptions): Promise<bigint> {
    return this.connection.call(
      PROCEDURE.connectGetVersion,
      () => {},
      (reader) => reader.uhyper(),
      options,
    );
  }
}

function version(value: bigint): Buffer {
  return new XdrWriter().uhyper(value).bytes();
}

function isCode(code: LibvirtError["code"], message?: RegExp): (error: unknown) => boolean {
  return (error) =>
    error instanceof LibvirtError && error.code === code && (message?.test(error.message) ?? true);
}

describe("an RPC connection", () => {
  it("matches replies to calls by serial, whatever their order", async (t) => {
    const peer = new FakePeer(t);
    const first = peer.version();
    const second = peer.version();
    const calls = [await peer.received(), await peer.received()];
    for (const { serial, procedure } of calls.toReversed()) {
      peer.send({ serial, procedure }, version(BigInt(serial)));
    }
    assert.deepEqual(
      [await first, await second],
      calls.map(({ serial }) => BigInt(serial)),
    );
  });

  it("hands on a refusal with libvirt's own words", async (t) => {
    const peer = new FakePeer(t);
    const call = peer.version();
    const { serial, procedure } = await peer.received();
    const record = new XdrWriter().int(42).int(10).optionalString("Domain not found").int(2).uint(0);
    record.optionalString("%s").optionalString("x").optionalString(undefined).int(-1).int(-1).uint(0);
    peer.send({ serial, procedure, status: 1 }, record.bytes());
    await assert.rejects(call, isCode("DomainNotFound", /connect get version.*Domain not found/));
  });

  it("refuses a reply that isn't consumed to its last byte", async (t) => {
    const peer = new FakePeer(t);
    const call = peer.version();
    const { serial, procedure } = await peer.received();
    peer.send({ serial, procedure }, Buffer.concat([version(1n), Buffer.alloc(4)]));
    await assert.rejects(call, isCode("LibvirtProtocol", /4 bytes are left over/));
  });

  it("gives up a call at its deadline and ignores the reply that comes after", async (t) => {
    const peer = new FakePeer(t);
    const call = peer.version({ timeoutMs: 100 });
    const late = await peer.received();
    peer.clock.advance(100);
    await assert.rejects(call, isCode("LibvirtTimeout", /100 ms/));
    const next = peer.version();
    const { serial, procedure } = await peer.received();
    peer.send({ serial: late.serial, procedure }, version(1n));
    peer.send({ serial, procedure }, version(2n));
    assert.equal(await next, 2n);
  });

  it("gives up a call when its signal aborts", async (t) => {
    const peer = new FakePeer(t);
    const controller = new AbortController();
    const call = peer.version({ signal: controller.signal });
    controller.abort(new Error("enough"));
    await assert.rejects(call, /enough/);
  });

  it("fails every call, those under way and later ones, once the peer hangs up", async (t) => {
    const peer = new FakePeer(t);
    const call = peer.version();
    await peer.received();
    peer.hangUp();
    await assert.rejects(call, isCode("LibvirtUnavailable", /connect get version/));
    assert.equal((await peer.connection.closed).code, "LibvirtUnavailable");
    await assert.rejects(peer.version(), isCode("LibvirtUnavailable"));
  });

  it("closes on a message that breaks the protocol", async (t) => {
    const peer = new FakePeer(t);
    const call = peer.version();
    await peer.received();
    peer.write(Buffer.from([0, 0, 0, 1]));
    await assert.rejects(call, isCode("LibvirtProtocol"));
  });

  it("closes on a reply to another procedure than the one called", async (t) => {
    const peer = new FakePeer(t);
    const call = peer.version();
    const { serial } = await peer.received();
    peer.send({ serial, procedure: 3 });
    await assert.rejects(call, isCode("LibvirtProtocol"));
  });

  it("hands on events in the order of the wire, before the reply that follows", async (t) => {
    const peer = new FakePeer(t);
    const call = peer.version().then(() => peer.events.map(({ procedure }) => procedure));
    const { serial, procedure } = await peer.received();
    peer.send({ procedure: 318, type: 2 });
    peer.send({ procedure: 319, type: 2 });
    peer.send({ serial, procedure }, version(1n));
    assert.deepEqual(await call, [318, 319]);
  });

  it("answers a keepalive ping", async (t) => {
    const peer = new FakePeer(t);
    peer.send({ program: PROGRAM.keepalive, procedure: 1, type: 2 });
    const { program, procedure, type, serial, payload } = await peer.received();
    assert.deepEqual([program, procedure, type, serial, payload.length], [PROGRAM.keepalive, 2, 2, 0, 0]);
  });

  it("refuses to pile up calls without end", async (t) => {
    const peer = new FakePeer(t);
    const calls = Array.from({ length: 65 }, () => peer.version());
    const last = calls.pop();
    assert.ok(last !== undefined);
    await assert.rejects(last, isCode("LibvirtBusy"));
    peer.connection.close();
    const outcomes = await Promise.allSettled(calls);
    assert.ok(outcomes.every(({ status }) => status === "rejected"));
  });
});
