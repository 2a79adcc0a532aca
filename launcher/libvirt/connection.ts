/**
 * One RPC connection: calls by serial, events to a listener. Replies may come in another order than their calls.
 * Once closed, for whatever reason, every outstanding and every later call fails with `LibvirtUnavailable`.
 */
import { connect } from "node:net";
import type { Duplex } from "node:stream";
import { type Clock, systemClock } from "../../lib/clock.ts";
import { LibvirtError } from "./errors.ts";
import { encodeMessage, MESSAGE_STATUS, MESSAGE_TYPE, type Message, MessageParser } from "./framing.ts";
import { KEEPALIVE, PROGRAM, PROTOCOL_VERSION, type Procedure } from "./protocol.ts";
import { readErrorRecord } from "./structures.ts";
import { XdrReader, XdrWriter } from "./xdr.ts";

/** libvirtd takes `max_client_requests` calls of a connection at a time; more wait in the socket. */
const MAX_PENDING_CALLS = 64;
export const CALL_TIMEOUT_MS = 30_000;

export interface CallOptions {
  /** Deadline in ms; `CALL_TIMEOUT_MS` unless told. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

export interface RpcConnectionOptions {
  /** Told of each message that answers no call, in the order of the wire; it must consume the payload. */
  readonly onEvent: (message: Message) => void;
  /** A reply that is longer fails its call; libvirt's own limit unless told, in bytes. */
  readonly maxMessageBytes?: number;
  readonly clock?: Clock;
}

interface Waiter {
  readonly procedure: Procedure;
  readonly answer: (reply: Message) => void;
  readonly fail: (reason: unknown) => void;
}

export class RpcConnection {
  /** Resolves with the reason when the connection ends; never rejects. */
  readonly closed: Promise<LibvirtError>;
  readonly #socket: Duplex;
  readonly #onEvent: (message: Message) => void;
  readonly #clock: Clock;
  readonly #parser: MessageParser;
  readonly #waiters = new Map<number, Waiter>();
  readonly #resolveClosed: (error: LibvirtError) => void;
  #closeReason: LibvirtError | undefined;
  #lastSerial = 0;

  /** @param socket connected; belongs to this object from now on */
  constructor(socket: Duplex, options: RpcConnectionOptions) {
    this.#socket = socket;
    this.#onEvent = options.onEvent;
    this.#clock = options.clock ?? systemClock;
    this.#parser = new MessageParser(options.maxMessageBytes);
    const { promise, resolve } = Promise.withResolvers<LibvirtError>();
    this.closed = promise;
    this.#resolveClosed = resolve;
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("error", (cause) => this.#close(unavailable("the connection failed", { cause })));
    socket.on("end", () => this.#close(unavailable("libvirtd closed the connection")));
    socket.on("close", () => this.#close(unavailable("libvirtd closed the connection")));
  }

  /**
   * Resolves with what `read` makes of the reply, which must be consumed to the last byte.
   * @throws LibvirtError libvirt's refusal, or `LibvirtTimeout`, `LibvirtUnavailable`, `LibvirtProtocol`; the
   *   signal's reason when it aborts first. The call may have been done nevertheless.
   */
  async call<T>(
    procedure: Procedure,
    write: (writer: XdrWriter) => void,
    read: (reader: XdrReader) => T,
    options: CallOptions = {},
  ): Promise<T> {
    const writer = new XdrWriter();
    write(writer);
    const reply = await this.#send(procedure, writer.bytes(), options);
    if (reply.status === MESSAGE_STATUS.error) {
      throw LibvirtError.fromRecord(procedure.name, decode(procedure, reply.payload, readErrorRecord));
    }
    return decode(procedure, reply.payload, (reader) => {
      const value = read(reader);
      reader.end();
      return value;
    });
  }

  /** Idempotent. */
  close(): void {
    this.#close(unavailable("the connection was closed by this side"));
  }

  #send(procedure: Procedure, payload: Buffer, options: CallOptions): Promise<Message> {
    const { timeoutMs = CALL_TIMEOUT_MS, signal } = options;
    if (signal?.aborted === true) return Promise.reject(signal.reason);
    if (this.#closeReason !== undefined) return Promise.reject(this.#closeReason);
    if (this.#waiters.size >= MAX_PENDING_CALLS) {
      const message = `${procedure.name}: ${MAX_PENDING_CALLS} calls are waiting for libvirtd already`;
      return Promise.reject(new LibvirtError("LibvirtBusy", message));
    }
    const serial = this.#nextSerial();
    const { program, number } = procedure;
    const header = { program, version: PROTOCOL_VERSION, procedure: number, type: MESSAGE_TYPE.call };
    const bytes = encodeMessage({ ...header, serial, status: MESSAGE_STATUS.ok }, payload);
    return new Promise((resolve, reject) => {
      const settle = () => {
        timer.cancel();
        signal?.removeEventListener("abort", onAbort);
        this.#waiters.delete(serial);
      };
      const answer = (reply: Message) => {
        settle();
        resolve(reply);
      };
      const fail = (reason: unknown) => {
        settle();
        reject(reason);
      };
      const onAbort = () => fail(signal?.reason);
      const timer = this.#clock.setTimeout(() => {
        const message = `${procedure.name}: libvirtd gave no answer within ${timeoutMs} ms`;
        fail(new LibvirtError("LibvirtTimeout", message));
      }, timeoutMs);
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#waiters.set(serial, { procedure, answer, fail });
      this.#socket.write(bytes);
    });
  }

  #nextSerial(): number {
    do {
      // 0 belongs to events.
      this.#lastSerial = this.#lastSerial >= 0xffff_ffff ? 1 : this.#lastSerial + 1;
    } while (this.#waiters.has(this.#lastSerial));
    return this.#lastSerial;
  }

  #receive(chunk: Buffer): void {
    try {
      for (const message of this.#parser.push(chunk)) {
        if (this.#closeReason !== undefined) return;
        this.#dispatch(message);
      }
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      this.#close(new LibvirtError("LibvirtProtocol", `libvirtd broke the protocol: ${why}`, { cause }));
    }
  }

  #dispatch(message: Message): void {
    if (message.program === PROGRAM.keepalive) {
      this.#answerKeepalive(message);
      return;
    }
    switch (message.type) {
      case MESSAGE_TYPE.reply: {
        const waiter = this.#waiters.get(message.serial);
        // No waiter: the reply of a call that was given up.
        if (waiter === undefined) return;
        const { program, number, name } = waiter.procedure;
        if (message.program !== program || message.procedure !== number) {
          throw new Error(`the reply to "${name}" is one to procedure ${message.procedure}`);
        }
        if (message.droppedBytes === undefined) waiter.answer(message);
        else waiter.fail(replyTooLong(name, message.droppedBytes));
        return;
      }
      case MESSAGE_TYPE.message:
        this.#onEvent(message);
        return;
      default:
        throw new Error(`no message of type ${message.type} was asked for`);
    }
  }

  #answerKeepalive(message: Message): void {
    if (message.procedure !== KEEPALIVE.ping) return;
    const pong = { ...message, procedure: KEEPALIVE.pong, type: MESSAGE_TYPE.message, serial: 0 };
    this.#socket.write(encodeMessage(pong, Buffer.alloc(0)));
  }

  #close(reason: LibvirtError): void {
    if (this.#closeReason !== undefined) return;
    this.#closeReason = reason;
    this.#socket.destroy();
    for (const { procedure, fail } of [...this.#waiters.values()]) {
      fail(new LibvirtError(reason.code, `${procedure.name}: ${reason.message}`, { cause: reason }));
    }
    this.#resolveClosed(reason);
  }
}

/** @throws LibvirtError `LibvirtUnavailable`; the signal's reason when it aborts first */
export async function connectRpc(
  socketPath: string,
  options: RpcConnectionOptions & { readonly signal?: AbortSignal },
): Promise<RpcConnection> {
  const { signal } = options;
  signal?.throwIfAborted();
  const socket = connect(socketPath);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const onError = (cause: Error) =>
    reject(unavailable(`no libvirtd answers at ${socketPath}: ${cause.message}`, { cause }));
  const onAbort = () => reject(signal?.reason);
  socket.once("connect", resolve);
  socket.once("error", onError);
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    await promise;
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    socket.off("error", onError);
    signal?.removeEventListener("abort", onAbort);
  }
  return new RpcConnection(socket, options);
}

function unavailable(message: string, options?: ErrorOptions): LibvirtError {
  return new LibvirtError("LibvirtUnavailable", message, options);
}

function replyTooLong(name: string, bytes: number): LibvirtError {
  return new LibvirtError("LibvirtReplyTooLong", `${name}: a reply of ${bytes} bytes is more than is taken`);
}

function decode<T>(procedure: Procedure, payload: Buffer, read: (reader: XdrReader) => T): T {
  try {
    return read(new XdrReader(payload));
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    const message = `${procedure.name}: the reply has an unknown layout: ${why}`;
    throw new LibvirtError("LibvirtProtocol", message, { cause });
  }
}
