// Reads schema/*.fbs as far as tests need it: which fields each table has, and how they are laid out.

import { readFileSync } from 'node:fs';
import type { Field, Layout } from '../src/wire/layout.js';

const SIZES: Record<string, number> = { ubyte: 1, bool: 1, ushort: 2, uint: 4, ulong: 8 };

export interface Schema {
  readonly tables: ReadonlyMap<string, Layout>;
  readonly frames: ReadonlyMap<number, string>;
}

export function readSchema(): Schema {
  const text = ['values', 'client', 'server', 'content']
    .map((name) => readFileSync(`${process.env.REPOSITORY}/schema/${name}.fbs`, 'utf8'))
    .join('\n');
  const frames = new Map<number, string>();
  for (const [, number, name] of text.matchAll(/\/\/\/ (0x[0-9A-F]{2})\.[^\n]*\n(?:\/\/\/[^\n]*\n)*table (\w+)/g)) {
    frames.set(Number(number), name!);
  }
  const bodies = (kind: string) =>
    [...text.matchAll(new RegExp(`${kind} (\\w+)(?: : ubyte)? \\{([^}]*)\\}`, 'g'))].map(
      ([, name, body]) => [name!, body!] as const,
    );
  const structs = new Map<string, { bytes: number; align: number }>();
  for (const [name] of bodies('enum')) {
    structs.set(name, { bytes: 1, align: 1 });
  }
  for (const [name, bytes] of Object.entries(SIZES)) {
    structs.set(name, { bytes, align: bytes });
  }
  for (const [name, body] of bodies('struct')) {
    let end = 0;
    let align = 1;
    for (const [, type] of body.matchAll(/\w+: (\w+);/g)) {
      const part = structs.get(type!)!;
      end = Math.ceil(end / part.align) * part.align + part.bytes;
      align = Math.max(align, part.align);
    }
    structs.set(name, { bytes: Math.ceil(end / align) * align, align });
  }
  const tables = new Map<string, Layout>();
  for (const [name, body] of bodies('table')) {
    const fields = [...body.matchAll(/\w+: (\[?)(\w+)\]?( \(required\))?;/g)];
    tables.set(
      name,
      fields.map(([, list, type, required]): Field => {
        const common = { required: required !== undefined };
        if (type === 'string') {
          return { kind: 'string', bytes: 1, ...common };
        }
        const inline = structs.get(type!);
        if (!inline) {
          return { kind: 'tables', bytes: 4, ...common, table: tables.get(type!)! };
        }
        return { kind: list ? 'vector' : 'inline', bytes: inline.bytes, ...common };
      }),
    );
  }
  return { tables, frames };
}

/** The bytes of a golden frame. */
export function golden(name: string): Uint8Array {
  const text = readFileSync(`${process.env.REPOSITORY}/schema/golden/v1/${name}.hex`, 'utf8');
  return Uint8Array.from(text.trim().split(/\s+/), (digits) => Number.parseInt(digits, 16));
}
