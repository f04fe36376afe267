// The wire against the frozen bytes, the schema, and everything that can be done to bytes on the way.

import { blake3 } from '@noble/hashes/blake3.js';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { CODES_KNOWN, codeName, retryOf } from '../src/codes.js';
import * as wire from '../src/generated/ringwire/wire.js';
import { conversationId, deviceId, originOf, toHex, userId } from '../src/ids.js';
import { Fault } from '../src/wire/fault.js';
import { TYPE, split } from '../src/wire/frame.js';
import * as layout from '../src/wire/layout.js';
import { decode, membership } from '../src/wire/read.js';
import { verify } from '../src/wire/verify.js';
import * as write from '../src/wire/write.js';
import { ByteBuffer } from 'flatbuffers';
import { golden, readSchema } from './schema.js';

const SERVER = [
  ...['Ack', 'Counts', 'Done', 'Gap', 'GoAway', 'Head', 'Inbox', 'Inbox.standing', 'Joined', 'Joined.standing'],
  ...['MemberPage', 'Message', 'Page', 'Page.amendments', 'Pong', 'Presence', 'Receipt', 'Receipt.kind', 'Reject'],
  ...['TypingNotice', 'Welcome'],
];

const id = (text: string) => toHex(new TextEncoder().encode(text.padEnd(16, '.').slice(0, 16)));

function decodeAll(bytes: Uint8Array) {
  return [...split(bytes, 1 << 20)].map((frame) => decode(frame));
}

test('golden frames of the server are read', () => {
  const read = (name: string) => decodeAll(golden(name))[0]!;
  for (const name of SERVER) {
    assert.ok(read(name), name);
  }
  const message = read('Message');
  assert.ok(message.type === 'message');
  const { body, ...rest } = message.message;
  assert.equal(new TextDecoder().decode(body), '👍 and some more');
  assert.deepEqual(rest, {
    conversation: id('conversation-id.'),
    sequence: 1001,
    timeMs: 0x19e7044887c,
    sender: id('user-id-.......a'),
    origin: '8877665544332211',
    clientSequence: 42,
    reference: 40,
    kind: 4,
  });
  const page = read('Page');
  assert.ok(page.type === 'page');
  assert.ok(decodeAll(page.frames).every((frame) => frame?.type === 'message'));
  const joined = read('Joined.standing');
  assert.ok(joined.type === 'joined' && joined.members.length > 0 && joined.read > 0);
  assert.equal(membership(golden('Membership.kind').subarray(0)).direct, true);
});

test('layouts are those of the schema', () => {
  const { tables } = readSchema();
  const names: Record<string, string> = { GOAWAY: 'GO_AWAY' };
  const known = new Map(Object.entries(layout).map(([name, fields]) => [name.replaceAll('_', ''), fields]));
  let compared = 0;
  for (const [name, fields] of tables) {
    const ours = known.get((names[name] ?? name).toUpperCase());
    if (ours) {
      assert.deepEqual(ours, fields, name);
      compared += 1;
    }
  }
  assert.equal(compared, known.size);
});

test('type numbers are those of the schema', () => {
  const { frames } = readSchema();
  const typed = new Map(Object.entries(TYPE).map(([name, number]) => [number as number, name.toLowerCase()]));
  assert.ok(frames.size > 30);
  for (const [number, name] of typed) {
    assert.equal(frames.get(number)?.toLowerCase(), name);
  }
});

test('codes are those of the protocol', () => {
  const text = readFileSync(`${process.env.REPOSITORY}/docs/wire.md`, 'utf8');
  const lines = [...text.matchAll(/^\| (\d{4}) \| `(\w+)` \| \w+ \| (\w+) \|/gm)];
  assert.deepEqual(
    lines.map(([, code, name, retry]) => [Number(code), name, retry]),
    CODES_KNOWN.map((code) => [code, codeName(code), retryOf(code)]),
  );
});

test('ids are derived as everywhere else', () => {
  const encode = (text: string) => new TextEncoder().encode(text);
  const expected = (context: string, input: Uint8Array, dkLen: number) =>
    toHex(blake3(input, { context: encode(context), dkLen }));
  for (const length of [1, 5, 63, 64, 65, 127, 128, 256, 1000, 1024]) {
    const name = 'näme'.repeat(300).slice(0, length);
    if (encode(name).length <= 1024) {
      assert.equal(conversationId(name), expected('ringwire 2026-11 conversation id', encode(name), 16));
      assert.equal(userId(name), expected('ringwire 2026-11 user id', encode(name), 16));
    }
  }
  const device = deviceId('phone');
  assert.equal(device, expected('ringwire 2026-11 device id', encode('phone'), 16));
  const bytes = Uint8Array.from(device.match(/../g)!, (digits) => Number.parseInt(digits, 16));
  assert.equal(originOf(device), expected('ringwire 2026-11 message origin', bytes, 8));
});

/** A view of these bytes that fails the test when something outside is read. */
function guarded(bytes: Uint8Array): Uint8Array {
  return new Proxy(bytes, {
    get(target, key) {
      if (typeof key === 'string' && /^-?\d+$/.test(key) && !(key in target)) {
        throw new Error(`byte ${key} of ${target.length} was read`);
      }
      if (key === 'subarray' || key === 'slice') {
        return (from: number, to: number) => {
          assert.ok(from >= 0 && to >= from && to <= target.length, `bytes ${from} to ${to} of ${target.length}`);
          return target[key](from, to);
        };
      }
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

/** Reads the body of a frame of this type; what is thrown must be a fault. */
function survives(type: number, body: Uint8Array, what: string): boolean {
  try {
    decode({ type, optional: false, body: guarded(body) });
    return true;
  } catch (error) {
    assert.ok(error instanceof Fault, `${what}: ${String(error)}`);
    return false;
  }
}

test('cut and flipped bodies are faults or values, and nothing outside is read', () => {
  let refused = 0;
  let taken = 0;
  for (const name of SERVER) {
    const frame = golden(name);
    const type = frame[4]!;
    const body = frame.slice(8);
    for (let length = 0; length < body.length; length += 1) {
      survives(type, body.slice(0, length), `${name} cut to ${length}`) ? (taken += 1) : (refused += 1);
    }
    for (let at = 0; at < body.length; at += 1) {
      for (const change of [1, 2, 4, 8, 16, 32, 64, 128, 255]) {
        const flipped = body.slice();
        flipped[at]! ^= change;
        survives(type, flipped, `${name}, byte ${at} ^ ${change}`) ? (taken += 1) : (refused += 1);
      }
    }
  }
  assert.ok(refused > 5_000 && taken > 5_000, `${refused} refused, ${taken} taken`);
});

test('cut and flipped frames are faults or values', () => {
  for (const name of SERVER) {
    const frame = golden(name);
    for (let length = 1; length < frame.length; length += 1) {
      assert.throws(() => decodeAll(frame.slice(0, length)), Fault, `${name} cut to ${length}`);
    }
    for (let at = 0; at < 8; at += 1) {
      for (let value = 0; value < 256; value += 1) {
        const changed = frame.slice();
        changed[at] = value;
        try {
          decodeAll(changed);
        } catch (error) {
          assert.ok(error instanceof Fault, `${name}, header byte ${at} = ${value}: ${String(error)}`);
        }
      }
    }
  }
});

test('parts laid over each other are refused before they cost anything', () => {
  // A member list whose entries all point to one member with a long name: n times the work of reading it.
  const count = 5_000;
  const name = 10_000;
  const bytes = new Uint8Array(4 + 8 + 12 + 40 + 4 + 4 * count + 64 + name + 8);
  const view = new DataView(bytes.buffer);
  const vtable = 4;
  view.setUint16(vtable, 8, true);
  view.setUint16(vtable + 2, 48, true);
  view.setUint16(vtable + 4, 8, true);
  view.setUint16(vtable + 6, 4, true);
  const table = 12;
  view.setUint32(0, table, true);
  view.setInt32(table, table - vtable, true);
  const list = table + 48;
  view.setUint32(table + 4, list - (table + 4), true);
  view.setUint32(list, count, true);
  const member = list + 4 + 4 * count;
  for (let index = 0; index < count; index += 1) {
    view.setUint32(list + 4 + 4 * index, member + 8 - (list + 4 + 4 * index), true);
  }
  view.setUint16(member, 8, true);
  view.setUint16(member + 2, 32, true);
  view.setUint16(member + 4, 8, true);
  view.setUint16(member + 6, 4, true);
  view.setInt32(member + 8, 8, true);
  view.setUint32(member + 12, 28, true);
  view.setUint32(member + 40, name, true);
  assert.throws(() => verify(bytes, layout.MEMBER_PAGE), /overlap/);
  view.setUint32(list, 1, true);
  verify(bytes, layout.MEMBER_PAGE);
});

test('unknown types are skipped where they may be', () => {
  const body = new Uint8Array(8);
  assert.equal(decode({ type: 0x7e, optional: true, body }), undefined);
  assert.throws(() => decode({ type: 0x7e, optional: false, body }), /not known/);
  assert.throws(() => decode({ type: TYPE.hello, optional: false, body }), /travels to the server/);
});

/** Whether what a verified root consists of stands where a verifier wants it that reads whole words. */
function aligned(bytes: Uint8Array, layout: layout.Layout, table = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true)): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const vtable = table - view.getInt32(table, true);
  assert.deepEqual([table % 4, vtable % 2], [0, 0]);
  layout.forEach((field, index) => {
    const offset = 4 + 2 * index < view.getUint16(vtable, true) ? view.getUint16(vtable + 4 + 2 * index, true) : 0;
    const at = table + offset;
    if (offset === 0 || field.kind === 'inline') {
      assert.equal(at % (field.bytes % 8 === 0 ? 8 : Math.min(field.bytes, 4)) * Math.sign(offset), 0);
      return;
    }
    const vector = at + view.getUint32(at, true);
    assert.equal(vector % 4, 0);
    assert.ok(field.bytes % 8 !== 0 || (vector + 4) % 8 === 0);
    for (let element = 0; field.table && element < view.getUint32(vector, true); element += 1) {
      const place = vector + 4 + 4 * element;
      aligned(bytes, field.table, place + view.getUint32(place, true));
    }
  });
}

test('frames of the client say what the golden ones say', () => {
  const { tables, frames } = readSchema();
  const body = (frame: Uint8Array) => {
    const table = tables.get(frames.get(frame[4]!)!)!;
    assert.equal(frame.length % 8, 0);
    const root = frame.subarray(8);
    verify(root, table);
    aligned(root, table);
    return new ByteBuffer(root);
  };
  const conversation = 'c'.repeat(32);
  const publish = wire.Publish.getRootAsPublish(
    body(
      write.publish({
        conversation,
        clientSequence: 7,
        reference: 5,
        kind: wire.Kind.Edit,
        durability: 0,
        body: new Uint8Array([1, 2, 3]),
      }),
    ),
  );
  const fixed = publish.fixed()!;
  assert.deepEqual([fixed.clientSequence(), fixed.reference(), fixed.kind()], [7n, 5n, wire.Kind.Edit]);
  assert.equal(fixed.conversation()!.first(), 0xccccccccccccccccn);
  assert.deepEqual([...publish.bodyArray()!], [1, 2, 3]);
  const hello = wire.Hello.getRootAsHello(
    body(
      write.hello({
        device: '01'.repeat(16),
        token: 'dev:ada',
        agent: 'test',
        inbox: true,
        cursors: [
          { conversation, sequence: 1 },
          { conversation: 'd'.repeat(32), sequence: 2 },
        ],
      }),
    ),
  );
  assert.deepEqual([hello.token(), hello.agent(), hello.cursorsLength()], ['dev:ada', 'test', 2]);
  assert.deepEqual([hello.cursors(0)!.sequence(), hello.cursors(1)!.sequence()], [1n, 2n]);
  assert.equal(hello.fixed()!.capabilities(), 1n);
  const fetch = { conversation, from: Number.POSITIVE_INFINITY, limit: 50, backward: true, current: true };
  const asked = wire.Fetch.getRootAsFetch(body(write.fetch(9, fetch)));
  assert.equal(asked.fixed()!.from(), 0xffff_ffff_ffff_ffffn);
  assert.deepEqual([asked.view(), asked.fixed()!.direction()], [wire.View.Current, wire.Direction.Backward]);
  const member = { user: conversation, role: 1, name: 'Bob' };
  const created = wire.Create.getRootAsCreate(body(write.create(3, 'room', [member])));
  assert.deepEqual([created.name(), created.members(0)!.name()], ['room', 'Bob']);
  for (const frame of [
    write.join(1, 'room'),
    write.leave(1, conversation),
    write.open(1, conversation, 4),
    write.close(1, conversation),
    write.members(1, conversation, conversation, 128),
    write.read(conversation, 4),
    write.delivered(conversation, 4),
    write.typing(conversation, true),
    write.watch(1, [conversation]),
    write.ping(1),
    write.refresh('token'),
    write.direct(1, conversation, 'Bob'),
    write.change(1, { conversation, user: conversation, action: 3, role: 1, name: 'Bob' }),
    write.mute(1, conversation, Number.POSITIVE_INFINITY),
    write.settings(1, true, false),
    write.watchCounts(1, conversation, true),
  ]) {
    body(frame);
  }
});
