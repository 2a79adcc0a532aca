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
  readonly payload: Buffer;
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
  if (length > MAX_MESSAGE_BYTES) throw tooLong(length, MAX_MESSAGE_BYTES);
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
  /** Bytes of the message under way, once its length word is there. */
  #wanted: number | undefined;
  readonly #maxBytes: number;

  /** @param maxBytes of one message; no more is ever buffered */
  constructor(maxBytes: number = MAX_MESSAGE_BYTES) {
    this.#maxBytes = maxBytes;
  }

  /** @throws FramingError a length that no message can have */
  *push(chunk: Buffer): Generator<Message> {
    this.#chunks.push(chunk);
    this.#buffered += chunk.length;
    for (;;) {
      if (this.#wanted === undefined) {
        if (this.#buffered < LENGTH_BYTES) return;
        this.#wanted = checkLength(this.#join().readUInt32BE(0), this.#maxBytes);
      }
      if (this.#buffered < this.#wanted) return;
      const all = this.#join();
      const bytes = all.subarray(0, this.#wanted);
      const rest = all.subarray(this.#wanted);
      this.#chunks = rest.length > 0 ? [rest] : [];
      this.#buffered = rest.length;
      this.#wanted = undefined;
      yield decodeMessage(bytes);
    }
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

function checkLength(length: number, maxBytes: number): number {
  if (length < LENGTH_BYTES + HEADER_BYTES) {
    throw new FramingError("FRAME_TOO_SHORT", `a message of ${length} bytes can't hold its header`);
  }
  if (length > maxBytes) throw tooLong(length, maxBytes);
  return length;
}

function tooLong(length: number, maxBytes: number): FramingError {
  const limit = `the limit of ${maxBytes}`;
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
