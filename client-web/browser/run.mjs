// Runs the browser scenarios: `node browser/run.mjs [NAME...]`. RINGWIRE is the server's binary, CHROMIUM the browser's. The last
// line says how it went, in the words that the project's test command reads.

import { createHmac } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { spawn } from 'node:child_process';
import * as bad from './bad.mjs';
import * as files from './files.mjs';
import * as looks from './looks.mjs';
import * as marks from './marks.mjs';
import * as transports from './transports.mjs';
import * as people from './scenarios.mjs';
import { Server, launch } from './world.mjs';

const binary = process.env.RINGWIRE;
const chromium = process.env.CHROMIUM ?? '/usr/bin/chromium';
if (!binary) {
  console.error('RINGWIRE has to name the server binary');
  process.exit(2);
}

const SECRET = '0123456789abcdef0123456789abcdef';

/** A token that ends in so many seconds. */
function token(seconds) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const claims = { sub: 'ada', name: 'Ada', exp: Math.floor(Date.now() / 1000) + seconds, join: ['*'] };
  const text = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(claims)}`;
  return `${text}.${createHmac('sha256', SECRET).update(text).digest('base64url')}`;
}

const wanted = process.argv.slice(2);
const server = new Server(binary);
const keyed = new Server(binary);
const secure = new Server(binary);
const secret = mkdtempSync(join(tmpdir(), 'ringwire-secret-'));
writeFileSync(join(secret, 'key'), SECRET);

/** So many messages, by the command line's own client. */
async function fill(room, count) {
  const url = `ws://127.0.0.1:${server.port}/v1/ws`;
  const chat = spawn(binary, ['chat', '--url', url, '--as', 'filler', '--room', room], {
    stdio: ['pipe', 'ignore', 'inherit'],
  });
  chat.stdin.end(Array.from({ length: count }, (_, index) => `message ${index + 1}\n`).join(''));
  await new Promise((resolve, reject) => {
    chat.once('exit', (code) => (code === 0 ? resolve() : reject(new Error(`chat ended with ${code}`))));
  });
}

/** So many members of a room, who say nothing. */
async function crowd(room, count) {
  const join = (number) => {
    const url = `ws://127.0.0.1:${server.port}/v1/ws`;
    const chat = spawn(binary, ['chat', '--url', url, '--as', `member ${number}`, '--room', room], { stdio: ['pipe', 'ignore', 'ignore'] });
    chat.stdin.end();
    return new Promise((resolve) => chat.once('exit', resolve));
  };
  for (let number = 0; number < count; number += 10) {
    await Promise.all(Array.from({ length: Math.min(10, count - number) }, (_, at) => join(number + at)));
  }
}

let passed = 0;
let failed = 0;
await server.start(['--set', 'media.bytes_max=6MiB']);
await keyed.start(['--set', `auth.hs256_secret_file=${join(secret, 'key')}`]);
await secure.start(['--tls-dev']);
const browser = await launch(chromium);
try {
  for (const [name, scenario] of Object.entries({ ...people, ...bad, ...marks, ...files, ...transports, ...looks })) {
    if (wanted.length > 0 && !wanted.includes(name)) {
      continue;
    }
    const began = Date.now();
    try {
      await scenario({ browser, server, keyed, secure, token, fill, crowd });
      passed += 1;
      console.log(`test ${name} ... ok (${Date.now() - began} ms)`);
    } catch (error) {
      failed += 1;
      console.log(`test ${name} ... FAILED`);
      console.log(String(error?.stack ?? error).slice(0, 3_000));
    }
  }
} finally {
  await browser.close();
  await server.stop();
  await keyed.stop();
  await secure.stop();
  rmSync(secret, { recursive: true, force: true });
}
console.log(`test result: ${failed ? 'FAILED' : 'ok'}. ${passed} passed; ${failed} failed;`);
process.exit(failed === 0 && passed > 0 ? 0 : 1);
