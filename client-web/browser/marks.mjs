// Who has read what, and what is gone, in a real browser against the real server.

import assert from 'node:assert/strict';
import { bubble, calm, open, person, say, start, until } from './world.mjs';

export async function what_others_have_read_is_known_again({ browser, server }) {
  const ada = await person(browser, server, 'Marking Ada');
  const bob = await person(browser, server, 'Marking Bob');
  await start(ada, 'A room', 'marks');
  await start(bob, 'A room', 'marks');
  await say(ada, 'have you seen this?');
  await bubble(ada, 'have you seen this?').getByLabel('Sent').or(bubble(ada, 'have you seen this?').getByLabel(/Read by/)).waitFor();
  await ada.context.close();
  // Read while nobody is there to hear of it.
  await bubble(bob, 'have you seen this?').waitFor();
  await bob.page.getByLabel(/^Message to/).focus();
  await bob.page.waitForTimeout(1_500);
  await bob.context.close();
  const again = await person(browser, server, 'Marking Ada');
  await open(again, 'marks');
  await bubble(again, 'have you seen this?').getByLabel('Read by Marking Bob').waitFor();
  calm(again);
  await again.context.close();
}

export async function a_large_conversation_is_told_in_counts({ browser, server, crowd }) {
  await crowd('crowded', 100);
  const ada = await person(browser, server, 'Counting Ada');
  const bob = await person(browser, server, 'Counting Bob');
  await start(ada, 'A room', 'crowded');
  await start(bob, 'A room', 'crowded');
  await ada.page.locator('.sub', { hasText: /10[12] members, 2 online/ }).waitFor();
  await say(ada, 'good morning, all');
  await bubble(bob, 'good morning, all').waitFor();
  await bubble(ada, 'good morning, all').getByLabel('Read by 1').waitFor();
  await bob.context.close();
  await ada.page.locator('.sub', { hasText: /, 1 online/ }).waitFor({ timeout: 60_000 });
  calm(ada);
  await ada.context.close();
}

export async function what_is_left_elsewhere_disappears({ browser, server }) {
  const ada = await person(browser, server, 'Leaving Ada');
  await start(ada, 'A room', 'short stay');
  const tablet = await person(browser, server, 'Leaving Ada');
  await open(tablet, 'short stay');
  await tablet.page.getByRole('button', { name: 'Leave this conversation' }).click();
  await ada.page.locator('.conversations button', { hasText: 'short stay' }).waitFor({ state: 'hidden' });
  await until('nothing is open that is gone', async () => (await ada.page.getByRole('heading', { name: 'short stay' }).count()) === 0);
  await tablet.page.reload();
  await open(tablet, 'lobby');
  assert.equal(await tablet.page.locator('.conversations button', { hasText: 'short stay' }).count(), 0);
  calm(ada, tablet);
  await Promise.all([ada.context.close(), tablet.context.close()]);
}
