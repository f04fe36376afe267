// The feed and the outbox by themselves: what is delivered is dense, and no number is ever ambiguous.

import assert from 'node:assert/strict';
import test from 'node:test';
import { type Fed, Feed } from '../src/feed.js';
import { type Entry, Outbox } from '../src/outbox.js';
import { HELD_MESSAGES_MAX } from '../src/limits.js';
import type { WireMessage } from '../src/wire/read.js';

function message(sequence: number): WireMessage {
  const id = '0'.repeat(32);
  const rest = { timeMs: 1, sender: id, origin: '', clientSequence: 1, reference: 0, kind: 0 };
  return { conversation: id, sequence, body: new Uint8Array(1), ...rest };
}

function feed() {
  const told: string[] = [];
  const say = (fed: Fed) => {
    if (fed.type === 'message') {
      told.push(String(fed.message.sequence));
    } else if (fed.type === 'gap') {
      told.push(`gap ${fed.from}-${fed.to} ${fed.cause}`);
    } else {
      told.push(`caught up ${fed.head}`);
    }
  };
  return { feed: new Feed(say), told };
}

test('any order in is one order out', () => {
  // A small generator, so that a failure is the same every time.
  let state = 7;
  const random = (below: number) => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 8) % below;
  };
  for (let round = 0; round < 300; round += 1) {
    const { feed: under, told } = feed();
    under.position(0);
    const arrivals = Array.from({ length: 30 }, (_, index) => index + 1);
    for (let swap = 0; swap < 30; swap += 1) {
      const [a, b] = [random(30), random(30)];
      [arrivals[a], arrivals[b]] = [arrivals[b]!, arrivals[a]!];
    }
    for (const sequence of [...arrivals, ...arrivals.slice(0, 10)]) {
      if (sequence % 7 === 0) {
        under.onGap(sequence, sequence, 'erased');
      } else {
        under.onMessage(message(sequence));
      }
    }
    const expected = Array.from({ length: 30 }, (_, index) => {
      const sequence = index + 1;
      return sequence % 7 === 0 ? `gap ${sequence}-${sequence} erased` : String(sequence);
    });
    assert.deepEqual(told, expected);
    assert.equal(under.missing(), undefined);
  }
});

test('what is held is bounded, the nearest stay, and the rest is fetched', () => {
  const { feed: under, told } = feed();
  under.position(0);
  for (let sequence = 2 * HELD_MESSAGES_MAX; sequence > 1; sequence -= 1) {
    under.onMessage(message(sequence));
  }
  assert.deepEqual(under.missing(), { from: 1, count: 1 });
  under.onMessage(message(1));
  assert.equal(told.length, HELD_MESSAGES_MAX + 1);
  assert.deepEqual(under.missing(), { from: HELD_MESSAGES_MAX + 2, count: HELD_MESSAGES_MAX - 1 });
});

test('a page says by what it leaves out what is not kept', () => {
  const { feed: under, told } = feed();
  under.position(0);
  under.onJoined(6, 1);
  under.onPaged(message(3));
  under.onNotKept(7);
  assert.deepEqual(told, ['gap 1-2 not_kept', '3', 'gap 4-6 not_kept', 'caught up 6']);
});

test('a server that lost entries is told of, and its new ones are read', () => {
  const { feed: under, told } = feed();
  under.position(0);
  under.onMessage(message(1));
  under.onMessage(message(2));
  under.onDisconnected();
  under.onJoined(1, 1);
  under.onMessage(message(2));
  assert.deepEqual(told, ['1', '2', 'gap 2-2 rewound', 'caught up 1', '2']);
});

function entry(id: number): Entry {
  const state = { createdMs: 0, number: 0, stored: -1, slot: 'waiting', unsure: false } as const;
  return { id, kind: 0, reference: 0, body: new Uint8Array(1), ...state };
}

/** As the keeper does it when the store has answered. */
function stored(outbox: Outbox): void {
  for (const one of outbox.unstored()) {
    one.stored = one.number;
  }
}

function send(outbox: Outbox): number[] {
  stored(outbox);
  const numbers: number[] = [];
  for (let next = outbox.peek(64); next; next = outbox.peek(64)) {
    numbers.push(next.number);
    outbox.sent();
  }
  return numbers;
}

test('nothing leaves before its number is stored', () => {
  const outbox = new Outbox();
  outbox.push(entry(1));
  outbox.onStanding(4);
  assert.equal(outbox.peek(64), undefined);
  assert.deepEqual(outbox.unstored().map(({ number }) => number), [5]);
  assert.deepEqual(send(outbox), [5]);
});

test('a refused number is given to the next, when everything behind it was answered', () => {
  const outbox = new Outbox();
  [1, 2, 3].forEach((id) => outbox.push(entry(id)));
  outbox.onStanding(0);
  assert.deepEqual(send(outbox), [1, 2, 3]);
  assert.equal(outbox.onReject(1, { type: 'final' })?.id, 1);
  assert.equal(outbox.land().type, 'flying');
  outbox.onReject(2, { type: 'resend' });
  outbox.onReject(3, { type: 'resend' });
  assert.equal(outbox.land().type, 'again');
  // The new numbers have to be stored before they leave.
  assert.equal(outbox.peek(64), undefined);
  assert.deepEqual(send(outbox), [1, 2]);
  assert.deepEqual([outbox.onAck(1, false)?.id, outbox.onAck(2, false)?.id], [2, 3]);
  assert.deepEqual([outbox.entries.length, outbox.bytes, outbox.inFlight], [0, 0, 0]);
});

test('what may have been accepted keeps its number over a reload, everything else gets the next', () => {
  const outbox = new Outbox();
  outbox.restore({ ...entry(1), number: 8, stored: 8, unsure: true });
  outbox.restore({ ...entry(2), number: 9, stored: 9, unsure: true });
  outbox.restore(entry(3));
  assert.deepEqual(outbox.onStanding(8), []);
  assert.deepEqual(send(outbox), [8, 9, 10]);
  assert.equal(outbox.onAck(8, true)?.id, 1, 'a duplicate of what was unsure is an acknowledgement');
});

test('what somebody else of the same device took is not taken for ours', () => {
  const outbox = new Outbox();
  outbox.push(entry(1));
  outbox.onStanding(0);
  assert.deepEqual(send(outbox), [1]);
  assert.equal(outbox.onAck(1, true), undefined, 'it was never sent before');
  assert.equal(outbox.land().type, 'resync');
  outbox.onStanding(1);
  assert.deepEqual(send(outbox), [2]);
});

test('a busy server gets one at a time', () => {
  const outbox = new Outbox();
  [1, 2, 3].forEach((id) => outbox.push(entry(id)));
  outbox.onStanding(0);
  send(outbox);
  [1, 2, 3].forEach((number) => outbox.onReject(number, { type: 'later', at: 50 }));
  assert.deepEqual(outbox.land(), { type: 'again', at: 50 });
  assert.deepEqual(send(outbox), [1]);
  outbox.onAck(1, false);
  assert.deepEqual(send(outbox), [2, 3]);
});
