// Pictures for tests, made on the spot.

import { deflateSync } from 'node:zlib';

/** A picture without any loss: a soft gradient, and noise where it is to be large. */
export function png(width, height, noise = 0) {
  const rows = Buffer.alloc((width * 3 + 1) * height);
  let seed = 7;
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      seed = (seed * 1103515245 + 12345) & 0x7fffffff;
      const grain = noise === 0 ? 0 : (seed >> 8) % noise;
      const at = y * (width * 3 + 1) + 1 + x * 3;
      rows[at] = (60 + (140 * x) / width + grain) & 255;
      rows[at + 1] = (120 + (80 * y) / height + grain) & 255;
      rows[at + 2] = (170 - (60 * x) / width + grain) & 255;
    }
  }
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head.set([8, 2, 0, 0, 0], 8);
  const parts = [chunk('IHDR', head), chunk('IDAT', deflateSync(rows)), chunk('IEND', Buffer.alloc(0))];
  return Buffer.concat([Buffer.from('89504e470d0a1a0a', 'hex'), ...parts]);
}

function chunk(type, data) {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const frame = Buffer.alloc(body.length + 8);
  frame.writeUInt32BE(data.length, 0);
  body.copy(frame, 4);
  frame.writeUInt32BE(crc(body), body.length + 4);
  return frame;
}

function crc(bytes) {
  let sum = 0xffff_ffff;
  for (const byte of bytes) {
    sum ^= byte;
    for (let bit = 0; bit < 8; bit += 1) {
      sum = (sum >>> 1) ^ (sum & 1 ? 0xedb8_8320 : 0);
    }
  }
  return (sum ^ 0xffff_ffff) >>> 0;
}
