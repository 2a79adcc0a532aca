/**
 * Messages on libvirt's socket (src/rpc/virnetprotocol.x): a length word that counts itself, a header of 24 bytes, a
 * payload. It is not ONC RPC: neither record marks nor credentials.
 */

export const LENGTH_BYTES = 4;
const HEADER_BYTES = 24;
/** VIR_NET_MESSAGE_MAX and the length word. */
export const MAX_MESSAGE_BYTES = LENGTH_BYTES + 32 * 1024 * 1024;

export const MESSAGE_TYPE = { call: 0, reply: 1, message: 2, stream: 3 } as const;
export const MESSAGE_STATUS = { ok: 0, error: 1, continue: 2 } as const;

export interface MessageHeader {
  readonly program: number;
  readonly version: number;
  readonly procedure: number;
  readonly type: number;
  /** Chosen by the caller of a call; 0 in events and keepalive messages. */
  readonly serial: number;
  readonly status: number;
}

export interface Message extends MessageHeader {
  /** Empty where it was longer than the receiver takes. */
  readonly payload: Buffer;
  /** Bytes of a payload that was not kept; absent otherwise. */
  readonly droppedBytes?: number;
}

export class FramingError extends Error {
  override readonly name = "FramingError";
  readonly code: "FRAME_TOO_SHORT" | "FRAME_TOO_LONG";

  constructor(code: FramingError["code"], message: string) {
    super(message);
    this.code = code;
  }
}

/** @throws FramingError above `MAX_MESSAGE_BYTES` (libvirtd would close the connection) */
export function encodeMessage(header: MessageHeader, payload: Uint8Array): Buffer {
  const length = LENGTH_BYTES + HEADER_BYTES + payload.length;
  if (length > MAX_MESSAGE_BYTES) throw tooLong(length);
  const bytes = Buffer.allocUnsafe(length);
  bytes.writeUInt32BE(length, 0);
  bytes.writeUInt32BE(header.program, 4);
  bytes.writeUInt32BE(header.version, 8);
  bytes.writeInt32BE(header.procedure, 12);
  bytes.writeInt32BE(header.type, 16);
  bytes.writeUInt32BE(header.serial, 20);
  bytes.writeInt32BE(header.status, 24);
  bytes.set(payload, LENGTH_BYTES + HEADER_BYTES);
  return bytes;
}

/** Cuts a byte stream into messages, however its chunks fall. After an error it must not be used any more. */
export class MessageParser {
  #chunks: Buffer[] = [];
  #buffered = 0;
  /** Bytes of the message under way that are kept, once its length word is there. */
  #wanted: number | undefined;
  /** Bytes after those that are not kept. */
  #surplus = 0;
  /** Bytes of an earlier message's surplus that are still to come. */
  #toDrop = 0;
  readonly #maxBytes: number;

  /** @param maxBytes of one message; of a longer one only the header is kept */
  constructor(maxBytes: number = MAX_MESSAGE_BYTES) {
    this.#maxBytes = maxBytes;
  }

  /** @throws FramingError a length that no message can have */
  *push(chunk: Buffer): Generator<Message> {
    this.#keep(chunk);
    for (;;) {
      if (this.#wanted === undefined) {
        if (this.#buffered < LENGTH_BYTES) return;
        const length = checkLength(this.#join().readUInt32BE(0));
        this.#wanted = length <= this.#maxBytes ? length : LENGTH_BYTES + HEADER_BYTES;
        this.#surplus = length - this.#wanted;
      }
      if (this.#buffered < this.#wanted) return;
      const all = this.#join();
      const bytes = all.subarray(0, this.#wanted);
      const droppedBytes = this.#surplus;
      this.#chunks = [];
      this.#buffered = 0;
      this.#toDrop = droppedBytes;
      this.#keep(all.subarray(this.#wanted));
      this.#wanted = undefined;
      yield { ...decodeMessage(bytes), ...(droppedBytes > 0 && { droppedBytes }) };
    }
  }

  #keep(bytes: Buffer): void {
    const kept = bytes.subarray(Math.min(this.#toDrop, bytes.length));
    this.#toDrop -= bytes.length - kept.length;
    if (kept.length === 0) return;
    this.#chunks.push(kept);
    this.#buffered += kept.length;
  }

  /** Joined only when a length word or a whole message is there, so a long message isn't copied per chunk. */
  #join(): Buffer {
    const [first] = this.#chunks;
    if (first !== undefined && this.#chunks.length === 1) return first;
    const all = Buffer.concat(this.#chunks);
    this.#chunks = [all];
    return all;
  }
}

function checkLength(length: number): number {
  if (length < LENGTH_BYTES + HEADER_BYTES) {
    throw new FramingError("FRAME_TOO_SHORT", `a message of ${length} bytes can't hold its header`);
  }
  if (length > MAX_MESSAGE_BYTES) throw tooLong(length);
  return length;
}

function tooLong(length: number): FramingError {
  const limit = `the limit of ${MAX_MESSAGE_BYTES}`;
  return new FramingError("FRAME_TOO_LONG", `a message of ${length} bytes exceeds ${limit}`);
}

function decodeMessage(bytes: Buffer): Message {
  return {
    program: bytes.readUInt32BE(4),
    version: bytes.readUInt32BE(8),
    procedure: bytes.readInt32BE(12),
    type: bytes.readInt32BE(16),
    serial: bytes.readUInt32BE(20),
    status: bytes.readInt32BE(24),
    payload: bytes.subarray(LENGTH_BYTES + HEADER_BYTES),
  };
}
