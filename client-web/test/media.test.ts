// Transfers against a server that breaks connections and refuses: what must arrive whole, once, and with which words.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import test, { type TestContext } from 'node:test';
import { Kind, conversationId } from '../src/index.js';
import { Media, MediaError, attachmentBody, attachmentOf, fileName } from '../src/media/index.js';

const ROOM = conversationId('room');
const NAME = 'a'.repeat(64);

/** A server of one upload; `answer` may step in front of it. */
class Uploads {
  bytes = Buffer.alloc(0);
  length = -1;
  metadata = '';
  readonly seen: string[] = [];
  answer: (method: string, url: URL, init: RequestInit) => Response | undefined = () => undefined;

  constructor(t: TestContext) {
    const real = globalThis.fetch;
    globalThis.fetch = (async (url: string, init: RequestInit) => {
      init.signal?.throwIfAborted();
      return this.serve(init.method!, new URL(url), init);
    }) as typeof fetch;
    t.after(() => {
      globalThis.fetch = real;
    });
  }

  private serve(method: string, url: URL, init: RequestInit): Response {
    const headers = init.headers as Record<string, string>;
    this.seen.push(`${method} ${url.pathname}`);
    assert.equal(headers.authorization, 'Bearer dev:ada');
    const stepped = this.answer(method, url, init);
    if (stepped) {
      return stepped;
    }
    if (method === 'POST') {
      this.length = Number(headers['upload-length']);
      this.metadata = headers['upload-metadata']!;
      return new Response(null, { status: 201, headers: { location: '/v1/media/uploads/u1' } });
    }
    if (method === 'PATCH') {
      const body = Buffer.from(init.body as ArrayBuffer);
      assert.equal(Number(headers['upload-offset']), this.bytes.length);
      assert.equal(headers['upload-checksum'], `sha256 ${createHash('sha256').update(body).digest('base64')}`);
      this.bytes = Buffer.concat([this.bytes, body]);
    }
    return this.standing();
  }

  standing(): Response {
    const whole = this.bytes.length === this.length;
    const headers = { 'upload-offset': String(this.bytes.length), ...(whole && { 'ringwire-media': NAME }) };
    return new Response(null, { status: 200, headers });
  }
}

const media = () => new Media({ url: 'http://host:7401/v1/media/', token: async () => 'dev:ada' });
const problem = (status: number, code: string, headers = {}) => new Response(JSON.stringify({ code, detail: 'why' }), { status, headers });

function file(bytes: number, name: string): Blob & { name: string } {
  const content = Uint8Array.from({ length: bytes }, (_, index) => (index * 31) & 255);
  return Object.assign(new Blob([content], { type: 'image/png' }), { name });
}

test('a file goes up in pieces that grow, and progress is told', async (t) => {
  const at = new Uploads(t);
  const cat = file(1_000_000, 'C:\\pictures\\cat\u202e.png');
  const upload = await media().upload(ROOM, cat, {});
  const told: number[] = [];
  const attachment = await upload.finish({ onProgress: ({ bytes, of }) => told.push(bytes / of) });
  assert.deepEqual(attachment, { media: NAME, type: 'image/png', bytes: 1_000_000, name: 'cat.png' });
  assert.ok(at.bytes.equals(Buffer.from(await cat.arrayBuffer())));
  const pairs = at.metadata.split(',').map((pair) => pair.split(' '));
  const said = Object.fromEntries(pairs.map(([key, value]) => [key, Buffer.from(value!, 'base64').toString()]));
  assert.deepEqual(said, { 'conversation-id': ROOM, filename: 'cat.png', filetype: 'image/png' });
  assert.deepEqual([...new Set(told)], [0, 0.262144, 0.786432, 1]);
});

test('what breaks is taken up where the server says, and what it asks to repeat is repeated', async (t) => {
  const at = new Uploads(t);
  let patches = 0;
  at.answer = (method) => {
    if (method !== 'PATCH') {
      return undefined;
    }
    patches += 1;
    if (patches === 2) {
      throw new TypeError('connection reset');
    }
    return patches === 3 ? problem(423, 'locked', { 'retry-after': '1' }) : undefined;
  };
  const upload = await media().upload(ROOM, file(400_000, 'a.png'), {});
  const began = Date.now();
  assert.equal((await upload.finish()).bytes, 400_000);
  assert.equal(at.bytes.length, 400_000);
  assert.ok(Date.now() - began >= 1_000, 'it waits as long as it was told to');
  assert.equal(at.seen.filter((request) => request.startsWith('HEAD')).length, 2);
});

test('a refusal says why, and is not tried again', async (t) => {
  const at = new Uploads(t);
  at.answer = () => problem(413, 'too_large');
  const refused = (error: MediaError) => error.problem === 'too_large' && error.status === 413 && !error.retryable && /why/.test(error.message);
  await assert.rejects(media().upload(ROOM, file(10, 'a'), {}), refused);
  assert.equal(at.seen.length, 1);
  at.answer = () => new Response('<html>Bad gateway', { status: 502 });
  await assert.rejects(media().upload(ROOM, file(10, 'a'), {}), (error: MediaError) => error.retryable && error.problem === '');
});

test('the caller ends an upload, goes on with it, or gives it up', async (t) => {
  const at = new Uploads(t);
  const upload = await media().upload(ROOM, file(600_000, 'a.png'), {});
  const stop = new AbortController();
  const reason = new Error('enough');
  await assert.rejects(upload.finish({ signal: stop.signal, onProgress: ({ bytes }) => bytes > 0 && stop.abort(reason) }), reason);
  assert.equal(at.bytes.length, 262_144);
  assert.equal((await upload.finish()).media, NAME);
  at.answer = () => problem(404, 'no_such_upload');
  await upload.cancel();
  assert.equal(at.seen.at(-1), 'DELETE /v1/media/uploads/u1');
});

test('an object is read by who may, and a name that is none is not asked for', async (t) => {
  const at = new Uploads(t);
  at.answer = (_, url) => (url.pathname.endsWith(NAME) ? new Response('content', { headers: { 'content-type': 'text/plain', 'content-length': '7' } }) : undefined);
  const told: number[] = [];
  const blob = await media().read(ROOM, NAME, { onProgress: ({ bytes, of }) => told.push(bytes, of) });
  assert.deepEqual([await blob.text(), blob.type, at.seen, told], ['content', 'text/plain', [`GET /v1/media/${ROOM}/${NAME}`], [7, 7]]);
  await assert.rejects(media().read(ROOM, '../../admin'), /no object's name/);
  at.answer = () => problem(403, 'not_a_member');
  await assert.rejects(media().read(ROOM, NAME), (error: MediaError) => error.problem === 'not_a_member');
});

test('a body is read back with company and without harm', () => {
  const cat = { media: NAME, type: 'image/png', bytes: 1, name: 'cat.png', caption: 'a cat' };
  const body = (text: string) => ({ kind: Kind.Media, body: new TextEncoder().encode(text) });
  assert.deepEqual(attachmentOf(body(attachmentBody(cat))), cat);
  for (const text of ['', '[]', 'null', '\u0000', JSON.stringify({ ...cat, media: '../x' }), JSON.stringify({ ...cat, bytes: -1 }), JSON.stringify({ ...cat, name: 1 })]) {
    assert.equal(attachmentOf(body(text)), undefined, text);
  }
  assert.equal(attachmentOf({ ...body(attachmentBody(cat)), kind: Kind.Text }), undefined);
});

test('a stranger does not choose where a file goes', () => {
  const names = ['../../.ssh/authorized_keys', 'C:\\Windows\\x.dll', '..', '.bashrc', '', 'a\u202eb\u0007c\n.txt', 'a:b|c?.txt'];
  assert.deepEqual(names.map(fileName), ['authorized_keys', 'x.dll', 'file', 'bashrc', 'file', 'abc.txt', 'abc.txt']);
  assert.equal(new TextEncoder().encode(fileName('é'.repeat(500))).length, 200);
});
