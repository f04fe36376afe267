// Builds what is made of src/ and app/: the library into dist/, the chat app into dist-app/ (committed: the server embeds
// it, and building the server needs no node). `--check` changes nothing and fails if dist-app/ is not what would be built.

import { build } from 'esbuild';
import { prune } from './prune.mjs';
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { gunzipSync, gzipSync } from 'node:zlib';

const root = new URL('.', import.meta.url).pathname;
const check = process.argv.includes('--check');

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

const app = {
  'app.js': await one('app/main.ts'),
  'app.css': await one('app/app.css', { loader: { '.css': 'css' } }),
  'icon.svg': readFileSync(`${root}app/icon.svg`),
  'index.html': readFileSync(`${root}app/index.html`),
};
/** What the server hands to browsers that take it; the smaller part is not worth it. */
const COMPRESSED = ['app.js', 'app.css'];

const folder = `${root}dist-app/`;
if (check) {
  const names = [...Object.keys(app), ...COMPRESSED.map((name) => `${name}.gz`)].sort().join(' ');
  const found = readdirSync(folder).sort().join(' ');
  const stale = Object.entries(app).filter(([name, content]) => !same(name, content));
  if (names !== found || stale.length > 0) {
    console.error(`dist-app/ is not what the sources build: run "npm run build" in client-web and commit it`);
    process.exit(1);
  }
  console.log(`dist-app/ is what the sources build (${names})`);
} else {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
  rmSync(`${root}dist`, { recursive: true, force: true });
  mkdirSync(`${root}dist`);
  writeFileSync(`${root}dist/index.js`, library);
  for (const [name, content] of Object.entries(app)) {
    writeFileSync(folder + name, content);
    const compressed = gzipSync(content, { level: 9 });
    if (COMPRESSED.includes(name)) {
      writeFileSync(`${folder}${name}.gz`, compressed);
    }
    console.log(`dist-app/${name}: ${content.length} bytes, ${compressed.length} compressed`);
  }
}

function same(name, content) {
  try {
    // What is compressed may differ from one zlib to the next; what comes out may not.
    const compressed = COMPRESSED.includes(name) ? gunzipSync(readFileSync(`${folder}${name}.gz`)) : undefined;
    const expected = Buffer.from(content);
    return readFileSync(folder + name).equals(expected) && (compressed?.equals(expected) ?? true);
  } catch {
    return false;
  }
}
