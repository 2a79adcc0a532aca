/** Fields of ISO 9660 (ECMA-119, sections 7 and 8.4.26). */

/** 7.2.3: little-endian, then big-endian. */
export function bothEndian16(value: number): Buffer {
  const field = Buffer.alloc(4);
  field.writeUInt16LE(value, 0);
  field.writeUInt16BE(value, 2);
  return field;
}

/** 7.3.3 */
export function bothEndian32(value: number): Buffer {
  const field = Buffer.alloc(8);
  field.writeUInt32LE(value, 0);
  field.writeUInt32BE(value, 4);
  return field;
}

/** 9.1.5, in UTC. */
export function recordTime(at: Date): Buffer {
  const year = Math.min(Math.max(at.getUTCFullYear() - 1900, 0), 255);
  return Buffer.from([
    year,
    at.getUTCMonth() + 1,
    at.getUTCDate(),
    at.getUTCHours(),
    at.getUTCMinutes(),
    at.getUTCSeconds(),
    0,
  ]);
}

/** 8.4.26.1: sixteen digits and the offset from UTC. */
export function descriptorTime(at: Date): Buffer {
  const digits = at.toISOString().replaceAll(/\D/g, "").slice(0, 16).padEnd(16, "0");
  return Buffer.from(`${digits}\0`, "latin1");
}

export function paddedText(text: Buffer, bytes: number, filler: Buffer = Buffer.from(" ")): Buffer {
  // Whole characters only, where one takes two bytes; an odd byte that is left over stays zero.
  const kept = text.subarray(0, bytes - (bytes % filler.length));
  const padding = Buffer.alloc(bytes - kept.length);
  for (let at = 0; at + filler.length <= padding.length; at += filler.length) filler.copy(padding, at);
  return Buffer.concat([kept, padding]);
}

export function utf16be(text: string): Buffer {
  return Buffer.from(text, "utf16le").swap16();
}
