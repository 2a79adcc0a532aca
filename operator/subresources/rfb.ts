/**
 * The picture on a VNC server's screen, by its protocol (RFC 6143): as much of a client as one picture takes. The
 * server is a guest's qemu, so no size in what it sends is believed.
 */
import type { Duplex } from "node:stream";
import type { Picture } from "./png.ts";

const VERSION = "RFB 003.008\n";
const SECURITY_NONE = 1;
/** Leaves other viewers where they are (section 7.3.1). */
const SHARED = Buffer.from([1]);
const ENCODING_RAW = 0;
/** Little-endian pixels of 32 bits: blue, green, red, nothing (section 7.4). */
const PIXEL_FORMAT = Buffer.from([32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0]);
const PIXEL_BYTES = 4;
/** 3840 × 2160 and a little more; held twice while it is made into a PNG. */
export const MAX_PIXELS = 9_000_000;
const MAX_NAME_BYTES = 4096;
const MAX_CUT_TEXT_BYTES = 1024 * 1024;

/** What the server said that is no RFB, or too much. */
export class RfbError extends Error {
  override readonly name = "RfbError";
}

export interface CaptureOptions {
  /** Moves the guest's pointer first, which wakes a screen saver. */
  readonly moveCursor?: boolean;
  /** How long a moved pointer may take to change the screen, in milliseconds. */
  readonly wakeMs?: number;
}

/** @throws RfbError; Error when the stream ends early */
export async function captureScreen(stream: Duplex, options: CaptureOptions = {}): Promise<Picture> {
  const reader = new Reader(stream);
  const { width, height } = await handshake(stream, reader);
  stream.write(Buffer.concat([Buffer.from([0, 0, 0, 0]), PIXEL_FORMAT]));
  stream.write(Buffer.from([2, 0, 0, 1, 0, 0, 0, ENCODING_RAW]));
  if (options.moveCursor === true) {
    for (const at of [1, 0]) stream.write(Buffer.from([5, 0, 0, at, 0, at]));
  }
  const screen = new Screen(width, height);
  if (options.moveCursor === true) await firstChange(stream, reader, screen, options.wakeMs ?? 500);
  stream.write(updateRequest(screen, false));
  screen.clear();
  while (!screen.isComplete) await readMessage(reader, screen);
  return screen.picture;
}

async function handshake(stream: Duplex, reader: Reader): Promise<{ width: number; height: number }> {
  const version = (await reader.read(12)).toString("latin1");
  if (!/^RFB 003\.\d{3}\n$/.test(version)) throw new RfbError("the screen's server speaks no RFB");
  stream.write(VERSION);
  const count = (await reader.read(1)).readUInt8();
  if (!(await reader.read(count)).includes(SECURITY_NONE))
    throw new RfbError("the screen's server wants a password");
  stream.write(Buffer.from([SECURITY_NONE]));
  if ((await reader.read(4)).readUInt32BE() !== 0) throw new RfbError("the screen's server lets nobody in");
  stream.write(SHARED);
  const header = await reader.read(24);
  await reader.skip(header.readUInt32BE(20), MAX_NAME_BYTES);
  const [width, height] = [header.readUInt16BE(0), header.readUInt16BE(2)];
  if (width * height === 0 || width * height > MAX_PIXELS)
    throw new RfbError(`a screen of ${width} × ${height} pixels is none to take a picture of`);
  return { width, height };
}

/** Until the screen shows something else, or time is up. */
async function firstChange(stream: Duplex, reader: Reader, screen: Screen, wakeMs: number): Promise<void> {
  stream.write(updateRequest(screen, true));
  const timer = setTimeout(() => stream.write(updateRequest(screen, false)), wakeMs);
  try {
    while ((await readMessage(reader, screen)) !== "update");
  } finally {
    clearTimeout(timer);
  }
}

/** Section 7.5.3. */
function updateRequest({ width, height }: Screen, isIncremental: boolean): Buffer {
  const request = Buffer.alloc(10);
  request.set([3, isIncremental ? 1 : 0]);
  request.writeUInt16BE(width, 6);
  request.writeUInt16BE(height, 8);
  return request;
}

/** Section 7.6. */
async function readMessage(reader: Reader, screen: Screen): Promise<"update" | "other"> {
  const type = (await reader.read(1)).readUInt8();
  switch (type) {
    case 0: {
      const rectangles = (await reader.read(3)).readUInt16BE(1);
      for (let i = 0; i < rectangles; i++) await readRectangle(reader, screen);
      return "update";
    }
    case 1: {
      const colours = (await reader.read(5)).readUInt16BE(3);
      await reader.skip(colours * 6, colours * 6);
      return "other";
    }
    case 2:
      return "other";
    case 3:
      await reader.skip((await reader.read(7)).readUInt32BE(3), MAX_CUT_TEXT_BYTES);
      return "other";
    default:
      throw new RfbError(`the screen's server sent a message of the unknown type ${type}`);
  }
}

async function readRectangle(reader: Reader, screen: Screen): Promise<void> {
  const header = await reader.read(12);
  const [x, y] = [header.readUInt16BE(0), header.readUInt16BE(2)];
  const [width, height] = [header.readUInt16BE(4), header.readUInt16BE(6)];
  if (header.readInt32BE(8) !== ENCODING_RAW)
    throw new RfbError("the screen came in an encoding not asked for");
  if (x + width > screen.width || y + height > screen.height)
    throw new RfbError("a part of the screen lies outside of it");
  for (let row = 0; row < height; row++) screen.paint(x, y + row, await reader.read(width * PIXEL_BYTES));
}

class Screen {
  readonly width: number;
  readonly height: number;
  readonly #rgb: Buffer;
  /** By row: how many of its pixels have come; a row that comes in overlapping parts is complete a little early. */
  readonly #painted: Uint32Array;

  constructor(width: number, height: number) {
    this.width = width;
    this.height = height;
    this.#rgb = Buffer.alloc(width * height * 3);
    this.#painted = new Uint32Array(height);
  }

  get isComplete(): boolean {
    return this.#painted.every((count) => count >= this.width);
  }

  get picture(): Picture {
    return { width: this.width, height: this.height, rgb: this.#rgb };
  }

  clear(): void {
    this.#painted.fill(0);
  }

  paint(x: number, y: number, pixels: Buffer): void {
    const count = pixels.length / PIXEL_BYTES;
    let at = (y * this.width + x) * 3;
    for (let from = 0; from < pixels.length; from += PIXEL_BYTES) {
      this.#rgb[at++] = pixels[from + 2] ?? 0;
      this.#rgb[at++] = pixels[from + 1] ?? 0;
      this.#rgb[at++] = pixels[from] ?? 0;
    }
    this.#painted[y] = (this.#painted[y] ?? 0) + count;
  }
}

/** Takes from a stream just what is asked for. */
class Reader {
  readonly #chunks: AsyncIterator<Buffer>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(stream: Duplex) {
    this.#chunks = (stream as AsyncIterable<Buffer>)[Symbol.asyncIterator]();
  }

  async read(bytes: number): Promise<Buffer> {
    if (this.#rest.length < bytes) {
      const parts = [this.#rest];
      for (let held = this.#rest.length; held < bytes; ) {
        const next = await this.#chunks.next();
        if (next.done === true) throw new Error("the screen's server left");
        parts.push(next.value);
        held += next.value.length;
      }
      this.#rest = Buffer.concat(parts);
    }
    const taken = this.#rest.subarray(0, bytes);
    this.#rest = this.#rest.subarray(bytes);
    return taken;
  }

  async skip(bytes: number, limit: number): Promise<void> {
    if (bytes > limit) throw new RfbError(`the screen's server announced ${bytes} bytes of text`);
    await this.read(bytes);
  }
}
