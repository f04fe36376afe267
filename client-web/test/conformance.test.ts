// The protocol's scenarios (schema/conformance.json) with this client, against the real server. RINGWIRE names its binary; the
// Rust client runs the same list in server/tests/conformance.

import 'fake-indexeddb/auto';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { type Conversation, Client, Kind, type Message, RingwireError, deviceId } from '../src/index.js';
import { type Transport, webSocket } from '../src/transport.js';
import { Proxy, RealServer, token } from './real.js';

type Step = Record<string, unknown>;

interface Scenario {
  readonly name: string;
  readonly set?: readonly string[];
  readonly keys?: boolean;
  readonly steps: readonly Step[];
}

const PATIENCE = 60_000;
/** So long nothing may come, where nothing is to come. */
const QUIET = 300;

/** One tab per client: what says which device it is. */
const tab = new Map<string, string>();
Object.assign(globalThis, {
  sessionStorage: {
    getItem: (key: string) => tab.get(key) ?? null,
    setItem: (key: string, value: string) => tab.set(key, value),
  },
});

interface Seen {
  readonly word: string;
  readonly code?: string | undefined;
}

/** A client, its link, and what it has seen that no step has. */
class Person {
  readonly proxy: Proxy;
  client!: Client;
  conversation!: Conversation;
  readonly states: Seen[] = [];
  readonly read: (string | readonly [number, number, string])[] = [];
  readonly answers: { sequence: number; duplicate: boolean }[] = [];
  asked = 0;

  constructor(
    readonly name: string,
    server: RealServer,
  ) {
    this.proxy = new Proxy(server.port);
  }

  async connect(step: Step, server: RealServer, device: string): Promise<void> {
    await this.proxy.listen();
    const user = (step.user as string | undefined) ?? this.name;
    tab.set(`ringwire device ${this.name}`, device);
    const seconds = (step.token_seconds as number | undefined) ?? 600;
    const given = step.token as string | undefined;
    const mint = () => Promise.resolve(server.keys ? token(user, seconds) : `dev:${user}`);
    const version = step.hello_version as number | undefined;
    this.client = new Client({
      url: `ws://127.0.0.1:${this.proxy.port}/v1/ws`,
      account: this.name,
      token: given ?? (() => ((this.asked += 1), mint())),
      transport: version === undefined ? webSocket : ofVersion(version),
    });
    const { client, states } = this;
    const code = ({ error }: { error: RingwireError }) => error.codeName;
    client.on('connected', () => states.push({ word: 'connected' }));
    client.on('disconnected', (event) => states.push({ word: 'disconnected', code: code(event) }));
    client.on('failed', (event) => states.push({ word: 'failed', code: code(event) }));
    client.on('ended', (event) => states.push({ word: 'ended', code: code(event) }));
    client.on('message', (message: Message) => message.kind === Kind.Text && this.read.push(message.text!));
    client.on('gap', ({ from, to, cause }) => this.read.push([from, to, cause]));
    // What happens from here on is seen, not thrown.
    client.connect().catch(() => {});
  }

  publish(text: string): void {
    const sending = this.conversation.publish(text);
    sending.done.then(({ sequence, duplicate }) => this.answers.push({ sequence, duplicate }), () => {});
  }

  /** The next of these words, whatever came before it. */
  async seeState(word: string, step: Step): Promise<void> {
    await until(`${this.name}: ${word}`, () => this.states.some((state) => state.word === word));
    const at = this.states.findIndex((state) => state.word === word);
    const [state] = this.states.splice(0, at + 1).slice(-1);
    if ('code' in step) {
      assert.equal(state!.code ?? null, step.code, `${this.name}: ${word}`);
    }
  }

  async take(count: number): Promise<Person['read']> {
    await until(`${this.name}: ${count} messages (there are ${JSON.stringify(this.read.slice(0, 5))})`, () => this.read.length >= count);
    return this.read.splice(0, count);
  }

  async takeAnswers(count: number): Promise<Person['answers']> {
    await until(`${this.name}: ${count} answers`, () => this.answers.length >= count);
    return this.answers.splice(0, count);
  }

  close(): void {
    this.client?.close();
    this.proxy.close();
  }
}

/** A client of a protocol version of the future: its Hello says so, in the bytes that leave. */
function ofVersion(version: number): Transport {
  return (url, events) => {
    const link = webSocket(url, events);
    return {
      send: (bytes) => {
        const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
        const table = 8 + view.getUint32(8, true);
        const vtable = table - view.getInt32(table, true);
        const fixed = table + view.getUint16(vtable + 4, true);
        // Behind the device's id and the capabilities.
        view.setUint16(fixed + 24, version, true);
        view.setUint16(fixed + 26, version, true);
        link.send(bytes);
      },
      get waiting() {
        return link.waiting;
      },
      close: (code, reason) => link.close(code, reason),
    };
  };
}

async function until(what: string, done: () => boolean): Promise<void> {
  const end = Date.now() + PATIENCE;
  while (!done()) {
    assert.ok(Date.now() < end, `it did not happen: ${what}`);
    await sleep(5);
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

class World {
  private readonly people = new Map<string, Person>();
  private readonly devices = new Map<string, string>();

  constructor(
    private readonly server: RealServer,
    private readonly scenario: string,
  ) {}

  async step(step: Step): Promise<void> {
    const who = (verb: string) => this.people.get(step[verb] as string)!;
    if ('connect' in step) {
      const name = step.connect as string;
      const device = this.devices.get(step.device_of as string) ?? deviceId(`${this.scenario} ${name}`);
      this.devices.set(name, device);
      const person = new Person(name, this.server);
      this.people.set(name, person);
      await person.connect(step, this.server, device);
    } else if ('join' in step) {
      const person = who('join');
      const from = step.from as number | undefined;
      person.conversation = await person.client.join('room', from === undefined ? {} : { start: { after: from } });
    } else if ('publish' in step) {
      const dots = '.'.repeat((step.bytes as number | undefined) ?? 0);
      const count = (step.count as number | undefined) ?? 0;
      const texts = (step.texts as string[] | undefined) ?? Array.from({ length: count }, (_, number) => `${number}${dots}`);
      for (const text of texts) {
        // An outbox has a bound; who fills it waits.
        await until('room in the outbox', () => who('publish').conversation.pending.length < 16);
        who('publish').publish(text);
      }
    } else if ('link' in step) {
      who('link').proxy.to(step.to as string);
    } else if ('server' in step) {
      await this.server.to(step.server as string, step);
    } else if ('leave' in step) {
      await who('leave').conversation.leave();
    } else if ('wait' in step) {
      await sleep(step.wait as number);
    } else if ('asked' in step) {
      assert.ok(who('asked').asked >= (step.times as number), `asked ${who('asked').asked} times`);
    } else if ('nothing' in step) {
      await sleep(QUIET);
      assert.deepEqual(who('nothing').read, []);
    } else if ('see' in step) {
      await this.see(who('see'), step);
    } else {
      assert.fail(`a step that is not known: ${JSON.stringify(step)}`);
    }
  }

  private async see(person: Person, step: Step): Promise<void> {
    const word = ['connected', 'disconnected', 'failed', 'ended'].find((word) => word in step);
    if (word) {
      await person.seeState(word, step);
    } else if ('messages' in step) {
      const expected = step.messages as Person['read'];
      assert.deepEqual(await person.take(expected.length), expected, person.name);
    } else if ('numbers' in step) {
      const numbers = (await person.take(step.numbers as number)).map((text) => Number.parseInt(text as string, 10));
      assert.deepEqual(numbers, numbers.map((_, number) => number));
    } else if ('published_count' in step) {
      await person.takeAnswers(step.published_count as number);
    } else {
      const expected = step.published as number[];
      const answers = await person.takeAnswers(expected.length);
      assert.deepEqual(answers.map(({ sequence }) => sequence), expected, person.name);
      if ('duplicate' in step) {
        assert.ok(answers.every(({ duplicate }) => duplicate === step.duplicate), `duplicate is ${!step.duplicate}`);
      }
    }
  }

  close(): void {
    this.people.forEach((person) => person.close());
  }
}

const binary = process.env.RINGWIRE;
const file = `${process.env.REPOSITORY}schema/conformance.json`;
const { scenarios } = JSON.parse(readFileSync(file, 'utf8')) as { scenarios: Scenario[] };

for (const scenario of scenarios) {
  test(scenario.name, { skip: binary ? false : 'RINGWIRE names no server' }, async () => {
    const server = new RealServer(binary!, scenario.set ?? [], scenario.keys ?? false);
    await server.to('started');
    const world = new World(server, scenario.name);
    try {
      for (const [at, step] of scenario.steps.entries()) {
        await world.step(step).catch((error: unknown) => {
          throw new Error(`step ${at + 1}, ${JSON.stringify(step)}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
        });
      }
    } finally {
      world.close();
      await server.end();
    }
  });
}
