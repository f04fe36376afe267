// A conversation in the application's hand.

import { type History, Kind, type Message, type Published, Role, type Sending } from './content.js';
import type { Core } from './core.js';
import { RingwireError } from './error.js';
import { Action } from './generated/ringwire/wire.js';
import type { Id } from './ids.js';
import * as limits from './limits.js';
import { checkName } from './names.js';
import type { Room } from './room.js';
import type { Member } from './wire/read.js';
import * as write from './wire/write.js';

/** What a call may be given. */
export interface CallOptions {
  /** Ends the waiting, not what the server may already do. */
  readonly signal?: AbortSignal;
}

/** Which part of the history. */
export interface HistoryOptions extends CallOptions {
  /** Messages before this sequence, newest first; without it and `after`, the newest. */
  readonly before?: number;
  /** Messages after this sequence. */
  readonly after?: number;
  /** At most 256. */
  readonly limit?: number;
  /** `current` (the default): deleted messages are left out, and what was said about the others comes beside them.
   *  `raw`: the log as it is. */
  readonly view?: 'current' | 'raw';
}

const encoder = new TextEncoder();

export class Conversation {
  /** @internal */
  constructor(
    private readonly core: Core,
    private readonly room: Room,
  ) {}

  get id(): Id {
    return this.room.id;
  }

  get name(): string {
    return this.room.name;
  }

  get role(): Role {
    return this.room.role;
  }

  /** Whether it is one of two people. */
  get direct(): boolean {
    return this.room.direct;
  }

  get membersCount(): number {
    return this.room.membersCount;
  }

  /** The newest sequence known. */
  get head(): number {
    return this.room.feed.head;
  }

  /** Up to where this user had read it, on any device, when the server last said so. */
  get readUpTo(): number {
    return this.room.read;
  }

  /** The last sequence that was delivered: what `start: { after }` takes to go on from here. */
  get cursor(): number {
    return this.room.feed.cursor;
  }

  /** Publishes without an acknowledgement, oldest first; after a reload also those of the page before. */
  get pending(): readonly Sending[] {
    return [...this.room.sendings.values()];
  }

  /** What somebody is called here, as far as it is known. */
  nameOf(user: Id): string | undefined {
    return this.room.names.get(user);
  }

  /** Everybody whose name is known here: of a small conversation all members. */
  people(): { readonly user: Id; readonly name: string }[] {
    return [...this.room.names].map(([user, name]) => ({ user, name }));
  }

  /** Publishes. It is stored exactly once, whatever happens to the connection; `done` says when it is. Throws a
   *  {@link RingwireError} at once if it cannot be taken. */
  publish(body: string | Uint8Array, kind: Kind = Kind.Text, reference = 0): Sending {
    const bytes = typeof body === 'string' ? encoder.encode(body) : body.slice();
    if (this.core.ended) {
      throw this.core.ended;
    }
    if (this.core.rooms.get(this.room.id) !== this.room || this.room.standing === 'leaving') {
      throw new RingwireError('not_joined', 'this conversation is not joined');
    }
    const max = this.core.connection.bodyBytesMax;
    if (bytes.length > max) {
      const sizes = `${bytes.length} bytes, of at most ${max}`;
      throw new RingwireError('invalid', `the message is too long: ${sizes}`, 3609);
    }
    const { entries, bytes: waiting } = this.room.outbox;
    const room = entries.length < limits.OUTBOX_ENTRIES_MAX;
    if (!room || (entries.length > 0 && waiting + bytes.length > limits.OUTBOX_BYTES_MAX)) {
      throw new RingwireError('full', `${entries.length} messages wait for the server already`);
    }
    const id = this.core.nextPublish();
    const state = { createdMs: Date.now(), number: 0, stored: -1, slot: 'waiting', unsure: false } as const;
    return this.core.keeper.publish(this.room, { id, kind, reference, body: bytes, ...state });
  }

  /** {@link publish}, for who only wants to know how it ended. */
  send(text: string): Promise<Published> {
    return this.publish(text).done;
  }

  edit(sequence: number, text: string): Promise<Published> {
    return this.publish(text, Kind.Edit, sequence).done;
  }

  delete(sequence: number): Promise<Published> {
    return this.publish('', Kind.Delete, sequence).done;
  }

  /** One reaction per person and message: the newest counts, an empty one takes it back. */
  react(sequence: number, reaction: string): Promise<Published> {
    return this.publish(reaction, Kind.Reaction, sequence).done;
  }

  history(options: HistoryOptions = {}): Promise<History> {
    const { before, after, limit = 50, view = 'current', signal } = options;
    const fetch = {
      conversation: this.id,
      from: after === undefined ? (before ?? Number.POSITIVE_INFINITY) - 1 : after + 1,
      limit: Math.min(Math.max(1, limit), limits.PAGE_MESSAGES_MAX),
      backward: after === undefined,
      current: view === 'current',
    };
    const type = 'history';
    return this.core.ask(
      { type, conversation: this.id, write: (request) => write.fetch(request, fetch) },
      signal,
    );
  }

  /** All members, page by page. How far they have read is told again by `receipt` events. */
  async *members({ signal }: CallOptions = {}): AsyncGenerator<Member> {
    let after = '0'.repeat(32);
    for (;;) {
      const from = after;
      const page = await this.core.ask<{ members: Member[]; next: Id; complete: boolean }>(
        {
          type: 'members',
          conversation: this.id,
          write: (request) => write.members(request, this.id, from, limits.PAGE_MEMBERS_MAX),
        },
        signal,
      );
      yield* page.members;
      if (page.complete || page.next === after) {
        return;
      }
      after = page.next;
    }
  }

  /** The user has read everything up to here. The highest counts; told as soon as there is a connection. */
  read(sequence: number): void {
    if (this.room.cursors.onRead(sequence)) {
      this.core.pump();
    }
  }

  /** The user types, or has stopped. To be called as often as keys are pressed; the server is told rarely. */
  typing(active: boolean): void {
    if (this.room.attached) {
      this.room.type(active);
      this.core.pump();
    }
  }

  /** Adds a member. Answers the sequence of the entry that says so; 0: it was one already. */
  add(user: Id, name: string, role: Role = Role.Member, options: CallOptions = {}): Promise<number> {
    checkName(name);
    return this.change(user, Action.Added, role, name, options);
  }

  remove(user: Id, options: CallOptions = {}): Promise<number> {
    return this.change(user, Action.Removed, Role.Reader, '', options);
  }

  setRole(user: Id, role: Role, options: CallOptions = {}): Promise<number> {
    return this.change(user, Action.RoleChanged, role, '', options);
  }

  /** How many members are online, and how many have got and read the newest message, as `counts` events from now on: of a
   *  conversation that is too large to be told of everybody. Survives reconnects. */
  async watchCounts(active: boolean, { signal }: CallOptions = {}): Promise<void> {
    this.room.counted = active;
    await this.core.ask({ type: 'plain', write: (request) => write.watchCounts(request, this.id, active) }, signal);
  }

  /** No wake-ups from it until then, milliseconds since 1970; `Infinity`: for ever; 0: end it. */
  async mute(untilMs: number, { signal }: CallOptions = {}): Promise<void> {
    await this.core.ask({ type: 'plain', write: (request) => write.mute(request, this.id, untilMs) }, signal);
  }

  /** Stops being a member, after what was published before has been acknowledged. */
  async leave({ signal }: CallOptions = {}): Promise<void> {
    this.room.standing = 'leaving';
    const leave = (request: number) => write.leave(request, this.id);
    await this.core.ask({ type: 'leave', conversation: this.id, write: leave }, signal);
  }

  private change(user: Id, action: number, role: Role, name: string, { signal }: CallOptions): Promise<number> {
    const change = { conversation: this.id, user, action, role, name };
    return this.core.ask({ type: 'plain', write: (request) => write.change(request, change) }, signal);
  }
}

export type { Message };
