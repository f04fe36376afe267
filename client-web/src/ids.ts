// Ids: 16 bytes derived from the application's own strings (W-10), written as 32 hexadecimal digits.

import { deriveKey } from './blake3.js';

/** 32 hexadecimal digits. */
export type Id = string;

/** "None" (W-12). */
export const ZERO: Id = '0'.repeat(32);

const encoder = new TextEncoder();

function derive(context: string, bytes: Uint8Array): Uint8Array {
  return deriveKey(encoder.encode(context), bytes).subarray(0, 16);
}

/** The id of the conversation of that name. */
export function conversationId(name: string): Id {
  return toHex(derive('ringwire 2026-11 conversation id', encoder.encode(name)));
}

/** The id of the user that the application calls so. */
export function userId(name: string): Id {
  return toHex(derive('ringwire 2026-11 user id', encoder.encode(name)));
}

/** The id of the device that the application calls so. */
export function deviceId(name: string): Id {
  return toHex(derive('ringwire 2026-11 device id', encoder.encode(name)));
}

/** What members see of a device instead of its id: 16 hexadecimal digits. */
export function originOf(device: Id): string {
  return toHex(derive('ringwire 2026-11 message origin', fromHex(device)).subarray(0, 8));
}

/** A device nobody else is. */
export function randomId(): Id {
  return toHex(crypto.getRandomValues(new Uint8Array(16)));
}

export function isId(text: string): boolean {
  return /^[0-9a-f]{32}$/.test(text);
}

export function toHex(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) {
    text += (byte < 16 ? '0' : '') + byte.toString(16);
  }
  return text;
}

export function fromHex(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length / 2);
  for (let index = 0; index < bytes.length; index += 1) {
    bytes[index] = Number.parseInt(text.slice(2 * index, 2 * index + 2), 16);
  }
  return bytes;
}
