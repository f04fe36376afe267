// Files that people share, in a real browser against the real server.

import assert from 'node:assert/strict';
import { png } from './png.mjs';
import { calm, forgive, painted, person, start, until } from './world.mjs';

async function choose(who, ...files) {
  await who.page.locator('input[type=file]').setInputFiles(files);
}

function send(who) {
  return who.page.getByRole('button', { name: 'Send', exact: true }).click();
}

export async function a_picture_is_shared_and_opened({ browser, server }) {
  const ada = await person(browser, server, 'Painting Ada');
  const bob = await person(browser, server, 'Looking Bob');
  await start(ada, 'A room', 'gallery');
  await start(bob, 'A room', 'gallery');
  await choose(ada, { name: 'lake.png', mimeType: 'image/png', buffer: png(640, 400) });
  await ada.page.getByLabel('Description of lake.png').fill('a lake in the evening');
  await ada.page.getByLabel(/^Message to/).fill('Yesterday, from the boat.');
  await send(ada);
  const seen = await painted(bob, 'a lake in the evening');
  await bob.page.getByText('Yesterday, from the boat.').last().waitFor();
  // The place is the one that was kept before the picture came.
  const box = await seen.boundingBox();
  assert.ok(Math.abs(box.width / box.height - 640 / 400) < 0.02, `${box.width} by ${box.height}`);
  assert.equal(await seen.locator('img').evaluate((image) => image.naturalWidth), 640);
  await painted(ada, 'a lake in the evening');
  await seen.click();
  const large = bob.page.getByRole('dialog', { name: 'a lake in the evening' });
  await large.getByRole('img', { name: 'a lake in the evening' }).waitFor();
  const download = bob.page.waitForEvent('download');
  await large.getByRole('button', { name: 'Save lake.png' }).click();
  assert.equal((await download).suggestedFilename(), 'lake.png');
  await bob.page.keyboard.press('Escape');
  await large.waitFor({ state: 'hidden' });
  // It is found again after a reload, when it is fetched from the server.
  await bob.page.reload();
  await bob.page.locator('.conversations button', { hasText: 'gallery' }).click();
  await painted(bob, 'a lake in the evening');
  calm(ada, bob);
  await Promise.all([ada.context.close(), bob.context.close()]);
}

export async function files_are_pasted_dropped_and_saved({ browser, server }) {
  const ada = await person(browser, server, 'Dropping Ada');
  await start(ada, 'A room', 'drops');
  const hand = (selector, kind, name, type, text) =>
    ada.page.locator(selector).evaluate((element, [kind, name, type, text]) => {
      const data = new DataTransfer();
      data.items.add(new File([text], name, { type }));
      const init = { bubbles: true, cancelable: true };
      element.dispatchEvent(kind === 'paste' ? new ClipboardEvent('paste', { ...init, clipboardData: data }) : new DragEvent('drop', { ...init, dataTransfer: data }));
    }, [kind, name, type, text]);
  await hand('.composer textarea', 'paste', 'notes.txt', 'text/plain', 'pasted words');
  await hand('.room', 'drop', '../../\u202egnp.exe', 'application/octet-stream', 'dropped bytes');
  assert.equal(await ada.page.locator('.tray li').count(), 2);
  await send(ada);
  await ada.page.locator('.row .file', { hasText: 'notes.txt' }).getByRole('button', { name: 'Save notes.txt' }).waitFor();
  // A name that would be shown as another is shown, and saved, as what it is.
  const other = ada.page.locator('.row .file', { hasText: 'gnp.exe' });
  await other.getByRole('button', { name: 'Save gnp.exe' }).waitFor();
  const download = ada.page.waitForEvent('download');
  await other.getByRole('button', { name: 'Save gnp.exe' }).click();
  const stream = await (await download).createReadStream();
  assert.equal(Buffer.concat(await stream.toArray()).toString(), 'dropped bytes');
  calm(ada);
  await ada.context.close();
}

export async function what_a_server_does_not_take_is_told_in_words({ browser, server }) {
  const ada = await person(browser, server, 'Refused Ada');
  await start(ada, 'A room', 'refusals');
  const refused = async (file, words) => {
    await choose(ada, file);
    await send(ada);
    const row = ada.page.locator('.row.failed', { hasText: words });
    await row.waitFor();
    await row.getByRole('button', { name: 'Discard' }).click();
    await row.waitFor({ state: 'hidden' });
  };
  await refused({ name: 'film.bin', mimeType: 'application/octet-stream', buffer: Buffer.alloc(7 << 20, 1) }, 'larger than this server takes');
  await refused({ name: 'page.html', mimeType: 'text/html', buffer: Buffer.from('<script>alert(1)</script>') }, 'does not take files of that kind');
  await refused({ name: 'cat.png', mimeType: 'image/png', buffer: Buffer.from('no cat') }, 'not what its name says');
  await ada.page.route('**/v1/media/uploads/*', (route) =>
    route.fulfill({
      status: 507,
      headers: { 'access-control-allow-origin': '*' },
      contentType: 'application/problem+json',
      body: JSON.stringify({ code: 'disk_full', detail: 'the disk is full' }),
    }),
  );
  await refused({ name: 'full.txt', mimeType: 'text/plain', buffer: Buffer.from('no room for this') }, 'no room left for files');
  forgive(ada, /status of (413|415|507)/);
  calm(ada);
  await ada.context.close();
}

export async function an_upload_shows_progress_is_cancelled_and_tried_again({ browser, server }) {
  const ada = await person(browser, server, 'Waiting Ada');
  await start(ada, 'A room', 'transfers');
  const held = [];
  let given = 0;
  const requests = [];
  ada.page.on('request', (request) => requests.push(`${request.method()} ${new URL(request.url()).pathname}`));
  await ada.page.route('**/v1/media/uploads/*', (route) => {
    // The first piece goes through, the second is held.
    if (route.request().method() === 'PATCH' && ++given > 1) {
      held.push(route);
    } else {
      void route.continue();
    }
  });
  const file = { name: 'sound.bin', mimeType: 'application/octet-stream', buffer: Buffer.alloc(1 << 20, 3) };
  await choose(ada, file);
  await send(ada);
  const bar = ada.page.getByRole('progressbar', { name: 'Sending sound.bin' });
  await until('a quarter has gone', async () => (await bar.evaluate((element) => element.value)) === 0.25);
  await ada.page.locator('.row.pending').getByRole('button', { name: 'Cancel' }).click();
  await bar.waitFor({ state: 'hidden' });
  await until('the server was told', () => requests.some((request) => request.startsWith('DELETE /v1/media/uploads/')));
  await ada.page.unroute('**/v1/media/uploads/*');

  // Refused once for good, then taken.
  await ada.page.route('**/v1/media/uploads', (route) =>
    route.fulfill({ status: 403, headers: { 'access-control-allow-origin': '*' }, body: '{"code":"forbidden","detail":"readers do not upload"}' }),
  );
  await choose(ada, file);
  await send(ada);
  const failed = ada.page.locator('.row.failed', { hasText: 'You may not do that here' });
  await failed.waitFor();
  await ada.page.unroute('**/v1/media/uploads');
  await failed.getByRole('button', { name: 'Try again' }).click();
  await ada.page.getByRole('button', { name: 'Save sound.bin' }).waitFor();
  assert.equal(await ada.page.locator('.row.failed').count(), 0);
  forgive(ada, /status of 403|ERR_FAILED/);
  calm(ada);
  await ada.context.close();
}

export async function an_upload_goes_on_after_a_crash({ browser, server }) {
  const ada = await person(browser, server, 'Crashing Ada');
  await start(ada, 'A room', 'uploads');
  let pieces = 0;
  let crash;
  const crashed = new Promise((resolve) => {
    crash = resolve;
  });
  await ada.page.route('**/v1/media/uploads/*', async (route) => {
    if (route.request().method() === 'PATCH' && ++pieces === 2) {
      await server.kill();
      crash();
    }
    await route.continue().catch(() => {});
  });
  await choose(ada, { name: 'noise.png', mimeType: 'image/png', buffer: png(900, 500, 200) });
  await ada.page.getByLabel('Description of noise.png').fill('noise');
  await send(ada);
  await crashed;
  await server.start(server.extra);
  await painted(ada, 'noise');
  assert.ok(pieces > 2, `${pieces} pieces`);
  forgive(ada, /Failed to load resource/);
  calm(ada);
  await ada.context.close();
}
