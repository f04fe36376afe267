// The client against a server that loses connections: what must come out exactly once, in order, and with which words.

import 'fake-indexeddb/auto';
import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import { Client, type ClientOptions, type Conversation, type Message, RingwireError, conversationId } from '../src/index.js';
import { Backoff } from '../src/pace.js';
import { TYPE } from '../src/wire/frame.js';
import { Server, lastWord } from './server.js';

/** One tab, whose memory outlives its pages. */
const tab = new Map<string, string>();
Object.assign(globalThis, {
  sessionStorage: {
    getItem: (key: string) => tab.get(key) ?? null,
    setItem: (key: string, value: string) => tab.set(key, value),
  },
});

let accounts = 0;

async function start(t: TestContext, server: Server, options: Partial<ClientOptions> = {}) {
  const client = new Client({
    url: 'ws://test/v1/ws',
    token: 'dev:ada',
    account: `account ${++accounts}`,
    transport: server.transport,
    ...options,
  });
  t.after(() => client.close());
  const seen: Message[] = [];
  client.on('message', (message) => seen.push(message));
  return { client, seen, texts: () => seen.map((message) => message.text) };
}

async function room(client: Client, last = 0): Promise<Conversation> {
  await client.connect();
  return client.join('room', { start: { last } });
}

async function until(what: string, done: () => boolean): Promise<void> {
  for (let tries = 0; tries < 1_000; tries += 1) {
    if (done()) {
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.fail(`it did not happen: ${what}`);
}

/** Every server here has one conversation, of this name. */
const ROOM = conversationId('room');

function server(): Server {
  const server = new Server();
  server.publish(ROOM, 'first', false);
  return server;
}

test('what is published is stored once, in order, and told', async (t) => {
  const at = server();
  const { client, seen, texts } = await start(t, at);
  const joined = await room(client);
  const done = await Promise.all(['a', 'b', 'c'].map((text) => joined.send(text)));
  assert.deepEqual(done.map(({ sequence }) => sequence), [2, 3, 4]);
  await until('all came', () => seen.length === 3);
  assert.deepEqual(texts(), ['a', 'b', 'c']);
});

test('a publish whose answer was lost is stored once', async (t) => {
  const at = server();
  const { client } = await start(t, at);
  const joined = await room(client);
  await joined.send('before');
  at.swallowAcks = true;
  const sending = joined.publish('lost answer');
  const second = joined.publish('another');
  await until('it arrived', () => at.log.length === 4);
  at.swallowAcks = false;
  at.drop();
  assert.deepEqual([(await sending.done).duplicate, (await second.done).duplicate], [true, true]);
  assert.deepEqual(at.log.map((entry) => entry.body), ['first', 'before', 'lost answer', 'another']);
});

test('after a reconnect the reader misses nothing and gets nothing twice', async (t) => {
  const at = server();
  const { client, texts } = await start(t, at);
  await room(client);
  at.publish(ROOM, 'live');
  await until('it is live', () => texts().length === 1);
  at.drop();
  for (let index = 0; index < 10; index += 1) {
    at.publish(ROOM, `missed ${index}`, false);
  }
  await until('it caught up', () => texts().length === 11);
  assert.deepEqual(at.hellos[1]!.cursors, [[ROOM, 2n]]);
  assert.deepEqual(texts().slice(1), Array.from({ length: 10 }, (_, index) => `missed ${index}`));
});

test('a hole is closed before what is behind it is told', async (t) => {
  const at = server();
  const { client, texts } = await start(t, at);
  await room(client);
  at.publish(ROOM, 'unheard', false);
  at.publish(ROOM, 'heard');
  await until('both came', () => texts().length === 2);
  assert.deepEqual(texts(), ['unheard', 'heard']);
  assert.deepEqual(at.fetches, [2n]);
});

test('a refused publish fails with a reason and does not stop the next', async (t) => {
  const at = server();
  const { client } = await start(t, at);
  const joined = await room(client);
  at.rejectPublish = (body) => (body === 'bad' ? 3601 : undefined);
  const bad = joined.send('bad');
  const good = joined.send('good');
  await assert.rejects(bad, (error: RingwireError) => error.codeName === 'forbidden' && !error.retryable);
  assert.equal((await good).sequence, 2);
  assert.deepEqual(at.log.map((entry) => entry.clientSequence), [1n, 1n]);
});

test('what was not acknowledged survives a reload', async (t) => {
  const at = server();
  const account = 'reloaded';
  const first = await start(t, at, { account });
  const joined = await room(first.client);
  await joined.send('sent');
  at.swallowAcks = true;
  const hanging = joined.publish('sent, answer lost');
  await until('it arrived', () => at.log.length === 3);
  at.down = true;
  at.drop();
  const offline = joined.publish('written offline');
  await new Promise((resolve) => setTimeout(resolve, 50));
  // The page goes.
  first.client.close();
  await assert.rejects(hanging.done, /closed/);
  await assert.rejects(offline.done, /closed/);

  at.swallowAcks = false;
  at.down = false;
  const second = await start(t, at, { account });
  const published: string[] = [];
  second.client.on('published', ({ sending }) => published.push(sending.text));
  await second.client.connect();
  await until('the outbox is empty', () => published.length === 2);
  assert.equal(at.hellos.at(-1)!.device, at.hellos[0]!.device);
  assert.deepEqual(at.log.map((entry) => entry.body), ['first', 'sent', 'sent, answer lost', 'written offline']);

  second.client.close();
  const third = await start(t, at, { account });
  await third.client.connect();
  assert.equal(third.client.conversation(ROOM), undefined, 'nothing is left to send');
});

test('another account does not send it', async (t) => {
  const at = server();
  const ada = await start(t, at, { account: 'ada' });
  const joined = await room(ada.client);
  at.down = true;
  at.drop();
  joined.publish('of ada');
  await new Promise((resolve) => setTimeout(resolve, 50));
  ada.client.close();
  at.down = false;
  const bob = await start(t, at, { account: 'bob' });
  await room(bob.client);
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.deepEqual(at.log.map((entry) => entry.body), ['first']);
});

test('without storage it works in memory and says so', async (t) => {
  const real = indexedDB.open.bind(indexedDB);
  indexedDB.open = () => {
    throw new DOMException('denied', 'SecurityError');
  };
  t.after(() => {
    indexedDB.open = real;
  });
  const at = server();
  const { client } = await start(t, at);
  const told: boolean[] = [];
  client.on('storage', ({ kept, full }) => told.push(kept, full));
  const joined = await room(client);
  assert.equal((await joined.send('in memory')).sequence, 2);
  assert.deepEqual(told, [false, false]);
});

test('storage that fills up is told once, and nothing is lost by it', async (t) => {
  const at = server();
  const { client } = await start(t, at);
  const told: boolean[] = [];
  client.on('storage', ({ full }) => told.push(full));
  const joined = await room(client);
  const put = IDBObjectStore.prototype.put;
  IDBObjectStore.prototype.put = () => {
    throw new DOMException('no room', 'QuotaExceededError');
  };
  t.after(() => {
    IDBObjectStore.prototype.put = put;
  });
  await Promise.all([joined.send('a'), joined.send('b')]);
  await joined.send('c');
  assert.deepEqual(at.log.map((entry) => entry.body), ['first', 'a', 'b', 'c']);
  assert.deepEqual(told, [true]);
});

test('an expired token is renewed, and a useless one ends it without a provider', async (t) => {
  const at = server();
  at.refuseToken = (token) => (token === 'old' ? 3300 : undefined);
  let asked = 0;
  const tokens = ['old', 'new'];
  const renewed = await start(t, at, { token: async () => tokens[Math.min(asked++, 1)]! });
  await renewed.client.connect();
  assert.equal(asked, 2);
  const fixed = await start(t, at, { token: 'old' });
  await assert.rejects(fixed.client.connect(), (error: RingwireError) => error.codeName === 'token_expired');
});

test('a token that never comes is a token error', async (t) => {
  const at = server();
  const { client } = await start(t, at, { token: () => Promise.reject(new Error('not signed in')) });
  await assert.rejects(client.connect(), (error: RingwireError) => error.kind === 'token' && /not signed in/.test(error.message));
});

test('counts are asked for again on every connection, until they are wanted no more', async (t) => {
  const at = server();
  const { client } = await start(t, at);
  const joined = await room(client);
  await joined.watchCounts(true);
  at.drop();
  await until('it asked again', () => at.counts.length === 2);
  await joined.watchCounts(false);
  at.drop();
  await until('it is back', () => at.hellos.length === 3 && client.connected);
  await joined.send('and says so');
  assert.deepEqual(at.counts, [true, true, false]);
});

test('a last word ends the connection, without waiting for the close', async (t) => {
  const at = server();
  const { client } = await start(t, at);
  await room(client);
  const failed = new Promise<RingwireError>((resolve) => client.on('failed', ({ error }) => resolve(error)));
  at.broadcast(lastWord(3554));
  assert.equal((await failed).codeName, 'replaced');
});

test('who is kicked does not come back by itself', async (t) => {
  const at = server();
  const { client } = await start(t, at);
  await room(client);
  const failed = new Promise<RingwireError>((resolve) => client.on('failed', ({ error }) => resolve(error)));
  at.drop(3555, 'goodbye');
  const error = await failed;
  assert.equal(error.codeName, 'kicked');
  await assert.rejects(client.connect(), /goodbye/);
});

test('bytes that are not the protocol end the connection, not the page', async (t) => {
  const at = server();
  const { client } = await start(t, at);
  const joined = await room(client);
  const errors: RingwireError[] = [];
  client.on('disconnected', ({ error }) => errors.push(error));
  at.broadcast(Uint8Array.of(4, 0, 0, 0, TYPE.message, 0, 0, 0, 255, 255, 255, 255));
  await until('it hung up', () => errors.length === 1);
  assert.equal(errors[0]!.kind, 'protocol');
  assert.equal((await joined.send('still there')).sequence, 2);
});

test('calls that cannot work say why at once', async (t) => {
  const at = server();
  const { client } = await start(t, at);
  const joined = await room(client);
  assert.throws(() => joined.publish('x'.repeat(1_001)), /1001 bytes, of at most 1000/);
  await assert.rejects(client.join(''), (error: RingwireError) => error.codeName === 'name_invalid');
  await assert.rejects(client.join('x'.repeat(257)), /257 bytes/);
  const aborted = AbortSignal.abort(new Error('no more'));
  await assert.rejects(joined.history({ signal: aborted }), /no more/);
});

test('a handler that throws stops nobody else', async (t) => {
  const at = server();
  const { client, texts } = await start(t, at);
  const thrown: unknown[] = [];
  Object.assign(globalThis, { reportError: (error: unknown) => thrown.push(error) });
  const off = client.on('message', () => {
    throw new Error('from a handler');
  });
  await room(client);
  at.publish(ROOM, 'a');
  await until('it was reported', () => thrown.length === 1);
  off();
  at.publish(ROOM, 'b');
  await until('both came', () => texts().length === 2);
});

test('waits are drawn from the whole range', () => {
  const waits = Array.from({ length: 2_000 }, () => new Backoff().next());
  assert.ok(waits.every((wait) => wait >= 500 && wait <= 1_000));
  const early = waits.filter((wait) => wait < 750).length;
  assert.ok(early > 850 && early < 1_150, `${early} of 2000 in the first half`);
  const backoff = new Backoff();
  const later = Array.from({ length: 50 }, () => backoff.next());
  assert.ok(later.every((wait) => wait <= 20_000) && Math.max(...later) > 10_000);
});
