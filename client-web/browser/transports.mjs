// The ways there are between a page and the server, in a real browser.

import assert from 'node:assert/strict';
import { bubble, calm, forgive, person, say, start } from './world.mjs';

/** What the page has opened, by what it opens it with. */
const WATCHED = () => {
  globalThis.ways = [];
  for (const name of ['WebSocket', 'WebTransport']) {
    globalThis[name] = class extends globalThis[name] {
      constructor(url, options) {
        super(url, options);
        globalThis.ways.push(name);
      }
    };
  }
};

/** The server's certificate is one that only a test trusts. */
const TRUSTING = { ignoreHTTPSErrors: true, init: WATCHED };

function ways(who) {
  return who.page.evaluate(() => globalThis.ways);
}

export async function a_page_over_tls_chats_and_shares_files({ browser, secure }) {
  const ada = await person(browser, secure, 'Secure Ada', TRUSTING);
  const bob = await person(browser, secure, 'Secure Bob', { ...TRUSTING, init: WITHOUT_WEB_TRANSPORT });
  await start(ada, 'A room', 'secrets');
  await start(bob, 'A room', 'secrets');
  await say(ada, 'over TLS');
  await bubble(bob, 'over TLS').waitFor();
  await say(bob, 'heard');
  await bubble(ada, 'heard').waitFor();
  // The media's port speaks plain HTTP, which a page over TLS may use on the same machine.
  await ada.page.locator('input[type=file]').setInputFiles([{ name: 'note.txt', mimeType: 'text/plain', buffer: Buffer.from('a note') }]);
  await ada.page.getByRole('button', { name: 'Send', exact: true }).click();
  await bob.page.getByRole('button', { name: 'Save note.txt' }).waitFor();
  console.log(`  ways of a page over TLS: ${(await ways(ada)).join(', ')}`);
  assert.ok((await ways(ada)).includes('WebTransport'), 'it is tried first');
  forgive(ada, /WebTransport|QUIC/);
  calm(ada, bob);
  await Promise.all([ada.context.close(), bob.context.close()]);
}

function WITHOUT_WEB_TRANSPORT() {
  delete globalThis.WebTransport;
}
