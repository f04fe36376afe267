// What a browser test needs: the real server, Chromium, and people in it.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const FLAGS = [
  ...['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking'],
  ...['--disable-component-update', '--disable-sync'],
];

/** The server under test, with data of its own, on one port for its whole life. */
export class Server {
  constructor(binary) {
    this.binary = binary;
    this.data = mkdtempSync(join(tmpdir(), 'ringwire-browser-'));
  }

  async start(extra = []) {
    this.port ??= await freePort();
    this.planePort ??= await freePort();
    this.extra = extra;
    this.url = `http${extra.includes('--tls-dev') ? 's' : ''}://127.0.0.1:${this.port}/`;
    const places = ['--data', this.data, '--listen', `127.0.0.1:${this.port}`, '--plane', `127.0.0.1:${this.planePort}`];
    this.child = spawn(this.binary, ['serve', ...places, ...extra], { stdio: ['ignore', 'pipe', 'pipe'] });
    let text = '';
    await new Promise((resolve, reject) => {
      const hear = (chunk) => {
        text += chunk;
        if (text.includes('clients ')) {
          resolve();
        }
      };
      this.child.stdout.on('data', hear);
      this.child.stderr.on('data', hear);
      this.child.once('exit', (code) => reject(new Error(`the server ended with ${code}:\n${text}`)));
    });
    this.child.removeAllListeners('exit');
  }

  /** As a crash does it: no goodbye. */
  async kill(signal = 'SIGKILL') {
    const ended = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.kill(signal);
    await ended;
  }

  async stop() {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      await this.kill();
    }
    rmSync(this.data, { recursive: true, force: true });
  }
}

function freePort() {
  return new Promise((resolve) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

export function launch(executablePath) {
  return chromium.launch({ executablePath, headless: true, args: FLAGS });
}

/** A browser of somebody's own. With FRESH set its app is what was built last, and not what the server was built with. */
export async function contextOf(browser, view) {
  const context = await browser.newContext({ locale: 'en-GB', ...view });
  for (const name of process.env.FRESH ? ['app.js', 'app.css'] : []) {
    const path = new URL(`../dist-app/${name}`, import.meta.url).pathname;
    await context.route(`**/${name}`, (route) => route.fulfill({ path }));
  }
  return context;
}

/** One person in a browser of their own. Errors of the page fail the test. */
export async function person(browser, server, name, options = {}) {
  const { init, ...view } = options;
  const context = await contextOf(browser, { viewport: { width: 1280, height: 800 }, colorScheme: 'light', ...view });
  context.setDefaultTimeout(15_000);
  const page = await context.newPage();
  const errors = [];
  page.on('pageerror', (error) => errors.push(String(error)));
  page.on('console', (message) => {
    // That the server is away is what these tests are about; anything else is a fault.
    if (message.type() === 'error' && !/WebSocket connection|ERR_CONNECTION/.test(message.text())) {
      errors.push(message.text());
    }
  });
  if (init) {
    await page.addInitScript(init);
  }
  await page.goto(server.url);
  await page.getByLabel('Your name').fill(name);
  await page.getByRole('button', { name: 'Start chatting' }).click();
  await page.getByRole('navigation').waitFor();
  return { name, context, page, errors };
}

/** No unhandled rejection, no refused script, nothing red in the console but what the test has provoked. */
export function calm(...people) {
  for (const who of people) {
    assert.deepEqual(who.errors, [], `${who.name}'s page had errors`);
  }
}

/** What a test has provoked is no fault of the page. */
export function forgive(who, pattern) {
  who.errors.splice(0, who.errors.length, ...who.errors.filter((error) => !pattern.test(error)));
}

export async function until(what, done, patienceMs = 20_000) {
  const end = Date.now() + patienceMs;
  while (!(await done())) {
    assert.ok(Date.now() < end, `it did not happen: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Opens a conversation of the list. */
export async function open(who, title) {
  await who.page.locator('.conversations button', { hasText: title }).click();
  await who.page.getByRole('heading', { name: title }).waitFor();
}

/** Begins one, or goes to the one there is: `A room` or `A person`. */
export async function start(who, kind, name) {
  await who.page.getByRole('button', { name: 'New conversation' }).click();
  const dialog = who.page.getByRole('dialog');
  await dialog.getByRole('radio', { name: kind }).check();
  await dialog.getByLabel('Name').fill(name);
  await dialog.getByRole('button', { name: 'Start', exact: true }).click();
  await dialog.waitFor({ state: 'hidden' });
  await who.page.getByRole('heading', { name }).waitFor();
}

export async function say(who, text) {
  const field = who.page.getByLabel(/^Message to/);
  await field.fill(text);
  await field.press('Enter');
}

/** The bubble with this text. */
export function bubble(who, text) {
  return who.page.locator('.row', { has: who.page.locator('.text', { hasText: text }) });
}

/** The picture that others describe so, when it has been painted. */
export async function painted(who, alt) {
  const frame = who.page.locator('.view').getByRole('button', { name: `Picture: ${alt}` });
  await frame.waitFor();
  await until('the picture is there', () => frame.locator('img').evaluate((image) => image.naturalWidth > 0));
  return frame;
}
