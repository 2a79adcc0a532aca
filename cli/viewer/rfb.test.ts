import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { constants, createDeflate } from "node:zlib";
import fc from "fast-check";
import { ByteQueue } from "./bytes.ts";
import { RfbClient, type Screen } from "./rfb.ts";

const HELLO = [
  Buffer.from("RFB 003.008\n"),
  // One security type: none; its result: ok.
  Buffer.from([1, 1, 0, 0, 0, 0]),
  // 4 × 2 pixels, 16 bytes of the server's own format, the name "vm".
  Buffer.from([0, 4, 0, 2, ...Array(16).fill(0), 0, 0, 0, 2, 0x76, 0x6d]),
];
const CLIENT_HELLO =
  "524642203030332e3030380a" + // version
  "01" + // security type none
  "01" + // shared
  "00000000" + // SetPixelFormat
  "20180001" + // 32 bits per pixel, depth 24, little endian, true colour
  "00ff00ff00ff" + // largest red, green, blue
  "000810000000" + // their shifts
  "02000007" + // SetEncodings, seven
  "00000006000000010000000000000000".slice(0, 24) + // zlib, CopyRect, raw
  "ffffff21ffffff20ffffff11fffffefe"; // DesktopSize, LastRect, Cursor, qemu's key events
const request = (isIncremental: 0 | 1, width = 4, height = 2) =>
  Buffer.from([3, isIncremental, 0, 0, 0, 0, 0, width, 0, height]).toString("hex");

class Picture implements Screen {
  readonly told: unknown[] = [];
  updates = 0;
  resize(...size: readonly number[]): void {
    this.told.push(["resize", ...size]);
  }
  put(x: number, y: number, width: number, height: number, pixels: Uint8ClampedArray): void {
    this.told.push(["put", x, y, width, height, Buffer.from(pixels).toString("hex")]);
  }
  copy(...where: readonly number[]): void {
    this.told.push(["copy", ...where]);
  }
  cursor(x: number, y: number, width: number, height: number, pixels: Uint8ClampedArray): void {
    this.told.push(["cursor", x, y, width, height, Buffer.from(pixels).toString("hex")]);
  }
  updated(): void {
    this.updates++;
  }
}

function client() {
  const input = new ByteQueue();
  const picture = new Picture();
  let sent = "";
  const rfb = new RfbClient(input, (bytes) => (sent += Buffer.from(bytes).toString("hex")), picture);
  const over = new Error("over");
  return {
    rfb,
    picture,
    sent: () => sent,
    /** Plays all that the server says, and rejects with how it ended. */
    async play(...messages: readonly Buffer[]): Promise<Error> {
      for (const message of messages) input.push(message);
      input.end(over);
      return rfb.run().catch((error: Error) => error);
    },
    over,
    input,
  };
}

const rectangle = (
  x: number,
  y: number,
  width: number,
  height: number,
  encoding: number,
  body: Buffer = Buffer.alloc(0),
) => {
  const head = Buffer.alloc(12);
  for (const [at, value] of [x, y, width, height].entries()) head.writeUInt16BE(value, at * 2);
  head.writeInt32BE(encoding, 8);
  return Buffer.concat([head, body]);
};
const update = (...rectangles: readonly Buffer[]) =>
  Buffer.concat([Buffer.from([0, 0, 0, rectangles.length]), ...rectangles]);

test("the handshake asks for pixels as a canvas has them, and for the whole screen", async () => {
  const { over, picture, play, sent } = client();
  assert.equal(await play(...HELLO), over);
  assert.equal(sent(), CLIENT_HELLO + request(0));
  assert.deepEqual(picture.told, [["resize", 4, 2]]);
});

describe("a handshake fails", () => {
  for (const [what, messages, message] of [
    ["with another version", [Buffer.from("RFB 003.003\n")], /speaks no RFB 3\.8 but "RFB 003\.003\\n"/],
    ["with a server that refuses", [Buffer.from("RFB 003.008\n\0\0\0\0\x02no", "latin1")], /refuses: no/],
    ["with a password", [Buffer.from("RFB 003.008\n\x01\x02", "latin1")], /asks for a password/],
    [
      "with a refusal after the security type",
      [Buffer.from("RFB 003.008\n\x01\x01\0\0\0\x01\0\0\0\x03bad", "latin1")],
      /refuses: bad/,
    ],
  ] as const)
    test(what, async () => assert.match((await client().play(...messages)).message, message));
});

test("raw pixels are opaque, and the next update is asked for", async () => {
  const { picture, play, sent } = client();
  await play(...HELLO, update(rectangle(1, 0, 2, 1, 0, Buffer.from("11223300aabbcc00", "hex"))));
  assert.deepEqual(picture.told.at(-1), ["put", 1, 0, 2, 1, "112233ffaabbccff"]);
  assert.equal(picture.updates, 1);
  assert.equal(sent(), CLIENT_HELLO + request(0) + request(1));
});

test("rectangles by zlib are one stream", async () => {
  const deflate = createDeflate();
  const pieces: Buffer[] = [];
  deflate.on("data", (piece: Buffer) => pieces.push(piece));
  const packed = (hex: string) =>
    new Promise<Buffer>((resolve) => {
      deflate.write(Buffer.from(hex, "hex"));
      deflate.flush(constants.Z_SYNC_FLUSH, () => {
        const data = Buffer.concat(pieces.splice(0));
        const length = Buffer.alloc(4);
        length.writeUInt32BE(data.length);
        resolve(Buffer.concat([length, data]));
      });
    });
  const first = rectangle(0, 0, 2, 1, 6, await packed("0102030004050600"));
  const second = rectangle(2, 1, 1, 1, 6, await packed("07080900"));
  const { over, picture, play } = client();
  assert.equal(await play(...HELLO, update(first), update(second)), over);
  assert.deepEqual(picture.told.slice(1), [
    ["put", 0, 0, 2, 1, "010203ff040506ff"],
    ["put", 2, 1, 1, 1, "070809ff"],
  ]);
});

test("copies, sizes, the cursor and the end of an update are understood", async () => {
  const { picture, play, sent } = client();
  const copy = rectangle(0, 0, 2, 2, 1, Buffer.from([0, 2, 0, 0]));
  const cursor = rectangle(1, 0, 2, 1, -239, Buffer.from("0102030004050600" + "80", "hex"));
  const lastRectangle = rectangle(0, 0, 0, 0, -224);
  const resized = rectangle(0, 0, 8, 6, -223);
  // Colours, a bell and a clipboard, none of which is for us.
  const others = Buffer.from([1, 0, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 2, 3, 0, 0, 0, 0, 0, 0, 1, 0x61]);
  // As many as there may be: the last one is told by an encoding of its own.
  const endless = update(copy, cursor, lastRectangle);
  endless.writeUInt16BE(0xffff, 2);
  await play(...HELLO, others, endless, update(resized));
  assert.deepEqual(picture.told.slice(1), [
    ["copy", 2, 0, 0, 0, 2, 2],
    ["cursor", 1, 0, 2, 1, "010203ff04050600"],
    ["resize", 8, 6],
  ]);
  assert.equal(sent(), CLIENT_HELLO + request(0) + request(1) + request(0, 8, 6));
});

test("after a change of size the whole screen is asked for", async () => {
  const { picture, play, sent } = client();
  await play(...HELLO, update(rectangle(0, 0, 8, 6, -223)));
  assert.deepEqual(picture.told.at(-1), ["resize", 8, 6]);
  assert.ok(sent().endsWith(request(0, 8, 6)));
});

describe("a server that errs is left", () => {
  for (const [what, message, expected] of [
    ["drawing outside of the screen", update(rectangle(3, 0, 2, 1, 0)), /outside of the screen/],
    [
      "copying from outside",
      update(rectangle(0, 0, 2, 1, 1, Buffer.from([0, 3, 0, 0]))),
      /outside of the screen/,
    ],
    ["an unknown encoding", update(rectangle(0, 0, 1, 1, 99)), /unknown encoding 99/],
    ["an unknown message", Buffer.from([77]), /unknown type 77/],
    ["a screen that is too large", update(rectangle(0, 0, 65_535, 65_535, -223)), /too large/],
    [
      "damaged compressed pixels",
      update(rectangle(0, 0, 1, 1, 6, Buffer.from([0, 0, 0, 2, 0xff, 0xff]))),
      /are damaged/,
    ],
    ["a clipboard of 4 GiB", Buffer.from([3, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]), /a text of 4294967295 bytes/],
  ] as const)
    test(what, async () => {
      // The end comes later than what is wrong.
      const { input, rfb } = client();
      for (const bytes of [...HELLO, message]) input.push(bytes);
      const error = await rfb.run().catch((reason: Error) => reason);
      assert.equal(error.name, "RfbError");
      assert.match(error.message, expected);
    });
});

test("no bytes of a server's make it hang or throw anything else", async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (bytes) => {
      const { over, play } = client();
      const error = await play(...HELLO, Buffer.from(bytes));
      assert.ok(error === over || error.name === "RfbError", String(error));
    }),
    { numRuns: 300 },
  );
});

test("keys go by scan code once the server takes them so, and by keysym before", async () => {
  const { input, rfb, sent } = client();
  for (const bytes of HELLO) input.push(bytes);
  void rfb.run().catch(() => {});
  await settled(() => sent().length === (CLIENT_HELLO + request(0)).length);
  const begin = sent().length;
  rfb.key(true, 0x61, 0x1e);
  rfb.key(false, 0, 0x1e);
  assert.equal(sent().slice(begin), "0401000000000061");
  input.push(update(rectangle(0, 0, 0, 0, -258)));
  await settled(() => sent().endsWith(request(1)));
  const then = sent().length;
  rfb.key(true, 0x61, 0x1e);
  rfb.key(false, 0xffff, 0xd3);
  rfb.pointer(-5, 99, 1);
  assert.equal(sent().slice(then), "ff000001000000610000001e" + "ff0000000000ffff000000d3" + "050100000001");
  input.end(new Error("over"));
});

test("what is typed before the screen is there goes nowhere", () => {
  const { rfb, sent } = client();
  rfb.key(true, 0x61, 0x1e);
  rfb.pointer(1, 1, 0);
  assert.equal(sent(), "");
});

/** All that is due has run: the client waits for nothing but bytes that are there. */
async function settled(is: () => boolean): Promise<void> {
  for (let turn = 0; turn < 1000 && !is(); turn++) await new Promise(setImmediate);
  assert.ok(is());
}
