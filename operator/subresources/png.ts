/** PNG (RFC 2083, W3C PNG third edition): 8 bits of red, green and blue for each pixel, no interlacing. */
import { promisify } from "node:util";
import { crc32, deflate } from "node:zlib";

export interface Picture {
  readonly width: number;
  readonly height: number;
  /** Red, green, blue, row by row. */
  readonly rgb: Buffer;
}

const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
const BIT_DEPTH = 8;
const TRUE_COLOUR = 2;
/** A row as the difference to the one above, which on a screen is mostly the same. */
const FILTER_UP = 2;
/** Screens are made of areas of one colour: more effort hardly makes them smaller. */
const DEFLATE_LEVEL = 3;

export async function encodePng(picture: Picture): Promise<Buffer> {
  const { width, height } = picture;
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([BIT_DEPTH, TRUE_COLOUR, 0, 0, 0], 8);
  const data = await promisify<Buffer, object, Buffer>(deflate)(filtered(picture), { level: DEFLATE_LEVEL });
  return Buffer.concat([
    SIGNATURE,
    chunk("IHDR", header),
    chunk("IDAT", data),
    chunk("IEND", Buffer.alloc(0)),
  ]);
}

/** Each row behind the filter's number (PNG section 9). */
function filtered({ width, height, rgb }: Picture): Buffer {
  const stride = width * 3;
  const rows = Buffer.allocUnsafe(height * (stride + 1));
  for (let y = 0; y < height; y++) {
    const at = y * (stride + 1);
    rows[at] = FILTER_UP;
    for (let x = 0; x < stride; x++) {
      const here = y * stride + x;
      const above = y === 0 ? 0 : (rgb[here - stride] ?? 0);
      rows[at + 1 + x] = ((rgb[here] ?? 0) - above) & 0xff;
    }
  }
  return rows;
}

/** Length, type, data, and the checksum of the last two (PNG section 5.3). */
function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, "latin1"), data]);
  const framed = Buffer.allocUnsafe(body.length + 8);
  framed.writeUInt32BE(data.length, 0);
  body.copy(framed, 4);
  framed.writeUInt32BE(crc32(body), framed.length - 4);
  return framed;
}
