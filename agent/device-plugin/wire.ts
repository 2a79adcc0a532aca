/**
 * The protobuf wire format (protobuf.dev/programming-guides/encoding), as much of it as the device plugin API uses:
 * strings, booleans, messages. A general protobuf library would cost an eighth of the agent's memory for six messages.
 */
import { AgentError } from "../errors.ts";

const VARINT = 0;
const FIXED64 = 1;
const LENGTH_DELIMITED = 2;
const FIXED32 = 5;

/** A field of a received message; `bytes` is empty unless the field is length-delimited. */
export interface Field {
  readonly number: number;
  readonly varint: number;
  readonly bytes: Buffer;
}

/** One field of a message to send; proto3 leaves out a scalar that has its default value. */
export function stringField(number: number, value: string): Buffer {
  return value === "" ? Buffer.alloc(0) : messageField(number, Buffer.from(value, "utf8"));
}

export function boolField(number: number, value: boolean): Buffer {
  return value ? Buffer.concat([varint(number * 8 + VARINT), varint(1)]) : Buffer.alloc(0);
}

export function messageField(number: number, message: Uint8Array): Buffer {
  return Buffer.concat([varint(number * 8 + LENGTH_DELIMITED), varint(message.length), message]);
}

/**
 * The fields of a message in the order sent.
 * @throws AgentError MalformedMessage
 */
export function* fields(message: Buffer): Generator<Field, void, void> {
  let offset = 0;
  while (offset < message.length) {
    const tag = readVarint(message, offset);
    const number = Math.floor(tag.value / 8);
    offset = tag.next;
    switch (tag.value % 8) {
      case VARINT: {
        const read = readVarint(message, offset);
        offset = read.next;
        yield { number, varint: read.value, bytes: Buffer.alloc(0) };
        break;
      }
      case LENGTH_DELIMITED: {
        const length = readVarint(message, offset);
        offset = length.next + length.value;
        if (offset > message.length) throw malformed("a field reaches beyond the message");
        yield { number, varint: 0, bytes: message.subarray(length.next, offset) };
        break;
      }
      case FIXED64:
        offset += 8;
        break;
      case FIXED32:
        offset += 4;
        break;
      default:
        throw malformed(`unknown wire type ${tag.value % 8}`);
    }
  }
  if (offset > message.length) throw malformed("a field reaches beyond the message");
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 128) {
    bytes.push((rest % 128) + 128);
    rest = Math.floor(rest / 128);
  }
  return Buffer.from([...bytes, rest]);
}

/** Values above 2^53 lose precision; no field of this API has one. */
function readVarint(message: Buffer, start: number): { readonly value: number; readonly next: number } {
  let value = 0;
  for (let i = 0; i < 10; i++) {
    const byte = message[start + i];
    if (byte === undefined) throw malformed("the message ends inside a number");
    value += (byte % 128) * 128 ** i;
    if (byte < 128) return { value, next: start + i + 1 };
  }
  throw malformed("a number is longer than ten bytes");
}

function malformed(what: string): AgentError {
  return new AgentError("MalformedMessage", `malformed protobuf message: ${what}`);
}
