// A server in memory, one conversation large, that loses connections and answers as it is told to.

import { Builder, ByteBuffer, type Offset } from 'flatbuffers';
import * as wire from '../src/generated/ringwire/wire.js';
import { conversationId, fromHex, toHex, userId } from '../src/ids.js';
import type { LinkEvents, Transport } from '../src/transport.js';
import { TYPE, frame, split } from '../src/wire/frame.js';

const USER = userId('ada');

type Words = [bigint, bigint];

function words(id: string): Words {
  const view = new DataView(fromHex(id).buffer);
  return [view.getBigUint64(0, true), view.getBigUint64(8, true)];
}

function idOf(value: wire.Id | null): string {
  return toHex(value!.bb!.bytes().slice(value!.bb_pos, value!.bb_pos + 16));
}

export function make(type: number, build: (builder: Builder) => Offset): Uint8Array {
  const builder = new Builder(256);
  builder.finish(build(builder));
  return frame(type, builder.asUint8Array().slice());
}

export interface Stored {
  conversation: string;
  sender: string;
  clientSequence: bigint;
  body: string;
  frame: Uint8Array;
}

export class Server {
  /** What was accepted, in order; the sequence is the index plus one. */
  log: Stored[] = [];
  accepted = new Map<string, bigint>();
  hellos: { token: string; cursors: [string, bigint][]; device: string }[] = [];
  fetches: bigint[] = [];
  reads: bigint[] = [];
  /** Who asked for counts, or for no more of them. */
  counts: boolean[] = [];
  connections = 0;
  /** Answers to publishes are lost, the publishes are not. */
  swallowAcks = false;
  /** Refuses connections. */
  down = false;
  refuseToken: ((token: string) => number | undefined) | undefined;
  rejectPublish: ((body: string) => number | undefined) | undefined;
  private links = new Set<Peer>();
  private origin = 7n;

  readonly transport: Transport = (_url, events) => {
    this.connections += 1;
    const peer = new Peer(this, events);
    if (this.down) {
      queueMicrotask(() => events.onClosed(0, 'refused'));
    } else {
      this.links.add(peer);
      queueMicrotask(() => events.onOpen());
    }
    return peer;
  };

  /** Every connection breaks. */
  drop(code = 0, reason = ''): void {
    for (const link of [...this.links]) {
      link.end(code, reason);
    }
  }

  forget(peer: Peer): void {
    this.links.delete(peer);
  }

  /** Somebody publishes; `live` says whether it is told. */
  publish(conversation: string, body: string, live = true, sender = userId('bob'), clientSequence = 1n): number {
    const sequence = this.log.length + 1;
    const text = new TextEncoder().encode(body);
    const message = make(TYPE.message, (builder) => {
      const bytes = wire.Message.createBodyVector(builder, text);
      wire.Message.startMessage(builder);
      const ids = [...words(conversation), BigInt(sequence), 1n, ...words(sender)] as const;
      const fixed = wire.MessageFixed.createMessageFixed(builder, ...ids, this.origin, clientSequence, 0n, 0);
      wire.Message.addFixed(builder, fixed);
      wire.Message.addBody(builder, bytes);
      return wire.Message.endMessage(builder);
    });
    this.log.push({ conversation, sender, clientSequence, body, frame: message });
    if (live) {
      this.broadcast(message);
    }
    return sequence;
  }

  broadcast(bytes: Uint8Array): void {
    for (const link of this.links) {
      link.tell(bytes);
    }
  }
}

class Peer {
  readonly waiting = 0;
  private device = '';
  private ended = false;

  constructor(
    private readonly server: Server,
    private readonly events: LinkEvents,
  ) {}

  close(): void {
    this.end(0, '');
  }

  end(code: number, reason: string): void {
    if (!this.ended) {
      this.ended = true;
      this.server.forget(this);
      this.events.onClosed(code, reason);
    }
  }

  tell(bytes: Uint8Array): void {
    queueMicrotask(() => {
      if (!this.ended) {
        this.events.onMessage(bytes);
      }
    });
  }

  send(bytes: Uint8Array): void {
    for (const { type, body } of split(bytes.slice(), 1 << 20)) {
      this.on(type, new ByteBuffer(body));
    }
  }

  private on(type: number, body: ByteBuffer): void {
    if (type === TYPE.hello) {
      this.onHello(wire.Hello.getRootAsHello(body));
    } else if (type === TYPE.join) {
      const join = wire.Join.getRootAsJoin(body);
      this.joined(this.server.log[0]?.conversation ?? CONVERSATION, join.fixed()!.request());
    } else if (type === TYPE.open) {
      const open = wire.Open.getRootAsOpen(body).fixed()!;
      this.joined(idOf(open.conversation()), open.request());
    } else if (type === TYPE.publish) {
      this.onPublish(wire.Publish.getRootAsPublish(body));
    } else if (type === TYPE.fetch) {
      this.onFetch(wire.Fetch.getRootAsFetch(body));
    } else if (type === TYPE.read) {
      this.server.reads.push(wire.Read.getRootAsRead(body).fixed()!.sequence());
    } else if (type === TYPE.watchCounts) {
      const watch = wire.WatchCounts.getRootAsWatchCounts(body).fixed()!;
      this.server.counts.push(watch.active());
      this.done(idOf(watch.conversation()), watch.request());
    }
  }

  private onHello(hello: wire.Hello): void {
    const cursors = Array.from({ length: hello.cursorsLength() }, (_, index): [string, bigint] => {
      const cursor = hello.cursors(index)!;
      return [idOf(cursor.conversation()), cursor.sequence()];
    });
    this.device = idOf(hello.fixed()!.device());
    this.server.hellos.push({ token: hello.token()!, cursors, device: this.device });
    const refused = this.server.refuseToken?.(hello.token()!);
    if (refused) {
      return queueMicrotask(() => this.end(refused, 'the token'));
    }
    this.tell(
      make(TYPE.welcome, (builder) => {
        const name = builder.createString('Ada');
        wire.Welcome.startHeadsVector(builder, 0);
        const heads = builder.endVector();
        wire.Welcome.startWelcome(builder);
        const [first, second] = words(USER);
        const sizes = [25_000, 65_536, 1_000, 1, 64] as const;
        const fixed = wire.WelcomeFixed.createWelcomeFixed(builder, first, second, 1n, 1n, ...sizes);
        wire.Welcome.addFixed(builder, fixed);
        wire.Welcome.addName(builder, name);
        wire.Welcome.addHeads(builder, heads);
        return wire.Welcome.endWelcome(builder);
      }),
    );
    for (const [conversation] of cursors) {
      this.joined(conversation, 0);
    }
  }

  joined(conversation: string, request: number): void {
    const head = BigInt(this.server.log.length);
    const accepted = this.server.accepted.get(this.device) ?? 0n;
    this.tell(
      make(TYPE.joined, (builder) => {
        const name = builder.createString('room');
        const members = wire.Joined.createMembersVector(builder, []);
        wire.Joined.startJoined(builder);
        const ids = [...words(conversation), head, 1n, accepted] as const;
        wire.Joined.addFixed(builder, wire.JoinedFixed.createJoinedFixed(builder, ...ids, request, 2, 1));
        wire.Joined.addName(builder, name);
        wire.Joined.addMembers(builder, members);
        return wire.Joined.endJoined(builder);
      }),
    );
  }

  private done(conversation: string, request: number): void {
    this.tell(
      make(TYPE.done, (builder) => {
        wire.Done.startDone(builder);
        wire.Done.addFixed(builder, wire.DoneFixed.createDoneFixed(builder, ...words(conversation), 0n, request));
        return wire.Done.endDone(builder);
      }),
    );
  }

  private onPublish(publish: wire.Publish): void {
    const fixed = publish.fixed()!;
    const conversation = idOf(fixed.conversation());
    const number = fixed.clientSequence();
    const body = new TextDecoder().decode(publish.bodyArray()!);
    const last = this.server.accepted.get(this.device) ?? 0n;
    const refused = this.server.rejectPublish?.(body) ?? (number > last + 1n ? 3200 : undefined);
    if (refused && number > last) {
      return this.reject(conversation, number, refused);
    }
    const duplicate = number <= last;
    if (!duplicate) {
      this.server.accepted.set(this.device, number);
      this.server.publish(conversation, body, true, USER, number);
    }
    if (!this.server.swallowAcks) {
      const sequence = BigInt(this.server.log.findIndex((entry) => entry.body === body) + 1);
      this.tell(
        make(TYPE.ack, (builder) => {
          const ids = [...words(conversation), number, sequence, 1n] as const;
          const ack = wire.AckFixed.createAckFixed;
          wire.Ack.startAck(builder);
          wire.Ack.addFixed(builder, ack(builder, ...ids, 0, duplicate));
          return wire.Ack.endAck(builder);
        }),
      );
    }
  }

  private reject(conversation: string, number: bigint, code: number): void {
    this.tell(rejection(words(conversation), number, code));
  }

  private onFetch(fetch: wire.Fetch): void {
    const fixed = fetch.fixed()!;
    this.server.fetches.push(fixed.from());
    const from = Number(fixed.from());
    const to = Math.min(this.server.log.length, from + Math.min(fixed.limit(), 3) - 1);
    const frames = this.server.log.slice(from - 1, to).flatMap((entry) => [...entry.frame]);
    this.tell(
      make(TYPE.page, (builder) => {
        const bytes = wire.Page.createFramesVector(builder, frames);
        wire.Page.startPage(builder);
        const head = BigInt(this.server.log.length);
        const ids = [...words(idOf(fixed.conversation())), BigInt(from), BigInt(to), head] as const;
        wire.Page.addFixed(builder, wire.PageFixed.createPageFixed(builder, ...ids, fixed.request(), true));
        wire.Page.addFrames(builder, bytes);
        return wire.Page.endPage(builder);
      }),
    );
  }
}

/** The conversation that the tests are in. */
export const CONVERSATION = conversationId('room');

function rejection(conversation: Words, number: bigint, code: number): Uint8Array {
  return make(TYPE.reject, (builder) => {
    const reason = builder.createString('as the test says');
    wire.Reject.startReject(builder);
    const fixed = wire.RejectFixed.createRejectFixed(builder, ...conversation, number, 0, 0, code);
    wire.Reject.addFixed(builder, fixed);
    wire.Reject.addReason(builder, reason);
    return wire.Reject.endReject(builder);
  });
}

/** What a server says before it closes, about nothing in particular. */
export function lastWord(code: number): Uint8Array {
  return rejection([0n, 0n], 0n, code);
}
