// How the app looks: every screen at both widths in both themes, kept as pictures, and looked at by axe.

import AxeBuilder from 'axe-core';
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { png } from './png.mjs';
import { bubble, calm, contextOf, forgive, open, painted, person, say, start } from './world.mjs';

const PICTURES = process.env.SCREENSHOTS ?? `${new URL('..', import.meta.url).pathname}out/screenshots`;

export async function looks_and_accessibility({ browser, server }) {
  mkdirSync(PICTURES, { recursive: true });
  const bob = await person(browser, server, 'Bob Baker');
  await open(bob, 'lobby');
  for (const colorScheme of ['light', 'dark']) {
    for (const width of [390, 1280]) {
      const view = { viewport: { width, height: 800 }, colorScheme, hasTouch: width === 390 };
      await signIn(browser, server, view);
      await chat(browser, server, bob, view);
    }
  }
  calm(bob);
  await bob.context.close();
}

/** A picture of the screen, and what somebody would meet there who does not see it. */
async function keep(page, name, { viewport, colorScheme }) {
  await page.waitForTimeout(250);
  await page.screenshot({ path: `${PICTURES}/${name}-${colorScheme}-${viewport.width}.png` });
  await inspect(page, `${name}, ${colorScheme}, ${viewport.width} px`);
}

async function signIn(browser, server, view) {
  const context = await contextOf(browser, view);
  const page = await context.newPage();
  await page.goto(server.url);
  await keep(page, 'sign-in', view);
  await page.getByLabel('Your name').fill('   ');
  await page.getByRole('button', { name: 'Start chatting' }).click();
  await page.getByText('Please enter a name.').waitFor();
  await keep(page, 'sign-in-problem', view);
  await context.close();
}

async function chat(browser, server, bob, view) {
  const { viewport, colorScheme } = view;
  const [ada, others] = [await person(browser, server, 'Ada Lovelace', view), `${colorScheme} at ${viewport.width}`];
  const { page } = ada;
  await page.getByRole('button', { name: 'New conversation' }).click();
  await keep(page, 'new-conversation', view);
  await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click();

  const room = `the lake, ${others}`;
  await start(ada, 'A room', room);
  await start(bob, 'A room', room);
  await say(ada, 'Good morning Bob. Were you at the lake yesterday?');
  await bubble(bob, 'Good morning Bob').waitFor();
  await say(bob, 'I was, until it got dark.');
  await say(bob, 'There was hardly any wind, and a heron stood on the jetty the whole time as if it had paid for the place.');
  await bubble(ada, 'hardly any wind').waitFor();
  await say(ada, 'I have a picture of the evening before. Wait.');
  await page.locator('input[type=file]').setInputFiles([{ name: 'lake.png', mimeType: 'image/png', buffer: png(640, 400) }]);
  await page.getByLabel('Description of lake.png').fill('the lake in the evening');
  await page.getByLabel(/^Message to/).fill('From the boat.');
  await keep(page, 'tray', view);
  await page.getByRole('button', { name: 'Send', exact: true }).click();
  await painted(ada, 'the lake in the evening');
  await painted(bob, 'the lake in the evening');
  const shown = bob.page.locator('.row', { has: bob.page.getByRole('button', { name: /Picture: the lake/ }) });
  await shown.hover();
  await shown.getByLabel('React', { exact: true }).click();
  await shown.getByRole('button', { name: 'React with ❤️' }).click();
  await page.getByRole('button', { name: /❤️ by/ }).waitFor();
  // A server passes the beginning on every few seconds at most, and he has just written.
  const typing = bob.page.getByLabel(/^Message to/).pressSequentially('Lovely. Shall we go there again next Sunday?', { delay: 100 });
  await page.getByText('Bob Baker is typing…').waitFor();
  await keep(page, 'chat', view);
  await typing;
  await bob.page.getByLabel(/^Message to/).fill('');
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(wide <= 0, `the page is ${wide} px too wide at ${viewport.width} px`);
  const low = await page.locator('.composer').evaluate((form) => innerHeight - form.getBoundingClientRect().bottom);
  assert.ok(low >= 0 && low < 2, `one writes at the bottom of the page, not ${low} px above it`);
  const out = await page.evaluate(() => {
    const picture = document.querySelector('.picture');
    return picture.getBoundingClientRect().right - picture.closest('.bubble').getBoundingClientRect().right;
  });
  assert.ok(out < 0, `a picture stands ${out} px out of its bubble at ${viewport.width} px`);
  if (view.hasTouch) {
    await fingers(page);
  }
  await page.getByRole('button', { name: /Picture: the lake/ }).click();
  await page.getByRole('dialog').getByRole('img').waitFor();
  await keep(page, 'large', view);
  await page.keyboard.press('Escape');

  await server.kill();
  await page.getByText('What you write is kept').waitFor();
  await say(ada, 'Are you still there?');
  await bubble(ada, 'Are you still there?').getByLabel('Waiting for the server').waitFor();
  await keep(page, 'away', view);
  await server.start(server.extra);
  await bubble(bob, 'Are you still there?').waitFor({ timeout: 40_000 });
  if (viewport.width === 390) {
    await page.getByRole('button', { name: 'Back to conversations' }).click();
    await keep(page, 'list', view);
  }
  forgive(ada, /Failed to load resource/);
  forgive(bob, /Failed to load resource/);
  calm(ada);
  await ada.context.close();
}

/** What is to be touched is large enough for a finger (WCAG 2.2 asks for 24, people for 44). */
async function fingers(page) {
  const small = await page.evaluate(() =>
    [...document.querySelectorAll('button:not([hidden]), summary')]
      .filter((element) => element.checkVisibility())
      .map((element) => ({ box: element.getBoundingClientRect(), name: element.ariaLabel ?? element.textContent }))
      .filter(({ box }) => box.width > 0 && (box.width < 38 || box.height < 38))
      .map(({ box, name }) => `${name}: ${box.width} by ${box.height}`),
  );
  assert.deepEqual(small, []);
}

/** Axe: nothing serious, nothing critical. */
async function inspect(page, what) {
  // Through the debugger: the page's own policy lets no foreign script in, which is as it should be.
  await page.evaluate(`(() => { ${AxeBuilder.source} })()`);
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  const serious = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
  const told = serious.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map(({ html, failureSummary }) => `${html} ${failureSummary}`).join('; ')}`);
  assert.deepEqual(told, [], `axe, ${what}`);
}
