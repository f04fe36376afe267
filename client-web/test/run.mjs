// Bundles the tests, which are TypeScript, and runs them under node's own runner. The last line says how many there were, in
// the words that the project's test command reads.

import { build } from 'esbuild';
import { readdirSync, rmSync } from 'node:fs';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';

const root = new URL('..', import.meta.url).pathname;
process.env.REPOSITORY = new URL('../..', import.meta.url).pathname;
const out = `${root}out/test`;
rmSync(out, { recursive: true, force: true });
/** `node test/run.mjs [NAME...]`: only those. */
const wanted = process.argv.slice(2);
// Conformance needs a server, and is a step of its own.
const isWanted = (name) => (wanted.length > 0 ? wanted.includes(name.replace('.test.ts', '')) : name !== 'conformance.test.ts');
const names = readdirSync(`${root}test`).filter((name) => name.endsWith('.test.ts') && isWanted(name));
// Node has a WebSocket from 22 on, and before that if it is asked.
process.env.NODE_OPTIONS = `${process.env.NODE_OPTIONS ?? ''} --experimental-websocket`;
await build({
  absWorkingDir: root,
  entryPoints: names.map((name) => `test/${name}`),
  outdir: out,
  outExtension: { '.js': '.mjs' },
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  packages: 'external',
  sourcemap: 'inline',
  logLevel: 'warning',
});

const files = names.map((name) => `${out}/${name.replace(/\.ts$/, '.mjs')}`);
let passed = 0;
let failed = 0;
const events = run({ files, concurrency: true });
events.on('test:pass', ({ details }) => {
  passed += details.type === 'suite' ? 0 : 1;
});
events.on('test:fail', ({ name, details }) => {
  failed += details.type === 'suite' ? 0 : 1;
  console.log(`test ${name} ... FAILED`);
});
events.compose(spec).pipe(process.stdout);
events.on('end', () => {
  setTimeout(() => {
    console.log(`test result: ${failed ? 'FAILED' : 'ok'}. ${passed} passed; ${failed} failed;`);
    process.exit(failed === 0 && passed > 0 ? 0 : 1);
  }, 50);
});
