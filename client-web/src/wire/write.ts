// What a client sends: each function makes one whole frame, its fields in the order of schema/client.fbs.

import { Direction, View } from '../generated/ringwire/wire.js';
import type { Id } from '../ids.js';
import { FLAG_OPTIONAL, TYPE, frame } from './frame.js';
import type { Member } from './read.js';
import { type Value, pack, root } from './table.js';

/** Protocol version 1. */
export const VERSION = 1;

/** Bit of Hello's capabilities: the user's conversations are wanted. */
const CAPABILITY_INBOX = 1;

function make(type: number, fields: readonly Value[], flags = 0): Uint8Array {
  return frame(type, root(fields), flags);
}

export interface Hello {
  readonly device: Id;
  readonly token: string;
  readonly agent: string;
  readonly inbox: boolean;
  readonly cursors: readonly { conversation: Id; sequence: number }[];
}

export function hello({ device, token, agent, inbox, cursors }: Hello): Uint8Array {
  const fixed = pack(device, [8, inbox ? CAPABILITY_INBOX : 0], [2, VERSION], [2, VERSION]);
  const structs = cursors.map(({ conversation, sequence }) => pack(conversation, [8, sequence]));
  return make(TYPE.hello, [fixed, token, agent, { structs }]);
}

export interface Publish {
  readonly conversation: Id;
  readonly clientSequence: number;
  readonly reference: number;
  readonly kind: number;
  readonly durability: number;
  readonly body: Uint8Array;
}

export function publish({ conversation, clientSequence, reference, kind, durability, body }: Publish): Uint8Array {
  const fixed = pack(conversation, [8, clientSequence], [8, reference], [1, kind], [1, durability]);
  return make(TYPE.publish, [fixed, body]);
}

export function join(request: number, name: string): Uint8Array {
  return make(TYPE.join, [pack([4, request]), name]);
}

export function leave(request: number, conversation: Id): Uint8Array {
  return make(TYPE.leave, [pack(conversation, [4, request])]);
}

export function open(request: number, conversation: Id, after: number): Uint8Array {
  return make(TYPE.open, [pack(conversation, [8, after], [4, request])]);
}

export function close(request: number, conversation: Id): Uint8Array {
  return make(TYPE.close, [pack(conversation, [4, request])]);
}

export interface Fetch {
  readonly conversation: Id;
  readonly from: number;
  readonly limit: number;
  readonly backward: boolean;
  readonly current: boolean;
}

export function fetch(request: number, { conversation, from, limit, backward, current }: Fetch): Uint8Array {
  const direction = backward ? Direction.Backward : Direction.Forward;
  const fixed = pack(conversation, [8, from], [4, request], [2, limit], [1, direction]);
  return make(TYPE.fetch, [fixed, current ? pack([1, View.Current]) : undefined]);
}

export function members(request: number, conversation: Id, after: Id, limit: number): Uint8Array {
  return make(TYPE.members, [pack(conversation, after, [4, request], [2, limit])]);
}

export function read(conversation: Id, sequence: number): Uint8Array {
  return make(TYPE.read, [pack(conversation, [8, sequence])]);
}

export function delivered(conversation: Id, sequence: number): Uint8Array {
  return make(TYPE.delivered, [pack(conversation, [8, sequence])], FLAG_OPTIONAL);
}

export function typing(conversation: Id, active: boolean): Uint8Array {
  return make(TYPE.typing, [pack(conversation, [1, active])]);
}

export function watch(request: number, users: readonly Id[]): Uint8Array {
  return make(TYPE.watch, [pack([4, request]), { structs: users.map((user) => pack(user)) }]);
}

export function watchCounts(request: number, conversation: Id, active: boolean): Uint8Array {
  return make(TYPE.watchCounts, [pack(conversation, [4, request], [1, active])]);
}

export function ping(token: number): Uint8Array {
  return make(TYPE.ping, [pack([8, token])]);
}

export function refresh(token: string): Uint8Array {
  return make(TYPE.refresh, [token]);
}

export function create(request: number, name: string, members: readonly Member[]): Uint8Array {
  const tables = members.map((member) => [pack(member.user, [1, member.role]), member.name]);
  return make(TYPE.create, [pack([4, request]), name, { tables }]);
}

export function direct(request: number, user: Id, name: string): Uint8Array {
  return make(TYPE.direct, [pack(user, [4, request]), name]);
}

export interface Change {
  readonly conversation: Id;
  readonly user: Id;
  readonly action: number;
  readonly role: number;
  readonly name: string;
}

export function change(request: number, { conversation, user, action, role, name }: Change): Uint8Array {
  return make(TYPE.change, [pack(conversation, user, [4, request], [1, action], [1, role]), name]);
}

export function mute(request: number, conversation: Id, untilMs: number): Uint8Array {
  return make(TYPE.mute, [pack(conversation, [8, untilMs], [4, request])]);
}

export function settings(request: number, shareLastSeen: boolean, away: boolean): Uint8Array {
  return make(TYPE.settings, [pack([4, request], [1, shareLastSeen], [1, away])]);
}
