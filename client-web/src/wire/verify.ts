// The one door from bytes to fields: nothing reads a table that was not verified here (W-6). The FlatBuffers runtime for
// JavaScript has no verifier; it reads whatever an offset says, and makes up zeros beyond the end.
//
// ```text
//   root: u32 ---> table: i32 back to its vtable | inline fields, offsets to strings, vectors and tables
//                  vtable: u16 its bytes | u16 the table's bytes | u16 per field, 0: absent
// ```
//
// Checked before use: every offset, every length, that required fields are there, that strings are UTF-8 and
// zero-terminated, and that all parts together are at most four times as large as the root, more meaning that they
// overlap. Deliberately not checked: alignment, which reading byte by byte does not need.

import { Fault } from './fault.js';
import { u32 } from './frame.js';
import type { Field, Layout } from './layout.js';

/** See W-6. */
const APPARENT_RATIO_MAX = 4;

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

class Verifier {
  private apparent = 0;

  constructor(private readonly bytes: Uint8Array) {}

  root(layout: Layout): void {
    this.range(0, 4);
    this.table(u32(this.bytes, 0), layout);
  }

  private table(at: number, layout: Layout): void {
    this.range(at, 4);
    const vtable = at - (u32(this.bytes, at) | 0);
    this.range(vtable, 4);
    const vtableBytes = this.u16(vtable);
    const tableBytes = this.u16(vtable + 2);
    if (vtableBytes < 4 || vtableBytes % 2 !== 0 || tableBytes < 4) {
      throw invalid('a vtable that is none');
    }
    this.range(vtable, vtableBytes);
    this.range(at, tableBytes);
    this.count(vtableBytes + tableBytes);
    layout.forEach((field, index) => {
      const entry = 4 + 2 * index;
      const offset = entry < vtableBytes ? this.u16(vtable + entry) : 0;
      if (offset !== 0) {
        this.field(at, offset, tableBytes, field);
      } else if (field.required) {
        throw invalid('a required field is missing');
      }
    });
  }

  private field(table: number, offset: number, tableBytes: number, field: Field): void {
    const bytes = field.kind === 'inline' ? field.bytes : 4;
    if (offset < 4 || offset + bytes > tableBytes) {
      throw invalid('a field outside its table');
    }
    const at = table + offset;
    if (field.kind === 'inline') {
      return;
    }
    const start = at + u32(this.bytes, at);
    this.range(start, 4);
    const length = u32(this.bytes, start);
    const content = start + 4;
    this.range(content, length * field.bytes);
    this.count(4 + length * field.bytes);
    if (field.kind === 'string') {
      this.string(content, length);
    } else if (field.table) {
      for (let index = 0; index < length; index += 1) {
        const element = content + 4 * index;
        this.table(element + u32(this.bytes, element), field.table);
      }
    }
  }

  private string(at: number, length: number): void {
    this.range(at, length + 1);
    if (this.bytes[at + length] !== 0) {
      throw invalid('a string without an end');
    }
    text(this.bytes.subarray(at, at + length));
  }

  /** Numbers here are below 2^33 plus some, so sums are exact. */
  private range(at: number, bytes: number): void {
    if (at < 0 || at + bytes > this.bytes.length) {
      throw invalid('an offset or a length leads outside');
    }
  }

  private count(bytes: number): void {
    this.apparent += bytes;
    if (this.apparent > APPARENT_RATIO_MAX * this.bytes.length) {
      throw invalid('its parts overlap');
    }
  }

  private u16(at: number): number {
    return this.bytes[at]! | (this.bytes[at + 1]! << 8);
  }
}

/** Throws a {@link Fault} unless the bytes are a root of this layout. */
export function verify(bytes: Uint8Array, layout: Layout): void {
  new Verifier(bytes).root(layout);
}

/** UTF-8, or a {@link Fault}. */
export function text(bytes: Uint8Array): string {
  try {
    return UTF8.decode(bytes);
  } catch {
    throw invalid('a string that is not UTF-8');
  }
}

function invalid(why: string): Fault {
  return new Fault('invalid_body', `the body of a frame is invalid: ${why}`);
}
