import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { encodeMessage, FramingError, MAX_MESSAGE_BYTES, type Message, MessageParser } from "./framing.ts";

const HEADER = { program: 0x20008086, version: 1, procedure: 66, type: 0, serial: 1, status: 0 };

function isFramingError(code: FramingError["code"]): (error: unknown) => boolean {
  return (error) => error instanceof FramingError && error.code === code;
}

describe("messages", () => {
  it("begin with a length that counts itself, and a header of six words", () => {
    const bytes = encodeMessage(HEADER, Buffer.from([1, 2, 3, 4]));
    assert.equal(
      bytes.toString("hex"),
      "000000202000808600000001000000420000000000000001" + "0000000001020304",
    );
  });

  it("come out whole, however the stream is cut", () => {
    const payloads = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 8 });
    fc.assert(
      fc.property(payloads, fc.array(fc.integer({ min: 1, max: 30 })), (bodies, cuts) => {
        const stream = Buffer.concat(
          bodies.map((body, serial) => encodeMessage({ ...HEADER, serial }, body)),
        );
        const parser = new MessageParser();
        const received: Message[] = [];
        let at = 0;
        for (const cut of [...cuts, stream.length]) {
          received.push(...parser.push(stream.subarray(at, at + cut)));
          at = Math.min(at + cut, stream.length);
        }
        assert.deepEqual(
          received.map(({ serial, payload }) => [serial, [...payload]]),
          bodies.map((body, serial) => [serial, [...body]]),
        );
      }),
    );
  });

  it("that are longer than the receiver takes come as their header, and those after them whole", () => {
    const payloads = fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 8 });
    const cuts = fc.array(fc.integer({ min: 1, max: 30 }));
    fc.assert(
      fc.property(payloads, cuts, fc.integer({ min: 28, max: 80 }), (bodies, sizes, maxBytes) => {
        const stream = Buffer.concat(
          bodies.map((body, serial) => encodeMessage({ ...HEADER, serial }, body)),
        );
        const parser = new MessageParser(maxBytes);
        const received: Message[] = [];
        let at = 0;
        for (const size of [...sizes, stream.length]) {
          received.push(...parser.push(stream.subarray(at, at + size)));
          at = Math.min(at + size, stream.length);
        }
        assert.deepEqual(
          received.map(({ serial, payload, droppedBytes }) => [serial, [...payload], droppedBytes]),
          bodies.map((body, serial) =>
            28 + body.length > maxBytes ? [serial, [], body.length] : [serial, [...body], undefined],
          ),
        );
      }),
    );
  });

  it("are refused at the length word when no message can have it", () => {
    const word = (length: number) => {
      const bytes = Buffer.alloc(4);
      bytes.writeUInt32BE(length);
      return bytes;
    };
    assert.throws(() => [...new MessageParser().push(word(27))], isFramingError("FRAME_TOO_SHORT"));
    assert.throws(
      () => [...new MessageParser().push(word(MAX_MESSAGE_BYTES + 1))],
      isFramingError("FRAME_TOO_LONG"),
    );
    assert.throws(
      () => encodeMessage(HEADER, Buffer.alloc(MAX_MESSAGE_BYTES)),
      isFramingError("FRAME_TOO_LONG"),
    );
  });
});
