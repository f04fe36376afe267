// What people, servers and browsers do that they should not, in a real browser: survived, and said in words.

import assert from 'node:assert/strict';
import { bubble, calm, contextOf, open, person, say, until } from './world.mjs';

export async function markup_and_bidi_are_text({ browser, server }) {
  const eve = await person(browser, server, '<b>Eve</b> \u202Etxet');
  await open(eve, 'lobby');
  const nasty = '<img src=x onerror="document.title=1"> \u202Edlrow olleh <script>alert(1)</script>';
  await say(eve, nasty);
  const row = bubble(eve, 'onerror=').last();
  await row.waitFor();
  assert.equal(await row.locator('.text').textContent(), nasty);
  assert.equal(await row.locator('.text').evaluate((element) => element.children.length), 0);
  assert.equal(await row.locator('.text').evaluate((element) => getComputedStyle(element).unicodeBidi), 'isolate');
  assert.equal(await eve.page.locator('.sidebar b').count(), 0);
  calm(eve);
  await eve.context.close();
}

export async function a_huge_paste_is_refused_with_words({ browser, server }) {
  const ada = await person(browser, server, 'Pasting Ada');
  await open(ada, 'lobby');
  await ada.page.getByLabel(/^Message to/).evaluate((field) => {
    const data = new DataTransfer();
    data.setData('text/plain', 'x'.repeat(10_000_000));
    field.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true }));
  });
  await ada.page.getByText('That is 10.0 MB of text').waitFor();
  await say(ada, 'y'.repeat(33_000));
  await ada.page.getByText('please shorten it').waitFor();
  await say(ada, 'short again');
  await bubble(ada, 'short again').waitFor();
  calm(ada);
  await ada.context.close();
}

export async function denied_storage_is_said_and_survived({ browser, server }) {
  const ada = await person(browser, server, 'Private Ada', {
    init: () => {
      const denied = () => {
        throw new DOMException('denied', 'SecurityError');
      };
      IDBFactory.prototype.open = denied;
      Storage.prototype.setItem = denied;
      Storage.prototype.getItem = denied;
    },
  });
  await ada.page.getByText('does not let this page keep anything').waitFor();
  await open(ada, 'lobby');
  await say(ada, 'from memory');
  await bubble(ada, 'from memory').getByLabel(/Sent|Read/).waitFor();
  calm(ada);
  await ada.context.close();
}

export async function storage_that_fills_up_is_said_and_survived({ browser, server }) {
  const ada = await person(browser, server, 'Full Ada', {
    init: () => {
      IDBObjectStore.prototype.put = () => {
        throw new DOMException('no room', 'QuotaExceededError');
      };
    },
  });
  await ada.page.getByText('has no room left').waitFor();
  await open(ada, 'lobby');
  await say(ada, 'from memory, too');
  await bubble(ada, 'from memory, too').getByLabel(/Sent|Read/).waitFor();
  calm(ada);
  await ada.context.close();
}

/** What a server, or somebody in between, may send instead of frames. */
const HOSTILE = {
  'a frame cut short': Buffer.from([40, 0, 0, 0, 0x45, 0, 0, 0, 1, 2, 3]),
  'a lying length': Buffer.from([255, 255, 255, 127, 0x45, 0, 0, 0, 0, 0, 0, 0]),
  'an unknown type': Buffer.from([8, 0, 0, 0, 0x7e, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
  'a body that is none': Buffer.from([8, 0, 0, 0, 0x45, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255]),
  'a text message': 'GET / HTTP/1.1',
};

export async function what_is_no_protocol_is_survived({ browser, server }) {
  for (const [what, bytes] of Object.entries(HOSTILE)) {
    const context = await contextOf(browser, {});
    const page = await context.newPage();
    const errors = [];
    page.on('pageerror', (error) => errors.push(String(error)));
    let connections = 0;
    let inject;
    await page.routeWebSocket('**/v1/ws', (socket) => {
      connections += 1;
      socket.connectToServer();
      inject = () => socket.send(bytes);
    });
    await page.goto(server.url);
    await page.getByLabel('Your name').fill('Patient Ada');
    await page.getByRole('button', { name: 'Start chatting' }).click();
    const ada = { name: what, page, errors };
    await open(ada, 'lobby');
    inject();
    await until(`${what}: it connects again`, () => connections === 2);
    await say(ada, `after ${what}`);
    await bubble(ada, `after ${what}`).getByLabel(/Sent|Read/).waitFor();
    // Over and over again it is something else than this server, which is said once and left alone.
    for (let round = 2; round <= 3 && what === 'a lying length'; round += 1) {
      inject();
      await until('it has given up, or tries again', async () => connections > round || (await page.getByRole('button', { name: 'Reload' }).count()) > 0);
      if (round === 2) {
        await until('it is back', async () => (await page.locator('.banner').textContent()) === '');
      }
    }
    if (what === 'a lying length') {
      await page.getByText('The server says something that this page does not understand.').waitFor();
    }
    calm(ada);
    await context.close();
  }
}

/** Needs a server with a key: signs in with tokens that the test makes. */
export async function an_expired_token_is_told({ browser, keyed, token }) {
  const context = await contextOf(browser, {});
  const page = await context.newPage();
  await page.goto(keyed.url);
  await page.getByLabel('Your name').fill('Ada');
  await page.getByRole('button', { name: 'Start chatting' }).click();
  await page.getByText('does not accept this sign-in').waitFor();
  const enter = async (text) => {
    await page.getByLabel('Your name').fill('Ada');
    await page.getByLabel('Token').fill(text);
    await page.getByRole('button', { name: 'Start chatting' }).click();
  };
  await enter(token(-60));
  await page.getByText('Your sign-in has expired').waitFor();
  await enter(token(8));
  await page.locator('.conversations button', { hasText: 'lobby' }).waitFor();
  await page.getByText('Your sign-in has expired').waitFor({ timeout: 40_000 });
  await context.close();
}
