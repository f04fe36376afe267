// The ways there are between a page and the server, in a real browser.

import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { connect, createServer } from 'node:net';
import { png } from './png.mjs';
import { bubble, calm, forgive, open, painted, person, say, start } from './world.mjs';

/** What the page opens, by what it opens it with. */
const WATCHED = `
  globalThis.ways = [];
  for (const name of ['WebSocket', 'WebTransport']) {
    globalThis[name] = class extends globalThis[name] {
      constructor(url, options) {
        super(url, options);
        globalThis.ways.push(name);
      }
    };
  }
`;

/** The server's certificate is one that only a test trusts. */
const TRUSTING = { ignoreHTTPSErrors: true, init: WATCHED };

/** As in a browser that has no WebTransport. */
const PLAIN = { ignoreHTTPSErrors: true, init: `delete globalThis.WebTransport; ${WATCHED.replace(", 'WebTransport'", '')}` };

function ways(who) {
  return who.page.evaluate(() => globalThis.ways);
}

/** Where media went, as far as the page has asked for any. */
function mediaOf(who) {
  const origins = new Set();
  who.page.on('request', (request) => {
    const { origin, pathname } = new URL(request.url());
    if (pathname.startsWith('/v1/media/')) {
      origins.add(origin);
    }
  });
  return origins;
}

export async function two_people_chat_by_webtransport_and_websocket({ browser, secure }) {
  const ada = await person(browser, secure, 'Quick Ada', TRUSTING);
  const bob = await person(browser, secure, 'Steady Bob', PLAIN);
  await start(ada, 'A room', 'two ways');
  await start(bob, 'A room', 'two ways');
  await say(ada, 'by WebTransport');
  await bubble(bob, 'by WebTransport').waitFor();
  await say(bob, 'by WebSocket');
  await bubble(ada, 'by WebSocket').waitFor();
  // A picture goes and comes over TLS, too: nothing of a page that came so may be in the clear.
  const origins = [mediaOf(ada), mediaOf(bob)];
  await ada.page.locator('input[type=file]').setInputFiles([{ name: 'lake.png', mimeType: 'image/png', buffer: png(64, 40) }]);
  await ada.page.getByLabel('Description of lake.png').fill('a lake');
  await ada.page.getByRole('button', { name: 'Send', exact: true }).click();
  const seen = await painted(bob, 'a lake');
  assert.equal(await seen.locator('img').evaluate((image) => image.naturalWidth), 64);
  for (const asked of origins) {
    assert.deepEqual([...asked], [`https://127.0.0.1:${secure.planePort}`]);
  }
  assert.deepEqual([await ways(ada), await ways(bob)], [['WebTransport'], ['WebSocket']]);
  // Typing comes in datagrams.
  await bob.page.getByLabel(/^Message to/).pressSequentially('A long sentence, so that it is told', { delay: 100 });
  await ada.page.getByText('Steady Bob is typing…').waitFor();
  // History comes on a stream of its own.
  await ada.page.reload();
  await open(ada, 'two ways');
  await bubble(ada, 'by WebSocket').waitFor();
  assert.deepEqual(await ways(ada), ['WebTransport']);
  calm(ada, bob);
  await Promise.all([ada.context.close(), bob.context.close()]);
}

export async function webtransport_is_resumed_after_a_crash({ browser, secure }) {
  const ada = await person(browser, secure, 'Resuming Ada', TRUSTING);
  await start(ada, 'A room', 'resumption');
  await say(ada, 'before');
  await bubble(ada, 'before').getByLabel(/Sent|Read/).waitFor();
  await secure.kill();
  await say(ada, 'written offline');
  await bubble(ada, 'written offline').getByLabel('Waiting for the server').waitFor();
  // It comes back with a certificate of its own making, whose hash the page has to learn.
  await secure.start(secure.extra);
  const began = Date.now();
  await bubble(ada, 'written offline').getByLabel(/Sent|Read/).waitFor({ timeout: 90_000 });
  console.log(`  a crash behind WebTransport is over ${Date.now() - began} ms after the server is back: ${(await ways(ada)).join(', ')}`);
  const texts = await ada.page.locator('.row:not(.note) .text').allTextContents();
  assert.deepEqual(texts, ['before', 'written offline']);
  forgive(ada, /WebTransport|QUIC|Failed to load resource/);
  calm(ada);
  await ada.context.close();
}

/** A way to the server on another port, where TCP gets through, and UDP is swallowed as many networks do it. */
async function withoutUdp(server) {
  const near = createServer((socket) => {
    const far = connect(server.port, '127.0.0.1');
    for (const [one, other] of [[socket, far], [far, socket]]) {
      one.on('error', () => other.destroy());
      one.pipe(other);
    }
  });
  await new Promise((resolve) => near.listen(0, '127.0.0.1', resolve));
  const { port } = near.address();
  const hole = createSocket('udp4');
  await new Promise((resolve) => hole.bind(port, '127.0.0.1', resolve));
  const swallowed = { url: `https://127.0.0.1:${port}/`, datagrams: 0, close: () => (near.close(), hole.close()) };
  hole.on('message', () => {
    swallowed.datagrams += 1;
  });
  return swallowed;
}

export async function where_udp_is_swallowed_it_is_websocket_soon({ browser, secure }) {
  const way = await withoutUdp(secure);
  const began = Date.now();
  const ada = await person(browser, way, 'Swallowed Ada', TRUSTING);
  await open(ada, 'lobby');
  await say(ada, 'all the same');
  await bubble(ada, 'all the same').getByLabel(/Sent|Read/).waitFor();
  const took = Date.now() - began;
  console.log(`  where UDP is swallowed: something said is stored ${took} ms after the page was asked for (${way.datagrams} datagrams went nowhere)`);
  assert.ok(way.datagrams > 0 && took > 900 && took < 8_000, `${way.datagrams} datagrams, ${took} ms`);
  assert.deepEqual(await ways(ada), ['WebTransport', 'WebSocket']);
  // The next page knows.
  await ada.page.reload();
  await bubble(ada, 'all the same').waitFor();
  assert.deepEqual(await ways(ada), ['WebSocket']);
  forgive(ada, /WebTransport|QUIC/);
  calm(ada);
  await ada.context.close();
  way.close();
}
