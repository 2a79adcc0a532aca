/**
 * XDR (RFC 4506) as libvirt uses it: big-endian, everything padded to 4 bytes. Both directions are limited, so that
 * neither a broken peer nor a broken caller can make this process allocate without end.
 */

/** libvirt's REMOTE_STRING_MAX: the longest string, in bytes. */
export const MAX_STRING_BYTES = 4 * 1024 * 1024;

export class XdrError extends Error {
  override readonly name = "XdrError";
  readonly code: "XDR_TRUNCATED" | "XDR_TRAILING" | "XDR_LIMIT" | "XDR_VALUE";

  constructor(code: XdrError["code"], message: string) {
    super(message);
    this.code = code;
  }
}

/** Appends values to a growing buffer. */
export class XdrWriter {
  #buffer = Buffer.allocUnsafe(256);
  #length = 0;

  int(value: number): this {
    checkRange(value, -(2 ** 31), 2 ** 31 - 1);
    const at = this.#reserve(4);
    this.#buffer.writeInt32BE(value, at);
    return this;
  }

  uint(value: number): this {
    checkRange(value, 0, 2 ** 32 - 1);
    const at = this.#reserve(4);
    this.#buffer.writeUInt32BE(value, at);
    return this;
  }

  uhyper(value: bigint): this {
    if (value < 0n || value >= 1n << 64n) throw new XdrError("XDR_VALUE", `${value} is no unsigned hyper`);
    const at = this.#reserve(8);
    this.#buffer.writeBigUInt64BE(value, at);
    return this;
  }

  /** @throws XdrError longer than `MAX_STRING_BYTES`, or with a NUL, which C ends the string at */
  string(value: string): this {
    if (value.includes("\0")) throw new XdrError("XDR_VALUE", "a string contains a NUL character");
    return this.opaque(Buffer.from(value));
  }

  optionalString(value: string | undefined): this {
    return value === undefined ? this.uint(0) : this.uint(1).string(value);
  }

  /** Variable-length bytes. */
  opaque(bytes: Uint8Array): this {
    if (bytes.length > MAX_STRING_BYTES) {
      throw new XdrError("XDR_LIMIT", `${bytes.length} bytes exceed the limit of ${MAX_STRING_BYTES}`);
    }
    return this.uint(bytes.length).fixed(bytes);
  }

  /** Bytes without their length. */
  fixed(bytes: Uint8Array): this {
    const padded = align(bytes.length);
    const at = this.#reserve(padded);
    this.#buffer.set(bytes, at);
    this.#buffer.fill(0, at + bytes.length, at + padded);
    return this;
  }

  array<T>(values: readonly T[], write: (writer: XdrWriter, value: T) => void): this {
    this.uint(values.length);
    for (const value of values) write(this, value);
    return this;
  }

  bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  #reserve(size: number): number {
    const at = this.#length;
    this.#length += size;
    if (this.#length > this.#buffer.length) {
      const grown = Buffer.allocUnsafe(Math.max(this.#length, this.#buffer.length * 2));
      this.#buffer.copy(grown, 0, 0, at);
      this.#buffer = grown;
    }
    return at;
  }
}

/** Takes values off a buffer; every method throws XdrError where the bytes don't suffice. */
export class XdrReader {
  readonly #buffer: Buffer;
  #at = 0;

  constructor(buffer: Buffer) {
    this.#buffer = buffer;
  }

  int(): number {
    return this.#buffer.readInt32BE(this.#take(4));
  }

  uint(): number {
    return this.#buffer.readUInt32BE(this.#take(4));
  }

  hyper(): bigint {
    return this.#buffer.readBigInt64BE(this.#take(8));
  }

  uhyper(): bigint {
    return this.#buffer.readBigUInt64BE(this.#take(8));
  }

  double(): number {
    return this.#buffer.readDoubleBE(this.#take(8));
  }

  string(): string {
    return this.opaque().toString("utf8");
  }

  optionalString(): string | undefined {
    return this.optional((reader) => reader.string());
  }

  opaque(): Buffer {
    const length = this.uint();
    if (length > MAX_STRING_BYTES) {
      throw new XdrError("XDR_LIMIT", `a string of ${length} bytes exceeds the limit of ${MAX_STRING_BYTES}`);
    }
    return this.fixed(length);
  }

  fixed(length: number): Buffer {
    const at = this.#take(align(length));
    return this.#buffer.subarray(at, at + length);
  }

  optional<T>(read: (reader: XdrReader) => T): T | undefined {
    const marker = this.uint();
    if (marker > 1) throw new XdrError("XDR_VALUE", `${marker} is no marker of an optional value`);
    return marker === 1 ? read(this) : undefined;
  }

  /** @param maxItems libvirt's limit for this array */
  array<T>(maxItems: number, read: (reader: XdrReader) => T): T[] {
    const count = this.uint();
    if (count > maxItems) {
      throw new XdrError("XDR_LIMIT", `an array of ${count} items exceeds the limit of ${maxItems}`);
    }
    return Array.from({ length: count }, () => read(this));
  }

  /** To be called after the last value: a left-over means that the layout was misunderstood. */
  end(): void {
    const left = this.#buffer.length - this.#at;
    if (left > 0) throw new XdrError("XDR_TRAILING", `${left} bytes are left over`);
  }

  #take(size: number): number {
    const at = this.#at;
    if (at + size > this.#buffer.length) {
      throw new XdrError("XDR_TRUNCATED", `${size} bytes are wanted, ${this.#buffer.length - at} are left`);
    }
    this.#at += size;
    return at;
  }
}

function align(length: number): number {
  return (length + 3) & ~3;
}

function checkRange(value: number, min: number, max: number): void {
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new XdrError("XDR_VALUE", `${value} is no whole number from ${min} to ${max}`);
  }
}
