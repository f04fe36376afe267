// WebTransport and the way back from it, with a browser's classes played by the test.

import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import type { LinkEvents } from '../src/transport.js';
import { webTransportFirst } from '../src/webtransport.js';
import { TYPE, frame } from '../src/wire/frame.js';

const URL_ = 'wss://chat.example:7400/v1/ws';

class FakeSession {
  static made: FakeSession[] = [];
  readonly sent: Uint8Array[] = [];
  closing: { closeCode?: number; reason?: string } | undefined;
  push!: ReadableStreamDefaultController<Uint8Array>;
  open!: () => void;
  refuse!: (error: Error) => void;
  finish!: (info: object) => void;
  streams!: ReadableStreamDefaultController<ReadableStream<Uint8Array>>;
  datagram!: ReadableStreamDefaultController<Uint8Array>;
  readonly ready = new Promise<void>((resolve, reject) => {
    this.open = resolve;
    this.refuse = reject;
  });
  readonly closed = new Promise<object>((resolve) => {
    this.finish = resolve;
  });
  readonly incomingUnidirectionalStreams = new ReadableStream<ReadableStream<Uint8Array>>({ start: (it) => void (this.streams = it) });
  readonly told: Uint8Array[] = [];
  readonly datagrams = {
    readable: new ReadableStream<Uint8Array>({ start: (it) => void (this.datagram = it) }),
    writable: new WritableStream<Uint8Array>({ write: (bytes) => void this.told.push(bytes) }),
  };

  constructor(
    readonly url: string,
    readonly options: { serverCertificateHashes?: unknown[] },
  ) {
    FakeSession.made.push(this);
  }

  async createBidirectionalStream() {
    return {
      readable: new ReadableStream<Uint8Array>({ start: (it) => void (this.push = it) }),
      writable: new WritableStream<Uint8Array>({ write: (bytes) => void this.sent.push(bytes) }),
    };
  }

  close(info: { closeCode?: number }): void {
    this.closing = info;
  }
}

class FakeSocket {
  static made: FakeSocket[] = [];
  bufferedAmount = 0;
  onopen: (() => void) | undefined;

  constructor(readonly url: string) {
    FakeSocket.made.push(this);
    setTimeout(() => this.onopen?.(), 1);
  }

  send(): void {}
  close(): void {}
}

class Heard implements LinkEvents {
  opened = 0;
  readonly messages: number[][] = [];
  ended: [number, string] | undefined;
  fault: string | undefined;

  onFault(why: string): void {
    this.fault = why;
  }

  onOpen(): void {
    this.opened += 1;
  }

  onMessage(bytes: Uint8Array): void {
    this.messages.push([...bytes]);
  }

  onClosed(code: number, reason: string): void {
    assert.equal(this.ended, undefined, 'it ends once');
    this.ended = [code, reason];
  }
}

function setUp(t: TestContext) {
  FakeSession.made = [];
  FakeSocket.made = [];
  const { WebSocket, WebTransport } = globalThis;
  Object.assign(globalThis, { WebTransport: FakeSession, WebSocket: FakeSocket });
  t.after(() => Object.assign(globalThis, { WebSocket, WebTransport }));
}

const turn = (ms = 5) => new Promise((resolve) => setTimeout(resolve, ms));

async function opened(t: TestContext) {
  setUp(t);
  const hash = { algorithm: 'sha-256', value: new Uint8Array(32) };
  const transport = webTransportFirst({ serverCertificateHashes: async () => [hash] });
  const heard = new Heard();
  const link = transport(URL_, heard);
  await turn();
  const session = FakeSession.made[0]!;
  assert.deepEqual([session.url, session.options], ['https://chat.example:7400/v1/wt', { serverCertificateHashes: [hash] }]);
  session.open();
  await turn();
  assert.equal(heard.opened, 1);
  return { transport, heard, link, session };
}

const A = frame(TYPE.pong, new Uint8Array(16).fill(1));
const B = frame(TYPE.head, new Uint8Array(24).fill(2));

test('frames are cut out of the stream, and come from streams and datagrams of the server', async (t) => {
  const { heard, link, session } = await opened(t);
  const both = Uint8Array.of(...A, ...B);
  for (const part of [both.subarray(0, 3), both.subarray(3, A.length + 5), both.subarray(A.length + 5)]) {
    session.push.enqueue(part);
    await turn();
  }
  assert.deepEqual(heard.messages, [[...A], [...B]]);
  const page = new ReadableStream<Uint8Array>({
    start: (it) => {
      it.enqueue(both);
      it.close();
    },
  });
  session.streams.enqueue(page);
  session.datagram.enqueue(A);
  await turn();
  assert.deepEqual(heard.messages.slice(2).sort((a, b) => a.length - b.length), [[...A], [...both]]);
  link.send(B);
  link.tell!(A);
  await turn();
  assert.deepEqual([session.sent, session.told, link.waiting, FakeSocket.made.length], [[B], [A], 0, 0]);
  session.finish({ closeCode: 3554, reason: 'replaced' });
  await turn();
  assert.deepEqual(heard.ended, [3554, 'replaced']);
});

test('a datagram that has overtaken the first word of the server is let go', async (t) => {
  const { heard, session } = await opened(t);
  session.datagram.enqueue(A);
  await turn();
  session.push.enqueue(B);
  await turn();
  assert.deepEqual(heard.messages, [[...B]]);
});

test('a lying length is a fault', async (t) => {
  const { heard, session } = await opened(t);
  session.push.enqueue(Uint8Array.of(255, 255, 255, 127, TYPE.message, 0, 0, 0));
  await turn(20);
  assert.equal(heard.fault, 'a frame of 2147483655 bytes');
  // What comes behind it is not looked at.
  session.push.enqueue(A);
  await turn();
  assert.deepEqual([heard.messages, heard.ended], [[], undefined]);
});

test('what is refused, or silent, is WebSocket in bounded time, and so is the next connection', async (t) => {
  setUp(t);
  const transport = webTransportFirst();
  const refused = new Heard();
  transport(URL_, refused);
  await turn();
  FakeSession.made[0]!.refuse(new Error('no'));
  await turn(20);
  assert.deepEqual([FakeSocket.made.length, refused.opened, refused.ended], [1, 1, undefined]);
  const again = new Heard();
  transport(URL_, again);
  await turn();
  assert.deepEqual([FakeSession.made.length, FakeSocket.made.length, again.opened], [1, 2, 1]);

  const silent = new Heard();
  const began = performance.now();
  webTransportFirst()(URL_, silent);
  while (silent.opened === 0) {
    await turn();
  }
  const took = performance.now() - began;
  assert.ok(took > 900 && took < 1_500, `${took} ms`);
  assert.deepEqual([FakeSession.made.length, FakeSession.made[1]!.closing?.closeCode], [2, 1000]);
  // Late, it changes nothing.
  FakeSession.made[1]!.open();
  await turn();
  assert.equal(silent.opened, 1);
});

test('one that has worked is tried again, one that was never heard is not', async (t) => {
  const { transport, heard, session } = await opened(t);
  session.push.enqueue(A);
  await turn();
  session.finish({});
  await turn();
  assert.deepEqual(heard.ended, [0, '']);
  const mute = new Heard();
  const link = transport(URL_, mute);
  await turn();
  assert.equal(FakeSession.made.length, 2);
  FakeSession.made[1]!.open();
  await turn();
  link.close(1000, 'no Welcome in time');
  transport(URL_, new Heard());
  await turn();
  assert.deepEqual([FakeSession.made.length, FakeSocket.made.length], [2, 1]);
});

test('a server without TLS has no QUIC', async (t) => {
  setUp(t);
  webTransportFirst()('ws://127.0.0.1:7400/v1/ws', new Heard());
  await turn();
  assert.deepEqual([FakeSession.made.length, FakeSocket.made.length], [0, 1]);
});
