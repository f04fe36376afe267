// Makes a FlatBuffers root of one table, forwards: the table, then what its offsets lead to.
//
// ```text
//   u32 root | .. vtable: its bytes, the table's bytes, an offset per field | i32 back to it, inline fields | children
// ```
//
// The runtime's builder does more than clients need and is a tenth of the library; this is what flatc's own readers and the
// server's verifier take, which tests and every connection check. Positions are counted from the root, which stands on a
// multiple of eight in its frame.

import { type Id, fromHex } from '../ids.js';

/** A number of so many bytes: 1, 2, 4 or 8. */
export type Scalar = readonly [bytes: 1 | 2 | 4 | 8, value: number | bigint | boolean];

/** A struct, or a scalar field: what stands in the table itself. */
export interface Inline {
  readonly bytes: Uint8Array;
  readonly align: number;
}

/** One field of a table, in the schema's order; `undefined`: it has its default. */
export type Value = Inline | Child | undefined;

type Child = string | Uint8Array | { readonly structs: readonly Inline[] } | { readonly tables: readonly (readonly Value[])[] };

const encoder = new TextEncoder();

/** A struct of these fields: each on a multiple of its size, an id on one of eight. */
export function pack(...fields: readonly (Id | Scalar)[]): Inline {
  const view = new DataView(new ArrayBuffer(64));
  const bytes = new Uint8Array(view.buffer);
  let at = 0;
  let align = 1;
  for (const field of fields) {
    const size = typeof field === 'string' ? 8 : field[0];
    align = Math.max(align, size);
    at = up(at, size);
    if (typeof field === 'string') {
      bytes.set(fromHex(field), at);
      at += 16;
    } else {
      put(view, at, field);
      at += size;
    }
  }
  return { bytes: bytes.subarray(0, up(at, align)), align };
}

function put(view: DataView, at: number, [bytes, value]: Scalar): void {
  // A sequence; `Infinity` is the largest number there is, which means the newest, or for ever.
  const whole = value === Number.POSITIVE_INFINITY ? 0xffff_ffff_ffff_ffffn : BigInt(value);
  for (let index = 0; index < bytes; index += 1) {
    view.setUint8(at + index, Number((whole >> BigInt(8 * index)) & 0xffn));
  }
}

function up(at: number, align: number): number {
  return Math.ceil(at / align) * align;
}

class Writer {
  bytes = new Uint8Array(256);
  end = 4;
  private view = new DataView(this.bytes.buffer);

  table(fields: readonly Value[]): number {
    const vtableBytes = 4 + 2 * fields.length;
    // What follows the table's first four bytes stands on a multiple of eight.
    const table = up(this.end + vtableBytes + 4, 8) - 4;
    const vtable = table - vtableBytes;
    this.end = table + 4;
    const children: [number, Child][] = [];
    fields.forEach((field, index) => {
      if (field === undefined) {
        return;
      }
      const { bytes, align } = isInline(field) ? field : OFFSET;
      const at = this.add(bytes, align);
      this.view.setUint16(vtable + 4 + 2 * index, at - table, true);
      if (!isInline(field)) {
        children.push([at, field]);
      }
    });
    this.room(this.end);
    this.view.setUint16(vtable, vtableBytes, true);
    this.view.setUint16(vtable + 2, this.end - table, true);
    this.view.setInt32(table, vtableBytes, true);
    for (const [at, child] of children) {
      this.link(at, this.child(child));
    }
    return table;
  }

  /** Says in an offset where its target is. */
  link(at: number, target: number): void {
    this.view.setUint32(at, target - at, true);
  }

  private child(value: Child): number {
    if (typeof value === 'string') {
      const text = encoder.encode(value);
      const at = this.vector(text.length, 1, text);
      this.add(new Uint8Array(1), 1);
      return at;
    }
    if (value instanceof Uint8Array) {
      return this.vector(value.length, 1, value);
    }
    if ('structs' in value) {
      const at = this.vector(value.structs.length, 8);
      value.structs.forEach(({ bytes }) => this.add(bytes, 1));
      return at;
    }
    const at = this.vector(value.tables.length, 4, new Uint8Array(4 * value.tables.length));
    value.tables.forEach((fields, index) => this.link(at + 4 + 4 * index, this.table(fields)));
    return at;
  }

  /** A length, and then content on a multiple of `align`. */
  private vector(length: number, align: number, content: Uint8Array = new Uint8Array()): number {
    const at = up(this.end + 4, Math.max(4, align)) - 4;
    this.end = at;
    this.add(new Uint8Array(4), 1);
    this.view.setUint32(at, length, true);
    this.add(content, 1);
    return at;
  }

  private add(bytes: Uint8Array, align: number): number {
    const at = up(this.end, align);
    this.room(at + bytes.length);
    this.bytes.set(bytes, at);
    this.end = at + bytes.length;
    return at;
  }

  private room(end: number): void {
    if (end > this.bytes.length) {
      const larger = new Uint8Array(2 * end);
      larger.set(this.bytes);
      this.bytes = larger;
      this.view = new DataView(larger.buffer);
    }
  }
}

/** The place of an offset that is not known yet. */
const OFFSET: Inline = { bytes: new Uint8Array(4), align: 4 };

function isInline(value: Inline | Child): value is Inline {
  return typeof value === 'object' && 'align' in value;
}

/** The root of a table with these fields. */
export function root(fields: readonly Value[]): Uint8Array {
  const writer = new Writer();
  writer.link(0, writer.table(fields));
  return writer.bytes.subarray(0, writer.end);
}
