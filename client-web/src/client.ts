// The client in the application's hand: one connection, any number of conversations, and what happens as events.

import type { TokenProvider, Welcome } from './connection.js';
import type { Message, Published, Sending, Start } from './content.js';
import { Conversation, type CallOptions } from './conversation.js';
import { Core } from './core.js';
import { RingwireError } from './error.js';
import { Emitter } from './events.js';
import type { GapCause } from './feed.js';
import { type Id, conversationId } from './ids.js';
import { WATCHED_MAX } from './limits.js';
import { checkName } from './names.js';
import type { Room } from './room.js';
import { claim } from './store/index.js';
import type { Transport } from './transport.js';
import { webTransportFirst } from './webtransport.js';
import type { InboxEntry, Member } from './wire/read.js';
import * as write from './wire/write.js';

export interface ClientOptions {
  /** `wss://host/v1/ws`. */
  readonly url: string;
  /** Who the user is: a token, or what gets one whenever the server wants a new one. */
  readonly token: string | TokenProvider;
  /** The application's own name for who is signed in. Unacknowledged messages are kept under it over reloads, so that
   *  they never leave in somebody else's name. */
  readonly account: string;
  /** Whether the server is to list the user's conversations, as `inbox` events. */
  readonly inbox?: boolean;
  /** Name and version of the application, for the server's logs. */
  readonly agent?: string;
  /** WebTransport where it can be had, else WebSocket, by default: `webTransportFirst()`. */
  readonly transport?: Transport;
}

/** What happens, by name. */
export interface ClientEvents {
  connecting: { readonly attempt: number };
  connected: Welcome;
  /** There is no connection; another one is made by itself. */
  disconnected: { readonly error: RingwireError; readonly retryInMs: number };
  /** There is no connection, and trying again would not help. */
  failed: { readonly error: RingwireError };
  /** `close` was called. */
  closed: { readonly error: RingwireError };
  /** The conversation is confirmed: after `join`, and after every reconnect. */
  joined: { readonly conversation: Id; readonly head: number };
  /** The next message of a joined conversation: in order, no holes, no doubles. */
  message: Message;
  /** What would have come next will not come. */
  gap: { readonly conversation: Id; readonly from: number; readonly to: number; readonly cause: GapCause };
  /** Everything from before the last (re)connect has been delivered. */
  caughtUp: { readonly conversation: Id; readonly head: number };
  /** A message of a conversation of the user that is not joined here. */
  elsewhere: Message;
  published: { readonly sending: Sending; readonly published: Published };
  publishFailed: { readonly sending: Sending; readonly error: RingwireError };
  typing: {
    readonly conversation: Id;
    readonly user: Id;
    readonly name: string | undefined;
    readonly active: boolean;
  };
  /** A member has read up to there, or (`delivered`) a device of the member has it. */
  receipt: {
    readonly conversation: Id;
    readonly user: Id;
    readonly sequence: number;
    readonly timeMs: number;
    readonly delivered: boolean;
  };
  /** A watched user came, went or changed: {@link PresenceState}. `seenMs` 0: not said. */
  presence: { readonly user: Id; readonly state: number; readonly seenMs: number };
  /** Conversations of the user; `complete`: the list has been told. */
  inbox: { readonly entries: readonly InboxEntry[]; readonly complete: boolean };
  counts: {
    readonly conversation: Id;
    readonly sequence: number;
    readonly online: number;
    readonly delivered: number;
    readonly read: number;
  };
  /** The conversation is no longer this user's: the server said so. */
  ended: { readonly conversation: Id; readonly error: RingwireError };
  /** Unacknowledged messages are kept in memory only: a reload would lose them. */
  storage: { readonly kept: false; readonly full: boolean; readonly cause: unknown };
  /** Trouble that no call waits for. */
  error: { readonly error: RingwireError };
}

export interface JoinOptions extends CallOptions {
  /** Where its messages begin; `latest` by default. */
  readonly start?: Start;
}

export class Client extends Emitter<ClientEvents> {
  private readonly core: Core;
  private readonly handles = new WeakMap<Room, Conversation>();
  private readonly joining = new WeakMap<Room, Promise<unknown>>();
  private started: Promise<void> | undefined;
  private readonly online = () => this.core.connection.hurry();

  constructor(options: ClientOptions) {
    super();
    this.core = new Core(
      { agent: 'ringwire-web/0.1', inbox: false, transport: webTransportFirst(), ...options },
      (name, event) => this.emit(name, event),
    );
  }

  /** Connects, and stays connected until `close`. Resolves with the first connection; rejects if there will be none. */
  connect({ signal }: CallOptions = {}): Promise<Welcome> {
    return new Promise((resolve, reject) => {
      if (this.core.ended) {
        return reject(this.core.ended);
      }
      if (signal?.aborted) {
        return reject(signal.reason as Error);
      }
      const settled = new AbortController();
      const settle = (act: () => void) => {
        settled.abort();
        act();
      };
      const listen = { signal: settled.signal };
      this.on('connected', (welcome) => settle(() => resolve(welcome)), listen);
      this.on('failed', ({ error }) => settle(() => reject(error)), listen);
      this.on('closed', ({ error }) => settle(() => reject(error)), listen);
      signal?.addEventListener('abort', () => settle(() => reject(signal.reason as Error)), listen);
      this.started ??= this.start();
    });
  }

  private async start(): Promise<void> {
    if (typeof addEventListener === 'function') {
      addEventListener('online', this.online);
    }
    const claimed = await claim(this.core.options.account);
    if (this.core.ended) {
      claimed.release();
    } else {
      this.core.begin(claimed);
    }
  }

  /** The user that the server says this is; zeros before the first connection. */
  get user(): Id {
    return this.core.user;
  }

  get connected(): boolean {
    return this.core.connection.isLive;
  }

  /** Becomes a member of the conversation of that name, which is made if the server allows it. For a member it only opens
   *  it. Calling it again gives the same conversation. */
  join(name: string, { start = 'latest', signal }: JoinOptions = {}): Promise<Conversation> {
    return attempt(() => {
      checkName(name);
      const frame = (request: number) => write.join(request, name);
      return this.enterRoom(conversationId(name), name, start, { type: 'join', write: frame }, signal);
    });
  }

  /** Joins a conversation that the user is a member of, by its id, as `inbox` gives it. */
  open(id: Id, { start = 'latest', signal }: JoinOptions = {}): Promise<Conversation> {
    const frame = (request: number) => write.open(request, id, 0);
    return this.enterRoom(id, '', start, { type: 'enter', write: frame }, signal);
  }

  /** Makes a conversation of that name with these members, besides this user, who owns it. */
  create(name: string, members: readonly Member[] = [], { signal }: CallOptions = {}): Promise<Conversation> {
    return attempt(() => {
      checkName(name);
      members.forEach((member) => checkName(member.name));
      const frame = (request: number) => write.create(request, name, members);
      return this.enterRoom(conversationId(name), name, 'latest', { type: 'create', write: frame }, signal);
    });
  }

  /** The conversation with this user alone, which is made if there is none. `name` is what the other one is called. */
  direct(user: Id, name: string, { signal }: CallOptions = {}): Promise<Conversation> {
    return attempt(async () => {
      checkName(name);
      const frame = (request: number) => write.direct(request, user, name);
      return this.handle(await this.core.ask<Room>({ type: 'direct', write: frame }, signal));
    });
  }

  /** Whose presence is wanted, as `presence` events; replaces the list before it and survives reconnects. */
  async watch(users: readonly Id[], { signal }: CallOptions = {}): Promise<void> {
    if (users.length > WATCHED_MAX) {
      throw new RingwireError('invalid', `${users.length} users to watch, of at most ${WATCHED_MAX}`, 3616);
    }
    this.core.watched = [...users];
    await this.core.ask({ type: 'plain', write: (request) => write.watch(request, users) }, signal);
  }

  /** What others may see: when the user was last here; and that the user is here, but not looking. */
  async settings(shareLastSeen: boolean, away: boolean, { signal }: CallOptions = {}): Promise<void> {
    const frame = (request: number) => write.settings(request, shareLastSeen, away);
    await this.core.ask({ type: 'plain', write: frame }, signal);
  }

  /** A joined conversation. */
  conversation(id: Id): Conversation | undefined {
    const room = this.core.rooms.get(id);
    return room && room.standing !== 'joining' ? this.handle(room) : undefined;
  }

  /** Ends the client. What is unacknowledged stays kept, and leaves when this account connects again. */
  close(): void {
    if (typeof removeEventListener === 'function') {
      removeEventListener('online', this.online);
    }
    this.core.connection.end(new RingwireError('shut_down', 'the client was closed'));
  }

  private handle(room: Room): Conversation {
    let handle = this.handles.get(room);
    if (!handle) {
      handle = new Conversation(this.core, room);
      this.handles.set(room, handle);
    }
    return handle;
  }

  private async enterRoom(
    id: Id,
    name: string,
    start: Start,
    ask: { readonly type: 'join' | 'enter' | 'create'; write(request: number): Uint8Array },
    signal?: AbortSignal,
  ): Promise<Conversation> {
    if (this.core.ended) {
      throw this.core.ended;
    }
    let room = this.core.rooms.get(id);
    if (room && room.standing !== 'joining') {
      return this.handle(room);
    }
    if (!room) {
      room = this.core.roomOf(id, name, start);
    } else if (room.feed.next === 0) {
      // What was left unacknowledged by the page before has begun to join it; the application says from where.
      room.start = start;
    }
    const running = this.joining.get(room);
    const joining = running ?? this.core.ask<Room>({ ...ask, conversation: id }, signal);
    this.joining.set(room, joining);
    await joining;
    return this.handle(room);
  }
}

/** So that what is wrong with a call is a rejection, like everything else that can be. */
async function attempt<T>(call: () => Promise<T>): Promise<T> {
  return call();
}
