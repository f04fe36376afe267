// Builds the library into dist/ and checks that it is as small as it promises to be.

import { build } from 'esbuild';
import { prune } from './prune.mjs';
import { mkdirSync, writeFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';

const root = new URL('.', import.meta.url).pathname;

/** The library's promise: all of it, minified and compressed. */
const LIBRARY_BYTES_MAX = 25 * 1024;

const options = {
  absWorkingDir: root,
  bundle: true,
  format: 'esm',
  target: ['es2022'],
  minify: true,
  write: false,
  legalComments: 'none',
  charset: 'utf8',
  logLevel: 'warning',
  plugins: [prune(`${root}src`)],
};

async function one(entry, extra = {}) {
  const { outputFiles } = await build({ ...options, entryPoints: [entry], ...extra });
  return outputFiles[0].contents;
}

const library = await one('src/index.ts');
const bytes = gzipSync(library, { level: 9 }).length;
console.log(`@ringwire/client: ${library.length} bytes, ${bytes} compressed, of at most ${LIBRARY_BYTES_MAX}`);
if (bytes > LIBRARY_BYTES_MAX) {
  console.error('the library is larger than it promises to be');
  process.exit(1);
}

mkdirSync(`${root}dist`, { recursive: true });
writeFileSync(`${root}dist/index.js`, library);
