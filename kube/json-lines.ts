import { ProtocolError } from "./errors.ts";

const NEWLINE = 0x0a;

/** Cuts a byte stream into lines and parses each as JSON. Memory is bounded by the longest line allowed. */
export class JsonLines<T> {
  readonly #maxLineBytes: number;
  readonly #action: string;
  #parts: Uint8Array[] = [];
  #size = 0;

  /** @param action what the stream is for, in messages */
  constructor(maxLineBytes: number, action: string) {
    this.#maxLineBytes = maxLineBytes;
    this.#action = action;
  }

  /**
   * The values of the lines that `chunk` completes, parsed as they are consumed.
   * @throws ProtocolError on a line that is too long or not JSON
   */
  *push(chunk: Uint8Array): Generator<T, void, void> {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      const line = this.#take(chunk.subarray(start, end));
      start = end + 1;
      if (line.length > 0) {
        yield this.#parse(line);
      }
    }
    if (start < chunk.length) {
      this.#keep(chunk.subarray(start));
    }
  }

  /**
   * Tells that the stream has ended.
   * @throws ProtocolError when it ended inside a line
   */
  end(): void {
    if (this.#size > 0) {
      throw new ProtocolError(
        `${this.#action}: the stream ended inside a line, after ${this.#size} bytes of it`,
      );
    }
  }

  #keep(part: Uint8Array): void {
    this.#size += part.length;
    if (this.#size > this.#maxLineBytes) {
      throw new ProtocolError(`${this.#action}: a line is longer than ${this.#maxLineBytes} bytes`);
    }
    this.#parts.push(part);
  }

  #take(last: Uint8Array): Buffer {
    if (this.#parts.length === 0 && last.length <= this.#maxLineBytes) {
      return Buffer.from(last.buffer, last.byteOffset, last.length);
    }
    this.#keep(last);
    const line = Buffer.concat(this.#parts, this.#size);
    this.#parts = [];
    this.#size = 0;
    return line;
  }

  #parse(line: Buffer): T {
    const text = line.toString("utf8");
    try {
      return JSON.parse(text) as T;
    } catch (error) {
      throw new ProtocolError(`${this.#action}: a line is not JSON: ${text.slice(0, 100)}`, { cause: error });
    }
  }
}
