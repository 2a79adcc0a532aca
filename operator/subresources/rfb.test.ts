import assert from "node:assert/strict";
import { type Duplex, duplexPair } from "node:stream";
import { describe, it } from "node:test";
import fc from "fast-check";
import { captureScreen, RfbError } from "./rfb.ts";

const WIDTH = 3;
const HEIGHT = 2;

/** What a server of RFB 3.8 without password says until the client has said that it shares. */
function greeting(width: number, height: number): Buffer {
  const init = Buffer.alloc(24 + 4);
  init.writeUInt16BE(width, 0);
  init.writeUInt16BE(height, 2);
  init.writeUInt32BE(4, 20);
  init.write("QEMU", 24);
  return Buffer.concat([Buffer.from("RFB 003.008\n"), Buffer.from([2, 2, 1]), Buffer.alloc(4), init]);
}

interface Rectangle {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** Of raw pixels whose red is their column and whose green is their row. */
function rectangle({ x, y, width, height }: Rectangle, encoding = 0): Buffer {
  const header = Buffer.alloc(12);
  for (const [i, value] of [x, y, width, height].entries()) header.writeUInt16BE(value, 2 * i);
  header.writeInt32BE(encoding, 8);
  const pixels: Buffer[] = [];
  for (let row = y; row < y + height; row++)
    for (let column = x; column < x + width; column++) pixels.push(Buffer.from([7, row, column, 0]));
  return Buffer.concat([header, ...pixels]);
}

function update(...rectangles: readonly Buffer[]): Buffer {
  return Buffer.concat([Buffer.from([0, 0, 0, rectangles.length]), ...rectangles]);
}

const whole = rectangle({ x: 0, y: 0, width: WIDTH, height: HEIGHT });

/** A server that says all this at once; what the client said is kept. */
function serving(...said: readonly Buffer[]): { client: Duplex; heard: () => Buffer } {
  const [server, client] = duplexPair();
  const chunks: Buffer[] = [];
  server.on("data", (chunk: Buffer) => chunks.push(chunk));
  server.write(Buffer.concat(said));
  return { client, heard: () => Buffer.concat(chunks) };
}

function assertWhole(rgb: Buffer): void {
  for (let y = 0; y < HEIGHT; y++) {
    for (let x = 0; x < WIDTH; x++) {
      const at = (y * WIDTH + x) * 3;
      assert.deepEqual([...rgb.subarray(at, at + 3)], [x, y, 7]);
    }
  }
}

describe("a picture of a screen", () => {
  it("is asked for beside other viewers, in the bytes of RFC 6143", async () => {
    const { client, heard } = serving(greeting(WIDTH, HEIGHT), update(whole));
    const { width, height, rgb } = await captureScreen(client);
    assert.deepEqual([width, height], [WIDTH, HEIGHT]);
    assertWhole(rgb);
    await new Promise((resolve) => setImmediate(resolve));
    const expected = [
      Buffer.from("RFB 003.008\n"),
      // No password; shared.
      Buffer.from([1, 1]),
      // SetPixelFormat, SetEncodings (raw), FramebufferUpdateRequest of all.
      Buffer.from("000000002018000100ff00ff00ff100800000000", "hex"),
      Buffer.from("0200000100000000", "hex"),
      Buffer.from("03000000000000030002", "hex"),
    ];
    assert.equal(heard().toString("hex"), Buffer.concat(expected).toString("hex"));
  });

  it("may come in parts, between other messages", async () => {
    const parts = [
      Buffer.from([2]),
      update(rectangle({ x: 0, y: 0, width: 2, height: 1 }), rectangle({ x: 2, y: 0, width: 1, height: 1 })),
      Buffer.from([3, 0, 0, 0, 0, 0, 0, 2, 0x68, 0x69]),
      Buffer.from([1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]),
      update(rectangle({ x: 0, y: 1, width: 3, height: 1 })),
    ];
    const { client } = serving(greeting(WIDTH, HEIGHT), ...parts);
    assertWhole((await captureScreen(client)).rgb);
  });

  it("waits for what a moved pointer changes on it, and no longer than told", async () => {
    for (const said of [[update(whole), update(whole)], [update(whole)]]) {
      const [server, client] = duplexPair();
      server.write(greeting(WIDTH, HEIGHT));
      const taken = captureScreen(client, { moveCursor: true, wakeMs: 1 });
      const moved = new Promise<void>((resolve) => {
        let heard = Buffer.alloc(0);
        server.on("data", (chunk: Buffer) => {
          heard = Buffer.concat([heard, chunk]);
          if (heard.includes(Buffer.from([5, 0, 0, 0, 0, 0]))) resolve();
        });
      });
      await moved;
      server.write(Buffer.concat(said));
      if (said.length === 1) server.write(update(whole));
      assertWhole((await taken).rgb);
    }
  });

  for (const [what, said, message] of [
    ["speaks something else", [Buffer.from("HTTP/1.1 400\r\n")], /no RFB/],
    ["wants a password", [Buffer.from("RFB 003.008\n"), Buffer.from([1, 2])], /password/],
    ["has no screen", [greeting(0, 768)], /none to take a picture of/],
    ["claims a screen of gigabytes", [greeting(65_535, 65_535)], /none to take a picture of/],
    [
      "paints beside its screen",
      [greeting(WIDTH, HEIGHT), update(rectangle({ x: 1, y: 0, width: 3, height: 1 }))],
      /outside/,
    ],
    [
      "sends another encoding",
      [greeting(WIDTH, HEIGHT), update(rectangle({ x: 0, y: 0, width: 1, height: 1 }, 7))],
      /encoding/,
    ],
    [
      "sends 4 GiB of text",
      [greeting(WIDTH, HEIGHT), Buffer.from([3, 0, 0, 0, 255, 255, 255, 255])],
      /announced 4294967295/,
    ],
    ["sends an unknown message", [greeting(WIDTH, HEIGHT), Buffer.from([99])], /unknown type 99/],
  ] as const) {
    it(`is not to be had of a server that ${what}`, async () => {
      const { client } = serving(...said);
      await assert.rejects(
        captureScreen(client),
        (error) => error instanceof RfbError && message.test(error.message),
      );
    });
  }

  it("ends with the stream, whatever the server said before", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (noise) => {
        const [server, client] = duplexPair();
        server.resume();
        server.end(Buffer.concat([greeting(WIDTH, HEIGHT), Buffer.from(noise)]));
        await captureScreen(client).then(
          ({ rgb }) => assert.equal(rgb.length, WIDTH * HEIGHT * 3),
          () => {},
        );
      }),
    );
  });
});
