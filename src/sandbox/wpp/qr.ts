import { crc32, deflateSync } from "node:zlib";
import { encode } from "uqr";

/** Pixels of one module, and the white border in modules that ISO/IEC 18004 asks for. */
const SCALE = 4;
const BORDER = 4;

const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

/** A QR code as a PNG of one bit per pixel. */
export function qrPng(text: string): Buffer {
  const { data, size } = encode(text, { border: BORDER });
  const width = size * SCALE;
  const rowBytes = Math.ceil(width / 8);
  const rows = data.flatMap((modules) => {
    // Filter 0 (none), and then the pixels: white is 1.
    const row = Buffer.alloc(1 + rowBytes);
    for (let x = 0; x < width; x += 1) {
      if (modules[Math.floor(x / SCALE)] !== true) {
        row[1 + (x >> 3)] = (row[1 + (x >> 3)] ?? 0) | (0x80 >> (x & 7));
      }
    }
    return Array.from({ length: SCALE }, () => row);
  });
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(width, 4);
  header[8] = 1; // One bit of depth; colour type 0, greyscale.
  const image = deflateSync(Buffer.concat(rows));
  return Buffer.concat([SIGNATURE, chunk("IHDR", header), chunk("IDAT", image), chunk("IEND", Buffer.alloc(0))]);
}

/** A chunk of PNG: length, type, data, CRC over type and data. */
function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, "latin1"), data]);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(data.length);
  const sum = Buffer.alloc(4);
  sum.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, sum]);
}
