// What stands in each table that a server sends, in the order of its fields: what the verifier goes by. A test reads
// schema/*.fbs and compares, so that this list cannot drift from the schema.

/** One field of a table. Offsets and lengths are checked by its kind; `bytes` is the size of a scalar, struct or element. */
export interface Field {
  readonly kind: 'inline' | 'string' | 'vector' | 'tables';
  readonly bytes: number;
  readonly required: boolean;
  readonly table?: Layout;
}

export type Layout = readonly Field[];

const fixed = (bytes: number): Field => ({ kind: 'inline', bytes, required: true });
const scalar = (bytes: number): Field => ({ kind: 'inline', bytes, required: false });
const vector = (bytes: number): Field => ({ kind: 'vector', bytes, required: true });
const tables = (table: Layout): Field => ({ kind: 'tables', bytes: 4, required: true, table });
const STRING: Field = { kind: 'string', bytes: 1, required: true };
const MAYBE_BYTES: Field = { kind: 'vector', bytes: 1, required: false };

const MEMBER: Layout = [fixed(24), STRING];
const INBOX_ENTRY: Layout = [fixed(48), STRING, scalar(8), scalar(8), scalar(1), scalar(8)];

export const WELCOME: Layout = [fixed(48), STRING, vector(24)];
export const ACK: Layout = [fixed(48)];
export const DONE: Layout = [fixed(32)];
export const REJECT: Layout = [fixed(40), STRING];
export const MESSAGE: Layout = [fixed(80), vector(1)];
export const JOINED: Layout = [
  fixed(56),
  STRING,
  tables(MEMBER),
  scalar(1),
  scalar(8),
  scalar(8),
  scalar(8),
];
export const MEMBER_PAGE: Layout = [fixed(40), tables(MEMBER)];
export const HEAD: Layout = [fixed(24)];
export const PAGE: Layout = [fixed(48), vector(1), MAYBE_BYTES];
export const PRESENCE: Layout = [vector(32), scalar(8)];
export const TYPING_NOTICE: Layout = [fixed(40)];
export const RECEIPT: Layout = [fixed(48), scalar(1)];
export const GAP: Layout = [fixed(40)];
export const GO_AWAY: Layout = [fixed(12), STRING, STRING];
export const PONG: Layout = [fixed(16)];
export const INBOX: Layout = [fixed(1), tables(INBOX_ENTRY)];
export const COUNTS: Layout = [fixed(40)];
export const MEMBERSHIP: Layout = [fixed(24), STRING, STRING, scalar(1)];
