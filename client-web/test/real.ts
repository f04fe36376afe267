// The real server as a process, and a link to it that can be cut, held and made deaf.

import { type ChildProcess, spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { type Server, type Socket, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const SECRET = '0123456789abcdef0123456789abcdef';

/** A token for a server with keys. */
export function token(user: string, seconds: number): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const claims = { sub: user, name: user, exp: Math.floor(Date.now() / 1000) + seconds, join: ['*'] };
  const text = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(claims)}`;
  return `${text}.${createHmac('sha256', SECRET).update(text).digest('base64url')}`;
}

export class RealServer {
  port = 0;
  private child: ChildProcess | undefined;
  private ended: Promise<unknown> = Promise.resolve();
  private readonly folder = mkdtempSync(join(tmpdir(), 'ringwire-conformance-'));

  constructor(
    private readonly binary: string,
    private readonly set: readonly string[],
    readonly keys: boolean,
  ) {
    writeFileSync(join(this.folder, 'key'), SECRET);
  }

  async to(what: string, step: Record<string, unknown> = {}): Promise<void> {
    switch (what) {
      case 'started':
        return this.start((step.set as string[] | undefined) ?? []);
      case 'killed':
        return this.stop('SIGKILL');
      case 'terminated':
        // It ends by itself, and not before those who are connected have gone.
        this.child!.kill('SIGTERM');
        return;
      case 'damaged':
        return this.damage(step.text as string);
      default:
        throw new Error(`a server is not ${what}`);
    }
  }

  private async start(further: readonly string[]): Promise<void> {
    await this.ended;
    this.port ||= await freePort();
    const keys = this.keys ? [`auth.hs256_secret_file=${join(this.folder, 'key')}`] : [];
    const set = [...this.set, ...keys, ...further].flatMap((setting) => ['--set', setting]);
    const places = ['--data', join(this.folder, 'data'), '--listen', `127.0.0.1:${this.port}`, '--plane', 'off'];
    const child = spawn(this.binary, ['serve', ...places, '--shards', '2', ...set], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.child = child;
    this.ended = new Promise((resolve) => child.once('exit', resolve));
    let text = '';
    await new Promise<void>((resolve, reject) => {
      const hear = (chunk: Buffer) => {
        text += chunk.toString();
        if (text.includes('clients ')) {
          resolve();
        }
      };
      child.stdout.on('data', hear);
      child.stderr.on('data', hear);
      child.once('exit', (code) => reject(new Error(`the server ended with ${code}:\n${text}`)));
    });
  }

  private async stop(signal: NodeJS.Signals): Promise<void> {
    const { child } = this;
    child?.kill(signal);
    await this.ended;
  }

  /** One byte of this text, which is stored once, becomes another. */
  private damage(text: string): void {
    const journal = join(this.folder, 'data', 'journal');
    for (const entry of readdirSync(journal, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath ?? entry.path, entry.name);
      const bytes = entry.isFile() ? readFileSync(path) : Buffer.alloc(0);
      const at = bytes.indexOf(text);
      if (at >= 0) {
        bytes[at]! ^= 0x55;
        return writeFileSync(path, bytes);
      }
    }
    throw new Error(`nothing in ${journal} has the text "${text}"`);
  }

  async end(): Promise<void> {
    await this.stop('SIGKILL');
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** A link between one client and the server. */
export class Proxy {
  port = 0;
  private readonly listener: Server;
  private pairs: { near: Socket; far: Socket }[] = [];
  private state = 'up';

  constructor(server: number) {
    this.listener = createServer((near) => this.onConnection(near, server));
  }

  async listen(): Promise<void> {
    await new Promise<void>((resolve) => this.listener.listen(0, '127.0.0.1', resolve));
    this.port = (this.listener.address() as { port: number }).port;
  }

  to(state: string): void {
    this.state = state;
    if (state === 'down') {
      this.cut();
    } else if (state === 'held' || state === 'flowing') {
      this.pairs.forEach(({ far }) => (state === 'held' ? far.pause() : far.resume()));
    } else if (state !== 'up' && state !== 'deaf') {
      throw new Error(`a link is not ${state}`);
    }
  }

  close(): void {
    this.cut();
    this.listener.close();
  }

  private onConnection(near: Socket, server: number): void {
    // A reset is the news here, no fault of the test.
    near.on('error', () => {});
    if (this.state === 'down') {
      near.destroy();
      return;
    }
    const far = connect(server, '127.0.0.1');
    far.on('error', () => {});
    this.pairs.push({ near, far });
    near.on('data', (bytes) => far.write(bytes));
    far.on('data', (bytes) => this.state === 'deaf' || near.write(bytes));
    near.on('close', () => far.destroy());
    far.on('close', () => near.destroy());
  }

  private cut(): void {
    this.pairs.forEach(({ near, far }) => (near.destroy(), far.destroy()));
    this.pairs = [];
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as { port: number };
      probe.close(() => resolve(port));
    });
  });
}
