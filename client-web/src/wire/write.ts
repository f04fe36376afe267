// What a client sends: each function makes one whole frame.

import { Builder, type Offset } from 'flatbuffers';
import * as wire from '../generated/ringwire/wire.js';
import { type Id, fromHex } from '../ids.js';
import { FLAG_OPTIONAL, TYPE, frame } from './frame.js';
import type { Member } from './read.js';

/** Protocol version 1. */
export const VERSION = 1;

/** Bit of Hello's capabilities: the user's conversations are wanted. */
export const CAPABILITY_INBOX = 1n;

function build(type: number, make: (builder: Builder) => Offset, flags = 0): Uint8Array {
  const builder = new Builder(256);
  builder.finish(make(builder));
  return frame(type, builder.asUint8Array(), flags);
}

/** The two words of an id, in the order of its bytes. */
function words(id: Id): [bigint, bigint] {
  const view = new DataView(fromHex(id).buffer);
  return [view.getBigUint64(0, true), view.getBigUint64(8, true)];
}

/** A sequence; `Infinity` is the largest number there is, which means the newest, or for ever. */
function word(value: number): bigint {
  return value === Number.POSITIVE_INFINITY ? 0xffff_ffff_ffff_ffffn : BigInt(value);
}

export interface Hello {
  readonly device: Id;
  readonly token: string;
  readonly agent: string;
  readonly inbox: boolean;
  readonly cursors: readonly { conversation: Id; sequence: number }[];
}

export function hello(hello: Hello): Uint8Array {
  return build(TYPE.hello, (builder) => {
    const token = builder.createString(hello.token);
    const agent = builder.createString(hello.agent);
    wire.Hello.startCursorsVector(builder, hello.cursors.length);
    for (const { conversation, sequence } of [...hello.cursors].reverse()) {
      wire.Cursor.createCursor(builder, ...words(conversation), word(sequence));
    }
    const cursors = builder.endVector();
    wire.Hello.startHello(builder);
    const capabilities = hello.inbox ? CAPABILITY_INBOX : 0n;
    wire.Hello.addFixed(
      builder,
      wire.HelloFixed.createHelloFixed(builder, ...words(hello.device), capabilities, VERSION, VERSION),
    );
    wire.Hello.addToken(builder, token);
    wire.Hello.addAgent(builder, agent);
    wire.Hello.addCursors(builder, cursors);
    return wire.Hello.endHello(builder);
  });
}

export interface Publish {
  readonly conversation: Id;
  readonly clientSequence: number;
  readonly reference: number;
  readonly kind: number;
  readonly durability: number;
  readonly body: Uint8Array;
}

export function publish(publish: Publish): Uint8Array {
  return build(TYPE.publish, (builder) => {
    const body = wire.Publish.createBodyVector(builder, publish.body);
    wire.Publish.startPublish(builder);
    wire.Publish.addFixed(
      builder,
      wire.PublishFixed.createPublishFixed(
        builder,
        ...words(publish.conversation),
        word(publish.clientSequence),
        word(publish.reference),
        publish.kind,
        publish.durability,
      ),
    );
    wire.Publish.addBody(builder, body);
    return wire.Publish.endPublish(builder);
  });
}

export function join(request: number, name: string): Uint8Array {
  return build(TYPE.join, (builder) => {
    const offset = builder.createString(name);
    wire.Join.startJoin(builder);
    wire.Join.addFixed(builder, wire.JoinFixed.createJoinFixed(builder, request));
    wire.Join.addName(builder, offset);
    return wire.Join.endJoin(builder);
  });
}

export function leave(request: number, conversation: Id): Uint8Array {
  return build(TYPE.leave, (builder) => {
    wire.Leave.startLeave(builder);
    wire.Leave.addFixed(builder, wire.LeaveFixed.createLeaveFixed(builder, ...words(conversation), request));
    return wire.Leave.endLeave(builder);
  });
}

export function open(request: number, conversation: Id, after: number): Uint8Array {
  return build(TYPE.open, (builder) => {
    wire.Open.startOpen(builder);
    wire.Open.addFixed(
      builder,
      wire.OpenFixed.createOpenFixed(builder, ...words(conversation), word(after), request),
    );
    return wire.Open.endOpen(builder);
  });
}

export function close(request: number, conversation: Id): Uint8Array {
  return build(TYPE.close, (builder) => {
    wire.Close.startClose(builder);
    wire.Close.addFixed(builder, wire.CloseFixed.createCloseFixed(builder, ...words(conversation), request));
    return wire.Close.endClose(builder);
  });
}

export interface Fetch {
  readonly conversation: Id;
  readonly from: number;
  readonly limit: number;
  readonly backward: boolean;
  readonly current: boolean;
}

export function fetch(request: number, fetch: Fetch): Uint8Array {
  return build(TYPE.fetch, (builder) => {
    wire.Fetch.startFetch(builder);
    const direction = fetch.backward ? wire.Direction.Backward : wire.Direction.Forward;
    const [first, second] = words(fetch.conversation);
    wire.Fetch.addFixed(
      builder,
      wire.FetchFixed.createFetchFixed(builder, first, second, word(fetch.from), request, fetch.limit, direction),
    );
    wire.Fetch.addView(builder, fetch.current ? wire.View.Current : wire.View.Raw);
    return wire.Fetch.endFetch(builder);
  });
}

export function members(request: number, conversation: Id, after: Id, limit: number): Uint8Array {
  return build(TYPE.members, (builder) => {
    wire.Members.startMembers(builder);
    const fixed = [...words(conversation), ...words(after)] as const;
    wire.Members.addFixed(builder, wire.MembersFixed.createMembersFixed(builder, ...fixed, request, limit));
    return wire.Members.endMembers(builder);
  });
}

export function read(conversation: Id, sequence: number): Uint8Array {
  return build(TYPE.read, (builder) => {
    wire.Read.startRead(builder);
    wire.Read.addFixed(builder, wire.ReadFixed.createReadFixed(builder, ...words(conversation), word(sequence)));
    return wire.Read.endRead(builder);
  });
}

export function delivered(conversation: Id, sequence: number): Uint8Array {
  const make = (builder: Builder) => {
    wire.Delivered.startDelivered(builder);
    wire.Delivered.addFixed(
      builder,
      wire.DeliveredFixed.createDeliveredFixed(builder, ...words(conversation), word(sequence)),
    );
    return wire.Delivered.endDelivered(builder);
  };
  return build(TYPE.delivered, make, FLAG_OPTIONAL);
}

export function typing(conversation: Id, active: boolean): Uint8Array {
  return build(TYPE.typing, (builder) => {
    wire.Typing.startTyping(builder);
    wire.Typing.addFixed(builder, wire.TypingFixed.createTypingFixed(builder, ...words(conversation), active));
    return wire.Typing.endTyping(builder);
  });
}

export function watch(request: number, users: readonly Id[]): Uint8Array {
  return build(TYPE.watch, (builder) => {
    wire.Watch.startUsersVector(builder, users.length);
    for (const user of [...users].reverse()) {
      wire.Id.createId(builder, ...words(user));
    }
    const list = builder.endVector();
    wire.Watch.startWatch(builder);
    wire.Watch.addFixed(builder, wire.WatchFixed.createWatchFixed(builder, request));
    wire.Watch.addUsers(builder, list);
    return wire.Watch.endWatch(builder);
  });
}

export function ping(token: number): Uint8Array {
  return build(TYPE.ping, (builder) => {
    wire.Ping.startPing(builder);
    wire.Ping.addFixed(builder, wire.PingFixed.createPingFixed(builder, word(token)));
    return wire.Ping.endPing(builder);
  });
}

export function refresh(token: string): Uint8Array {
  return build(TYPE.refresh, (builder) => {
    const offset = builder.createString(token);
    wire.Refresh.startRefresh(builder);
    wire.Refresh.addToken(builder, offset);
    return wire.Refresh.endRefresh(builder);
  });
}

export function create(request: number, name: string, members: readonly Member[]): Uint8Array {
  return build(TYPE.create, (builder) => {
    const offset = builder.createString(name);
    const list = wire.Create.createMembersVector(
      builder,
      members.map((member) => {
        const called = builder.createString(member.name);
        wire.Member.startMember(builder);
        const fixed = wire.MemberFixed.createMemberFixed(builder, ...words(member.user), member.role);
        wire.Member.addFixed(builder, fixed);
        wire.Member.addName(builder, called);
        return wire.Member.endMember(builder);
      }),
    );
    wire.Create.startCreate(builder);
    wire.Create.addFixed(builder, wire.CreateFixed.createCreateFixed(builder, request));
    wire.Create.addName(builder, offset);
    wire.Create.addMembers(builder, list);
    return wire.Create.endCreate(builder);
  });
}

export function direct(request: number, user: Id, name: string): Uint8Array {
  return build(TYPE.direct, (builder) => {
    const offset = builder.createString(name);
    wire.Direct.startDirect(builder);
    wire.Direct.addFixed(builder, wire.DirectFixed.createDirectFixed(builder, ...words(user), request));
    wire.Direct.addName(builder, offset);
    return wire.Direct.endDirect(builder);
  });
}

export interface Change {
  readonly conversation: Id;
  readonly user: Id;
  readonly action: number;
  readonly role: number;
  readonly name: string;
}

export function change(request: number, change: Change): Uint8Array {
  return build(TYPE.change, (builder) => {
    const name = builder.createString(change.name);
    wire.Change.startChange(builder);
    const ids = [...words(change.conversation), ...words(change.user)] as const;
    wire.Change.addFixed(
      builder,
      wire.ChangeFixed.createChangeFixed(builder, ...ids, request, change.action, change.role),
    );
    wire.Change.addName(builder, name);
    return wire.Change.endChange(builder);
  });
}

export function mute(request: number, conversation: Id, untilMs: number): Uint8Array {
  return build(TYPE.mute, (builder) => {
    wire.Mute.startMute(builder);
    wire.Mute.addFixed(
      builder,
      wire.MuteFixed.createMuteFixed(builder, ...words(conversation), word(untilMs), request),
    );
    return wire.Mute.endMute(builder);
  });
}

export function settings(request: number, shareLastSeen: boolean, away: boolean): Uint8Array {
  return build(TYPE.settings, (builder) => {
    wire.Settings.startSettings(builder);
    wire.Settings.addFixed(
      builder,
      wire.SettingsFixed.createSettingsFixed(builder, request, shareLastSeen, away),
    );
    return wire.Settings.endSettings(builder);
  });
}
