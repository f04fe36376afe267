// Leaves out of flatc's classes, while bundling, the methods that nothing here calls: bundlers keep or drop a class as a
// whole, and most of each is for the other direction. Brings the library from 29 KiB compressed to well under its promise.
//
// flatc writes every method as `[static ]name(...)...{` at the beginning of a line, up to a `}` at the beginning of a line;
// every file is one class. Static methods are called by their class's name, the others on what was made by `new`.

import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

const METHOD = /^(static )?(\w+)\([^\n]*\{\n[\s\S]*?^\}\n/gm;

/** An esbuild plugin for the sources in this folder. */
export function prune(folder) {
  const generated = join(folder, 'generated');
  const sources = files(folder, generated).map(read).join('\n');
  const classes = new Map(files(generated).flatMap(classOf));
  const statics = new Set([...sources.matchAll(/\b[A-Z]\w*\.\w+/g)].map(([call]) => call));
  const members = new Set([...sources.matchAll(/\.(\w+)\b/g)].map(([, name]) => name));
  // What is read begins with a class that is passed on as a value; its methods make the others.
  const read_ = new Set([...sources.matchAll(/\bwire\.(\w+)\b(?!\.)/g)].map(([, name]) => name));
  const keeps = (name, [, isStatic, method]) =>
    isStatic ? statics.has(`${name}.${method}`) : read_.has(name) && (members.has(method) || method === '__init');
  for (let before = -1; before !== statics.size + read_.size; ) {
    before = statics.size + read_.size;
    for (const [name, methods] of classes) {
      for (const [text] of methods.filter((method) => keeps(name, method))) {
        [...text.matchAll(/\b[A-Z]\w*\.\w+/g)].forEach(([call]) => statics.add(call));
        [...text.matchAll(/\bnew (\w+)\(/g)].forEach(([, other]) => read_.add(other));
      }
    }
  }
  return {
    name: 'prune',
    setup(build) {
      build.onLoad({ filter: /[\\/]generated[\\/].*\.ts$/ }, ({ path }) => {
        const text = read(path);
        const name = /export class (\w+)/.exec(text)?.[1];
        return {
          contents: text.replace(METHOD, (...found) => (keeps(name, found) ? found[0] : '')),
          loader: 'ts',
        };
      });
    },
  };
}

function classOf(path) {
  const text = read(path);
  const name = /export class (\w+)/.exec(text)?.[1];
  return name ? [[name, [...text.matchAll(METHOD)]]] : [];
}

function read(path) {
  return readFileSync(path, 'utf8');
}

function files(folder, except) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (path === except) {
      return [];
    }
    return entry.isDirectory() ? files(path) : path.endsWith('.ts') ? [path] : [];
  });
}
