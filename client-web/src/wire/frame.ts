// Frames: eight bytes of header, then one FlatBuffers root (W-1 to W-9). Nothing here looks into a body.

import { Fault } from './fault.js';

export const HEADER_BYTES = 8;

/** A receiver that does not know the type skips the frame (W-5); all other flag bits are zero. */
export const FLAG_OPTIONAL = 1;

/** What a frame carries, by number. */
export const TYPE = {
  hello: 0x01,
  publish: 0x02,
  join: 0x03,
  leave: 0x04,
  open: 0x05,
  close: 0x06,
  fetch: 0x07,
  members: 0x08,
  read: 0x09,
  typing: 0x0a,
  watch: 0x0b,
  ping: 0x0c,
  refresh: 0x0d,
  create: 0x0e,
  direct: 0x0f,
  change: 0x10,
  mute: 0x11,
  delivered: 0x14,
  watchCounts: 0x15,
  settings: 0x16,
  welcome: 0x41,
  ack: 0x42,
  done: 0x43,
  reject: 0x44,
  message: 0x45,
  joined: 0x46,
  memberPage: 0x47,
  head: 0x48,
  page: 0x49,
  presence: 0x4a,
  typingNotice: 0x4b,
  receipt: 0x4c,
  gap: 0x4d,
  goAway: 0x4e,
  pong: 0x4f,
  inbox: 0x50,
  counts: 0x51,
} as const;

/** One frame, cut out of the bytes that it came in. */
export interface Frame {
  readonly type: number;
  readonly optional: boolean;
  readonly body: Uint8Array;
}

/** The frames that stand in one WebSocket message, or in a page: all whole, and nothing behind them (W-3). */
export function* split(bytes: Uint8Array, frameBytesMax: number): Generator<Frame> {
  let at = 0;
  while (at < bytes.length) {
    if (bytes.length - at < HEADER_BYTES) {
      throw new Fault('bad_frame', 'a frame header is cut');
    }
    const length = u32(bytes, at);
    const flags = bytes[at + 5]!;
    if ((flags & ~FLAG_OPTIONAL) !== 0 || bytes[at + 6] !== 0 || bytes[at + 7] !== 0) {
      throw new Fault('bad_frame', 'a frame header has bits that mean nothing');
    }
    if (length + HEADER_BYTES > frameBytesMax) {
      throw new Fault('frame_too_large', `a frame of ${length} bytes, of at most ${frameBytesMax}`);
    }
    const end = at + HEADER_BYTES + length;
    if (end > bytes.length) {
      throw new Fault('bad_frame', 'a frame is cut');
    }
    const type = bytes[at + 4]!;
    yield { type, optional: (flags & FLAG_OPTIONAL) !== 0, body: bytes.subarray(at + HEADER_BYTES, end) };
    at = end;
  }
}

/** A whole frame around a root, padded to a multiple of eight bytes (W-9). */
export function frame(type: number, root: Uint8Array, flags = 0): Uint8Array {
  const length = (root.length + 7) & ~7;
  const bytes = new Uint8Array(HEADER_BYTES + length);
  new DataView(bytes.buffer).setUint32(0, length, true);
  bytes[4] = type;
  bytes[5] = flags;
  bytes.set(root, HEADER_BYTES);
  return bytes;
}

/** Four bytes, little-endian. The caller has checked that they are there. */
export function u32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
}
