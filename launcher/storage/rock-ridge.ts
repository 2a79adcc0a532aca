/**
 * System use fields of Rock Ridge 1.09 (SUSP 1.09, RRIP 1.09): names, modes and times as Linux has them. Files belong
 * to root and are read-only.
 */
import { bothEndian32, recordTime } from "./iso-fields.ts";

const TYPE_DIRECTORY = 0o040000;
const TYPE_FILE = 0o100000;
/** TF: creation, modification, access. */
const TIMES = 0b111;

export interface RidgeEntry {
  /** UTF-8, at most MAX_RIDGE_NAME_BYTES. */
  readonly name: string;
  readonly isDirectory: boolean;
  /** Permission bits. */
  readonly mode: number;
  readonly at: Date;
}

/** What a directory record of 255 bytes leaves for the name, beside an identifier of 14, PX and TF. */
export const MAX_RIDGE_NAME_BYTES = 136;

/** Of a file or directory. */
export function rockRidge({ name, isDirectory, mode, at }: RidgeEntry): Buffer {
  return Buffer.concat([attributes(isDirectory, mode), times(at), field("NM", [0], Buffer.from(name))]);
}

/** Of a directory's own record, or its parent's; the root's tells that the image has Rock Ridge at all. */
export function rootEntries(isRoot: boolean, at: Date): Buffer {
  const own = [attributes(true, 0o555), times(at)];
  if (!isRoot) return Buffer.concat(own);
  const indicator = field("SP", [0xbe, 0xef, 0]);
  const extension = Buffer.from("RRIP_1991A", "latin1");
  const reference = field("ER", [extension.length, 0, 0, 1], extension);
  return Buffer.concat([indicator, ...own, reference]);
}

function attributes(isDirectory: boolean, mode: number): Buffer {
  const type = isDirectory ? TYPE_DIRECTORY : TYPE_FILE;
  const links = isDirectory ? 2 : 1;
  return field("PX", [], Buffer.concat([type | mode, links, 0, 0].map(bothEndian32)));
}

function times(at: Date): Buffer {
  const time = recordTime(at);
  return field("TF", [TIMES], Buffer.concat([time, time, time]));
}

/** Signature, length, version 1. */
function field(signature: string, head: readonly number[], data: Buffer = Buffer.alloc(0)): Buffer {
  const length = 4 + head.length + data.length;
  return Buffer.concat([Buffer.from(signature, "latin1"), Buffer.from([length, 1, ...head]), data]);
}
