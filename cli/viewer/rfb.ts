/**
 * A client of the RFB protocol, version 3.8 (RFC 6143), as far as qemu's server goes: raw, copied and zlib rectangles,
 * the guest's cursor, changes of size, and qemu's key events by scan code, which no keyboard layout can spoil. Pure: the
 * socket and the screen are the caller's.
 */
import { ByteQueue } from "./bytes.ts";

/** RFC 6143, 7.7 and 7.8; -223 … are pseudo-encodings. Zlib is of the IANA's registry, as is qemu's key event. */
const ENCODING = {
  raw: 0,
  copyRect: 1,
  zlib: 6,
  desktopSize: -223,
  lastRect: -224,
  cursor: -239,
  qemuExtendedKey: -258,
} as const;

const SECURITY_NONE = 1;
/** A text screen is 720 × 400; more pixels than these no screen has, and no browser holds. */
const MAX_PIXELS = 64 * 1024 * 1024;
const MAX_TEXT_BYTES = 1024 * 1024;
const BYTES_PER_PIXEL = 4;

/** Where the guest's picture goes. Pixels are RGBA, rows from the top. */
export interface Screen {
  resize(width: number, height: number): void;
  put(x: number, y: number, width: number, height: number, pixels: Uint8ClampedArray<ArrayBuffer>): void;
  copy(fromX: number, fromY: number, x: number, y: number, width: number, height: number): void;
  /** An empty one is invisible. */
  cursor(
    hotX: number,
    hotY: number,
    width: number,
    height: number,
    pixels: Uint8ClampedArray<ArrayBuffer>,
  ): void;
  /** All rectangles of an update are there. */
  updated(): void;
}

export class RfbError extends Error {
  override readonly name = "RfbError";
}

export class RfbClient {
  readonly #input: ByteQueue;
  readonly #send: (bytes: Uint8Array<ArrayBuffer>) => void;
  readonly #screen: Screen;
  readonly #inflated = new ByteQueue();
  #deflated: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>> | undefined;
  #width = 0;
  #height = 0;
  #takesScanCodes = false;
  #isReady = false;

  constructor(input: ByteQueue, send: (bytes: Uint8Array<ArrayBuffer>) => void, screen: Screen) {
    this.#input = input;
    this.#send = send;
    this.#screen = screen;
  }

  /** Never resolves. @throws RfbError; whatever the input ended with */
  async run(): Promise<never> {
    await this.#handshake();
    this.#isReady = true;
    this.#request(false);
    for (;;) await this.#message();
  }

  /** @param scanCode of an XT keyboard, 0x80 set for those with the prefix 0xe0; 0 where there is none */
  key(isDown: boolean, keysym: number, scanCode: number): void {
    if (!this.#isReady) return;
    if (this.#takesScanCodes && scanCode !== 0) {
      const message = view(12);
      message.setUint8(0, 255);
      message.setUint16(2, isDown ? 1 : 0);
      message.setUint32(4, keysym);
      message.setUint32(8, scanCode);
      this.#send(bytesOf(message));
    } else if (keysym !== 0) {
      const message = view(8);
      message.setUint8(0, 4);
      message.setUint8(1, isDown ? 1 : 0);
      message.setUint32(4, keysym);
      this.#send(bytesOf(message));
    }
  }

  /** @param buttons bit 0 left, 1 middle, 2 right, 3 and 4 the wheel up and down */
  pointer(x: number, y: number, buttons: number): void {
    if (!this.#isReady) return;
    const message = view(6);
    message.setUint8(0, 5);
    message.setUint8(1, buttons);
    message.setUint16(2, clamp(x, this.#width));
    message.setUint16(4, clamp(y, this.#height));
    this.#send(bytesOf(message));
  }

  async #handshake(): Promise<void> {
    const input = this.#input;
    const greeting = text(await input.take(12));
    if (!/^RFB 003\.(?:00[89]|889)\n$/.test(greeting))
      throw new RfbError(`the server speaks no RFB 3.8 but ${JSON.stringify(greeting)}`);
    this.#send(new TextEncoder().encode("RFB 003.008\n"));
    const kinds = await input.take(await input.u8());
    if (kinds.length === 0) throw new RfbError(`the server refuses: ${await this.#text()}`);
    if (!kinds.includes(SECURITY_NONE)) throw new RfbError("the server asks for a password");
    this.#send(new Uint8Array([SECURITY_NONE]));
    if ((await input.u32()) !== 0) throw new RfbError(`the server refuses: ${await this.#text()}`);
    // Shared: whoever else looks on is not thrown out.
    this.#send(new Uint8Array([1]));
    const [width, height] = [await input.u16(), await input.u16()];
    await input.take(16);
    await this.#text();
    this.#resize(width, height);
    this.#setPixelFormat();
    this.#setEncodings();
  }

  /** As a canvas has them: red, green, blue and a byte more. */
  #setPixelFormat(): void {
    const message = view(20);
    const [bitsPerPixel, depth, isBigEndian, isTrueColour] = [32, 24, 0, 1];
    for (const [at, value] of [bitsPerPixel, depth, isBigEndian, isTrueColour].entries())
      message.setUint8(4 + at, value);
    for (const at of [8, 10, 12]) message.setUint16(at, 255);
    for (const [at, shift] of [0, 8, 16].entries()) message.setUint8(14 + at, shift);
    this.#send(bytesOf(message));
  }

  #setEncodings(): void {
    const { copyRect, cursor, desktopSize, lastRect, qemuExtendedKey, raw, zlib } = ENCODING;
    const wanted = [zlib, copyRect, raw, desktopSize, lastRect, cursor, qemuExtendedKey];
    const message = view(4 + wanted.length * 4);
    message.setUint8(0, 2);
    message.setUint16(2, wanted.length);
    for (const [at, encoding] of wanted.entries()) message.setInt32(4 + at * 4, encoding);
    this.#send(bytesOf(message));
  }

  #request(isIncremental: boolean): void {
    const message = view(10);
    message.setUint8(0, 3);
    message.setUint8(1, isIncremental ? 1 : 0);
    message.setUint16(6, this.#width);
    message.setUint16(8, this.#height);
    this.#send(bytesOf(message));
  }

  async #message(): Promise<void> {
    const input = this.#input;
    const type = await input.u8();
    switch (type) {
      case 0:
        return this.#update();
      case 1: {
        // Colour maps are for pixels other than ours.
        await input.take(3);
        await input.take((await input.u16()) * 6);
        return;
      }
      case 2:
        return;
      case 3:
        await input.take(3);
        await this.#text();
        return;
      default:
        throw new RfbError(`the server sent a message of the unknown type ${type}`);
    }
  }

  async #update(): Promise<void> {
    const input = this.#input;
    await input.take(1);
    const count = await input.u16();
    let isResized = false;
    for (let at = 0; at < count; at++) {
      const [x, y, width, height] = [
        await input.u16(),
        await input.u16(),
        await input.u16(),
        await input.u16(),
      ];
      const encoding = (await input.u32()) | 0;
      if (encoding === ENCODING.lastRect) break;
      isResized ||= encoding === ENCODING.desktopSize;
      await this.#rectangle(encoding, x, y, width, height);
    }
    this.#screen.updated();
    this.#request(!isResized);
  }

  async #rectangle(encoding: number, x: number, y: number, width: number, height: number): Promise<void> {
    const input = this.#input;
    switch (encoding) {
      case ENCODING.raw:
        this.#mustFit(x, y, width, height);
        this.#put(x, y, width, height, await input.take(width * height * BYTES_PER_PIXEL));
        return;
      case ENCODING.zlib:
        this.#mustFit(x, y, width, height);
        this.#put(x, y, width, height, await this.#inflate(width * height * BYTES_PER_PIXEL));
        return;
      case ENCODING.copyRect: {
        const [fromX, fromY] = [await input.u16(), await input.u16()];
        this.#mustFit(x, y, width, height);
        this.#mustFit(fromX, fromY, width, height);
        this.#screen.copy(fromX, fromY, x, y, width, height);
        return;
      }
      case ENCODING.desktopSize:
        this.#resize(width, height);
        return;
      case ENCODING.cursor:
        return this.#cursor(x, y, width, height);
      case ENCODING.qemuExtendedKey:
        this.#takesScanCodes = true;
        return;
      default:
        throw new RfbError(`the server sent a rectangle in the unknown encoding ${encoding}`);
    }
  }

  #put(x: number, y: number, width: number, height: number, pixels: Uint8Array<ArrayBuffer>): void {
    if (pixels.length > 0) this.#screen.put(x, y, width, height, opaque(pixels));
  }

  /** All zlib rectangles of a connection are one stream of RFC 1950. */
  async #inflate(count: number): Promise<Uint8Array<ArrayBuffer>> {
    const length = await this.#input.u32();
    if (length > MAX_PIXELS) throw new RfbError(`the server sent ${length} bytes for one rectangle`);
    const deflated = await this.#input.take(length);
    if (this.#deflated === undefined) {
      const inflate = new DecompressionStream("deflate");
      this.#deflated = inflate.writable.getWriter();
      void pump(inflate.readable, this.#inflated);
    }
    // Its end is told by the queue, where somebody waits for it.
    this.#deflated.write(deflated).catch(() => {});
    return this.#inflated.take(count);
  }

  async #cursor(hotX: number, hotY: number, width: number, height: number): Promise<void> {
    const pixels = opaque(await this.#input.take(width * height * BYTES_PER_PIXEL));
    const rowBytes = Math.ceil(width / 8);
    const mask = await this.#input.take(rowBytes * height);
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++) {
        const isShown = ((mask[y * rowBytes + (x >> 3)] ?? 0) >> (7 - (x & 7))) & 1;
        if (isShown === 0) pixels[(y * width + x) * BYTES_PER_PIXEL + 3] = 0;
      }
    this.#screen.cursor(hotX, hotY, width, height, pixels);
  }

  #resize(width: number, height: number): void {
    if (width * height > MAX_PIXELS) throw new RfbError(`the screen is ${width} × ${height}: too large`);
    [this.#width, this.#height] = [width, height];
    this.#screen.resize(width, height);
  }

  #mustFit(x: number, y: number, width: number, height: number): void {
    if (x + width > this.#width || y + height > this.#height)
      throw new RfbError(`the server drew outside of the screen: ${width} × ${height} at ${x}, ${y}`);
  }

  async #text(): Promise<string> {
    const length = await this.#input.u32();
    if (length > MAX_TEXT_BYTES) throw new RfbError(`the server sent a text of ${length} bytes`);
    return text(await this.#input.take(length));
  }
}

async function pump(from: ReadableStream<Uint8Array>, to: ByteQueue): Promise<void> {
  try {
    for await (const piece of from) to.push(piece);
    to.end(new RfbError("the server ended its compressed stream"));
  } catch (cause) {
    to.end(new RfbError("the server sent compressed pixels that are damaged", { cause }));
  }
}

/** The fourth byte is the server's padding, and a canvas's opacity. */
function opaque(pixels: Uint8Array<ArrayBuffer>): Uint8ClampedArray<ArrayBuffer> {
  for (let at = 3; at < pixels.length; at += BYTES_PER_PIXEL) pixels[at] = 255;
  return new Uint8ClampedArray(pixels.buffer);
}

function clamp(value: number, size: number): number {
  return Math.max(0, Math.min(size - 1, Math.round(value)));
}

function view(bytes: number): DataView<ArrayBuffer> {
  return new DataView(new ArrayBuffer(bytes));
}

function bytesOf(message: DataView<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return new Uint8Array(message.buffer);
}

function text(bytes: Uint8Array): string {
  return new TextDecoder("latin1").decode(bytes);
}
