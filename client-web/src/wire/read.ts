// From a frame of the server to a plain value: verified first, then read with what flatc generated.
//
// Numbers of 64 bits become JavaScript numbers where they are sequences or times; one beyond 2^53 becomes `Infinity`,
// which no sequence is, and who counts on from one refuses it. Numbers of enumerations are passed on as they are (W-8).

import { ByteBuffer, Encoding } from 'flatbuffers';
import * as wire from '../generated/ringwire/wire.js';
import { type Id, toHex } from '../ids.js';
import { Fault } from './fault.js';
import { type Frame, TYPE } from './frame.js';
import * as layout from './layout.js';
import { text, verify } from './verify.js';

/** One member of a conversation. */
export interface Member {
  readonly user: Id;
  readonly role: number;
  readonly name: string;
}

/** A message as it is on the wire. */
export interface WireMessage {
  readonly conversation: Id;
  readonly sequence: number;
  readonly timeMs: number;
  readonly sender: Id;
  readonly origin: string;
  readonly clientSequence: number;
  readonly reference: number;
  readonly kind: number;
  readonly body: Uint8Array;
}

/** One conversation of the user, as the server lists it. */
export interface InboxEntry {
  readonly conversation: Id;
  readonly name: string;
  readonly head: number;
  readonly read: number;
  readonly delivered: number;
  readonly unread: number;
  readonly timeMs: number;
  readonly mutedUntilMs: number;
  readonly role: number;
  readonly direct: boolean;
}

/** What the body of a Membership message says. */
export interface MembershipBody {
  readonly user: Id;
  readonly action: number;
  readonly role: number;
  readonly name: string;
  readonly conversationName: string;
  readonly direct: boolean;
}

type Value = ReturnType<(typeof READERS)[keyof typeof READERS]>;

/** A decoded frame: `type` says which. */
export type ServerFrame = { [T in Value['type']]: Extract<Value, { type: T }> }[Value['type']];

type Root<T> = { new (): { __init(at: number, bytes: ByteBuffer): T } };

function root<T>(body: Uint8Array, table: layout.Layout, type: Root<T>): T {
  verify(body, table);
  const bytes = new ByteBuffer(body);
  return new type().__init(bytes.readInt32(0), bytes);
}

function id(at: { bb: ByteBuffer | null; bb_pos: number } | null): Id {
  return toHex(at!.bb!.bytes().subarray(at!.bb_pos, at!.bb_pos + 16));
}

function number(value: bigint): number {
  return value <= 9007199254740991n ? Number(value) : Number.POSITIVE_INFINITY;
}

type Named = (encoding: Encoding) => string | Uint8Array | null;

/** The runtime's own decoder would repair what is broken and drop a byte-order mark: names would not be theirs any more. */
function name(read: Named): string {
  return text(read(Encoding.UTF8_BYTES) as Uint8Array);
}

function list<T, E>(length: number, at: (index: number) => T | null, read: (element: T) => E): E[] {
  return Array.from({ length }, (_, index) => read(at(index)!));
}

function member(table: wire.Member): Member {
  const fixed = table.fixed()!;
  return { user: id(fixed.user()), role: fixed.role(), name: name((encoding) => table.name(encoding)) };
}

function inboxEntry(table: wire.InboxEntry): InboxEntry {
  const fixed = table.fixed()!;
  return {
    conversation: id(fixed.conversation()),
    name: name((encoding) => table.name(encoding)),
    head: number(fixed.head()),
    read: number(fixed.read()),
    delivered: number(table.delivered()),
    unread: number(table.unread()),
    timeMs: number(fixed.timeMs()),
    mutedUntilMs: number(table.mutedUntilMs()),
    role: fixed.role(),
    direct: table.kind() === wire.ConversationKind.Direct,
  };
}

const READERS = {
  [TYPE.welcome]: (body: Uint8Array) => {
    const table = root(body, layout.WELCOME, wire.Welcome);
    const fixed = table.fixed()!;
    return {
      type: 'welcome' as const,
      user: id(fixed.user()),
      name: name((encoding) => table.name(encoding)),
      session: String(fixed.session()),
      serverTimeMs: number(fixed.serverTimeMs()),
      heartbeatMs: fixed.heartbeatMs(),
      frameBytesMax: fixed.frameBytesMax(),
      bodyBytesMax: fixed.bodyBytesMax(),
      version: fixed.version(),
      publishWindow: fixed.publishWindow(),
    };
  },
  [TYPE.ack]: (body: Uint8Array) => {
    const fixed = root(body, layout.ACK, wire.Ack).fixed()!;
    return {
      type: 'ack' as const,
      conversation: id(fixed.conversation()),
      clientSequence: number(fixed.clientSequence()),
      sequence: number(fixed.sequence()),
      timeMs: number(fixed.serverTimeMs()),
      durability: fixed.durability(),
      duplicate: fixed.duplicate(),
    };
  },
  [TYPE.done]: (body: Uint8Array) => {
    const fixed = root(body, layout.DONE, wire.Done).fixed()!;
    return {
      type: 'done' as const,
      conversation: id(fixed.conversation()),
      sequence: number(fixed.sequence()),
      request: fixed.request(),
    };
  },
  [TYPE.reject]: (body: Uint8Array) => {
    const table = root(body, layout.REJECT, wire.Reject);
    const fixed = table.fixed()!;
    return {
      type: 'reject' as const,
      conversation: id(fixed.conversation()),
      clientSequence: number(fixed.clientSequence()),
      request: fixed.request(),
      retryAfterMs: fixed.retryAfterMs(),
      code: fixed.code(),
      reason: name((encoding) => table.reason(encoding)),
    };
  },
  [TYPE.message]: (body: Uint8Array) => ({ type: 'message' as const, message: message(body) }),
  [TYPE.joined]: (body: Uint8Array) => {
    const table = root(body, layout.JOINED, wire.Joined);
    const fixed = table.fixed()!;
    return {
      type: 'joined' as const,
      conversation: id(fixed.conversation()),
      name: name((encoding) => table.name(encoding)),
      head: number(fixed.head()),
      first: number(fixed.first()),
      clientSequence: number(fixed.clientSequence()),
      request: fixed.request(),
      membersCount: fixed.membersCount(),
      role: fixed.role(),
      members: list(table.membersLength(), (index) => table.members(index), member),
      direct: table.kind() === wire.ConversationKind.Direct,
      read: number(table.read()),
      delivered: number(table.delivered()),
      mutedUntilMs: number(table.mutedUntilMs()),
    };
  },
  [TYPE.memberPage]: (body: Uint8Array) => {
    const table = root(body, layout.MEMBER_PAGE, wire.MemberPage);
    const fixed = table.fixed()!;
    return {
      type: 'memberPage' as const,
      conversation: id(fixed.conversation()),
      next: id(fixed.next()),
      request: fixed.request(),
      complete: fixed.complete(),
      members: list(table.membersLength(), (index) => table.members(index), member),
    };
  },
  [TYPE.head]: (body: Uint8Array) => {
    const fixed = root(body, layout.HEAD, wire.Head).fixed()!;
    return { type: 'head' as const, conversation: id(fixed.conversation()), head: number(fixed.head()) };
  },
  [TYPE.page]: (body: Uint8Array) => {
    const table = root(body, layout.PAGE, wire.Page);
    const fixed = table.fixed()!;
    return {
      type: 'page' as const,
      conversation: id(fixed.conversation()),
      from: number(fixed.from()),
      to: number(fixed.to()),
      head: number(fixed.head()),
      request: fixed.request(),
      complete: fixed.complete(),
      frames: table.framesArray() ?? new Uint8Array(),
      amendments: table.amendmentsArray() ?? new Uint8Array(),
    };
  },
  [TYPE.presence]: (body: Uint8Array) => {
    const table = root(body, layout.PRESENCE, wire.Presence);
    return {
      type: 'presence' as const,
      number: number(table.number()),
      entries: list(
        table.entriesLength(),
        (index) => table.entries(index),
        (entry) => ({ user: id(entry.user()), seenMs: number(entry.seenMs()), state: entry.state() }),
      ),
    };
  },
  [TYPE.typingNotice]: (body: Uint8Array) => {
    const fixed = root(body, layout.TYPING_NOTICE, wire.TypingNotice).fixed()!;
    return {
      type: 'typing' as const,
      conversation: id(fixed.conversation()),
      user: id(fixed.user()),
      active: fixed.active(),
    };
  },
  [TYPE.receipt]: (body: Uint8Array) => {
    const table = root(body, layout.RECEIPT, wire.Receipt);
    const fixed = table.fixed()!;
    return {
      type: 'receipt' as const,
      conversation: id(fixed.conversation()),
      user: id(fixed.user()),
      sequence: number(fixed.sequence()),
      timeMs: number(fixed.timeMs()),
      delivered: table.kind() === wire.ReceiptKind.Delivered,
    };
  },
  [TYPE.gap]: (body: Uint8Array) => {
    const fixed = root(body, layout.GAP, wire.Gap).fixed()!;
    return {
      type: 'gap' as const,
      conversation: id(fixed.conversation()),
      from: number(fixed.from()),
      to: number(fixed.to()),
      cause: fixed.cause(),
    };
  },
  [TYPE.goAway]: (body: Uint8Array) => {
    const table = root(body, layout.GO_AWAY, wire.GoAway);
    const fixed = table.fixed()!;
    return {
      type: 'goAway' as const,
      notBeforeMs: fixed.notBeforeMs(),
      jitterMs: fixed.jitterMs(),
      code: fixed.code(),
      reason: name((encoding) => table.reason(encoding)),
      address: name((encoding) => table.address(encoding)),
    };
  },
  [TYPE.pong]: (body: Uint8Array) => {
    root(body, layout.PONG, wire.Pong);
    return { type: 'pong' as const };
  },
  [TYPE.inbox]: (body: Uint8Array) => {
    const table = root(body, layout.INBOX, wire.Inbox);
    return {
      type: 'inbox' as const,
      complete: table.fixed()!.complete(),
      entries: list(table.entriesLength(), (index) => table.entries(index), inboxEntry),
    };
  },
  [TYPE.counts]: (body: Uint8Array) => {
    const fixed = root(body, layout.COUNTS, wire.Counts).fixed()!;
    return {
      type: 'counts' as const,
      conversation: id(fixed.conversation()),
      sequence: number(fixed.sequence()),
      online: fixed.online(),
      delivered: fixed.delivered(),
      read: fixed.read(),
    };
  },
};

/** The root of a Message frame. Its body is a copy: what it came in is a whole page, and would be kept with it. */
export function message(body: Uint8Array): WireMessage {
  const table = root(body, layout.MESSAGE, wire.Message);
  const fixed = table.fixed()!;
  return {
    conversation: id(fixed.conversation()),
    sequence: number(fixed.sequence()),
    timeMs: number(fixed.timeMs()),
    sender: id(fixed.sender()),
    origin: originText(fixed.origin()),
    clientSequence: number(fixed.clientSequence()),
    reference: number(fixed.reference()),
    kind: fixed.kind(),
    body: table.bodyArray()?.slice() ?? new Uint8Array(),
  };
}

/** Sixteen digits in the order of the bytes, as `originOf` writes it. */
function originText(origin: bigint): string {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, origin, true);
  return toHex(bytes);
}

/** The body of a Membership message (W-49). */
export function membership(body: Uint8Array): MembershipBody {
  const table = root(body, layout.MEMBERSHIP, wire.Membership);
  const fixed = table.fixed()!;
  return {
    user: id(fixed.user()),
    action: fixed.action(),
    role: fixed.role(),
    name: name((encoding) => table.name(encoding)),
    conversationName: name((encoding) => table.conversationName(encoding)),
    direct: table.kind() === wire.ConversationKind.Direct,
  };
}

/** A frame of the server; `undefined`: one that may be skipped. Throws only {@link Fault}. */
export function decode(frame: Frame): ServerFrame | undefined {
  const read = READERS[frame.type as keyof typeof READERS] as ((body: Uint8Array) => ServerFrame) | undefined;
  if (read) {
    return read(frame.body);
  }
  if (frame.optional) {
    return undefined;
  }
  const known = Object.values(TYPE).some((type) => type === frame.type);
  throw known
    ? new Fault('unexpected_frame', `frame type ${frame.type} travels to the server`)
    : new Fault('unknown_type', `frame type ${frame.type} is not known here`);
}
