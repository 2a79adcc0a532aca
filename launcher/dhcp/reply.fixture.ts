/** An independent reader of DHCP replies, for tests: plain, and with the fields in RFC 3396 section 5's order. */
import assert from "node:assert/strict";

export interface ReadReply {
  readonly options: ReadonlyMap<number, readonly number[]>;
  /** Codes in the options field, as they come. */
  readonly order: readonly number[];
  /** Length of the message up to END. */
  readonly length: number;
}

/** @throws AssertionError when the message is not as RFC 2131 and 2132 have it */
export function readReply(bytes: Uint8Array): ReadReply {
  assert.ok(bytes.length >= 300, `${bytes.length} bytes are fewer than BOOTP's`);
  assert.deepEqual([...bytes.subarray(0, 4)], [2, 1, 6, 0], "a reply to an Ethernet client");
  assert.deepEqual([...bytes.subarray(236, 240)], [99, 130, 83, 99], "the cookie");
  const options = new Map<number, number[]>();
  const order = walk(bytes.subarray(240), options);
  const overload = options.get(52)?.[0] ?? 0;
  if (overload & 1) walk(bytes.subarray(108, 236), options);
  else named(bytes.subarray(108, 236));
  if (overload & 2) walk(bytes.subarray(44, 108), options);
  else named(bytes.subarray(44, 108));
  const length = 240 + order.reduce((sum, { size }) => sum + size, 1);
  return { options, order: order.map(({ code }) => code), length };
}

/** Reads to the END that must be there, and finds nothing but pads behind it. */
function walk(field: Uint8Array, options: Map<number, number[]>): { code: number; size: number }[] {
  const order: { code: number; size: number }[] = [];
  for (let at = 0; at < field.length; ) {
    const code = field[at] ?? 255;
    if (code === 255) {
      assert.ok(
        field.subarray(at + 1).every((byte) => byte === 0),
        "something stands behind END",
      );
      return order;
    }
    assert.notEqual(code, 0, "a pad between options");
    const length = field[at + 1] ?? 0;
    assert.ok(at + 2 + length < field.length, `option ${code} leaves no room for END`);
    options.set(code, [...(options.get(code) ?? []), ...field.subarray(at + 2, at + 2 + length)]);
    order.push({ code, size: 2 + length });
    at += 2 + length;
  }
  return assert.fail("a field has no END");
}

function named(field: Uint8Array): void {
  assert.equal(field.at(-1), 0, "a name ends with NUL");
}
