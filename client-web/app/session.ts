// Somebody signed in: the client, the conversations, and what has changed, for whoever draws it.

import {
  Client,
  type Conversation,
  type Id,
  type InboxEntry,
  Kind,
  type Message,
  PresenceState,
  RingwireError,
  conversationId,
  userId,
  webTransportFirst,
} from '../src/index.js';
import { Media } from '../src/media/index.js';
import { Channel, isContent } from './channel.js';
import { Pictures } from './pictures.js';
import { certificateHashes, mediaUrl } from './places.js';

/** Conversations that are fed live; the list shows more, and opens them when they are chosen. */
const LIVE_MAX = 64;

export type Status = 'connecting' | 'connected' | 'disconnected' | 'failed';

export interface SessionEvents {
  /** The list, or what stands above it. */
  list(): void;
  /** A conversation's messages, people or standing. */
  channel(channel: Channel): void;
  status(status: Status, error?: RingwireError, retryInMs?: number): void;
  storage(full: boolean): void;
  /** Trouble to be told in passing. */
  notice(error: RingwireError): void;
}

export class Session {
  readonly channels = new Map<Id, Channel>();
  readonly presence = new Map<Id, number>();
  readonly client: Client;
  selected: Channel | undefined;
  /** Of a server that keeps files. */
  media: Media | undefined;
  pictures: Pictures | undefined;
  name: string;
  private watchTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    readonly account: string,
    private readonly token: string,
    private readonly events: SessionEvents,
  ) {
    this.name = account;
    const scheme = location.protocol === 'https:' ? 'wss:' : 'ws:';
    this.client = new Client({
      url: `${scheme}//${location.host}/v1/ws`,
      token,
      account,
      inbox: true,
      agent: 'ringwire-app/0.1',
      transport: webTransportFirst({ serverCertificateHashes: certificateHashes }),
    });
    this.listen();
    for (const { id, name } of recall(account)) {
      this.channel(id, name);
    }
  }

  /** Resolves when the server has let this user in; rejects if it does not. */
  async start(): Promise<void> {
    const welcome = await this.client.connect();
    this.name = welcome.name;
    if (this.channels.size === 0) {
      // Somebody new meets others where everybody is.
      await this.join('lobby').catch(() => undefined);
    }
  }

  private async findMedia(): Promise<void> {
    const url = this.media ? undefined : await mediaUrl();
    if (url) {
      this.media = new Media({ url, token: this.token });
      this.pictures = new Pictures(this.media);
      this.channels.forEach((channel) => this.events.channel(channel));
    }
  }

  /** By what was last said in them, newest first. */
  sorted(): Channel[] {
    return [...this.channels.values()].sort((a, b) => b.lastMs - a.lastMs || a.title.localeCompare(b.title));
  }

  async join(name: string): Promise<Channel> {
    const channel = this.channel(conversationId(name), name);
    try {
      await this.enter(channel, this.client.join(name));
      return channel;
    } catch (error) {
      this.channels.delete(channel.id);
      throw error;
    }
  }

  /** The conversation with the person of that name. */
  async message(name: string): Promise<Channel> {
    const conversation = await this.client.direct(userId(name), name);
    const channel = this.channel(conversation.id, conversation.name);
    await this.enter(channel, Promise.resolve(conversation));
    return channel;
  }

  async leave(channel: Channel): Promise<void> {
    await this.client.conversation(channel.id)?.leave();
    this.drop(channel);
  }

  select(channel: Channel | undefined): void {
    if (this.selected !== channel) {
      this.selected?.unlearn().catch(() => {});
    }
    this.selected = channel;
    if (channel) {
      void this.open(channel).then(() => this.learn(channel));
    }
    this.events.list();
  }

  /** How far others are is known again, also after what was told while there was no connection. That it is not known hurts
   *  nobody: the next connection asks again. */
  private learn(channel: Channel): void {
    if (channel === this.selected) {
      channel.learn().catch(() => {});
    }
  }

  /** Everything shown so far is read. */
  read(channel: Channel): void {
    const { handle } = channel;
    if (handle && (channel.unread > 0 || handle.head > channel.readUpTo)) {
      channel.unread = 0;
      channel.readUpTo = handle.head;
      handle.read(handle.head);
      this.events.list();
    }
  }

  isOnline(user: Id | undefined): boolean {
    return user !== undefined && this.presence.get(user) === PresenceState.Online;
  }

  close(): void {
    clearTimeout(this.watchTimer);
    this.pictures?.close();
    this.client.close();
  }

  private channel(id: Id, name: string): Channel {
    let channel = this.channels.get(id);
    if (!channel) {
      channel = new Channel(id, name, () => this.client.user);
      this.channels.set(id, channel);
    }
    channel.name ||= name;
    return channel;
  }

  private async open(channel: Channel): Promise<void> {
    if (channel.handle || !this.client.connected) {
      return;
    }
    await this.enter(channel, this.client.open(channel.id)).catch((error: unknown) => {
      if (error instanceof RingwireError && error.codeName === 'not_a_member') {
        this.drop(channel);
      } else if (error instanceof RingwireError && !error.retryable) {
        channel.trouble = error;
        this.events.channel(channel);
      }
    });
  }

  private async enter(channel: Channel, joining: Promise<Conversation>): Promise<void> {
    const handle = await joining;
    channel.name = handle.name;
    if (channel.handle === handle) {
      return;
    }
    channel.handle = handle;
    channel.trouble = undefined;
    channel.pending = handle.pending.filter((sending) => isContent(sending.kind));
    channel.readUpTo = handle.readUpTo;
    channel.unread = Math.max(0, handle.head - handle.readUpTo);
    this.remember();
    this.watch();
    await channel.older().catch((error: unknown) => this.trouble(error));
    this.events.list();
    this.events.channel(channel);
  }

  private drop(channel: Channel): void {
    this.channels.delete(channel.id);
    if (this.selected === channel) {
      this.selected = undefined;
    }
    this.remember();
    this.events.list();
  }

  private listen(): void {
    const { client, events } = this;
    client.on('connecting', () => events.status('connecting'));
    client.on('connected', () => {
      events.status('connected');
      void this.findMedia();
      this.sorted()
        .slice(0, LIVE_MAX)
        .forEach((channel) => void this.open(channel));
    });
    client.on('disconnected', ({ error, retryInMs }) => {
      this.presence.clear();
      if (this.selected) {
        events.channel(this.selected);
      }
      events.status('disconnected', error, retryInMs);
    });
    client.on('failed', ({ error }) => events.status('failed', error));
    client.on('inbox', ({ entries }) => this.onInbox(entries));
    client.on('message', (message) => this.onMessage(message));
    // Somebody has begun a conversation with this user.
    client.on('elsewhere', ({ conversation }) => void this.open(this.channel(conversation, '')));
    client.on('gap', ({ conversation }) => this.changed(conversation));
    client.on('published', ({ sending }) => {
      this.channels.get(sending.conversation)?.onPublished(sending);
      this.changed(sending.conversation);
    });
    client.on('publishFailed', ({ sending, error }) => {
      if (error.kind !== 'shut_down') {
        this.channels.get(sending.conversation)?.onFailed(sending, error);
        this.changed(sending.conversation);
        if (!isContent(sending.kind)) {
          events.notice(error);
        }
      }
    });
    client.on('typing', ({ conversation, user, name, active }) => {
      const channel = this.channels.get(conversation);
      if (channel && user !== client.user) {
        active ? channel.typists.set(user, name ?? 'Somebody') : channel.typists.delete(user);
        events.channel(channel);
      }
    });
    client.on('receipt', ({ conversation, user, sequence, delivered }) => {
      const channel = this.channels.get(conversation);
      if (channel && !delivered) {
        channel.readBy.set(user, Math.max(sequence, channel.readBy.get(user) ?? 0));
        events.channel(channel);
      }
    });
    client.on('counts', ({ conversation, sequence, online, read }) => {
      const channel = this.channels.get(conversation);
      if (channel && channel === this.selected) {
        channel.counts = { sequence, online, read };
        events.channel(channel);
      }
    });
    client.on('joined', ({ conversation }) => {
      if (this.selected?.id === conversation && this.selected.handle) {
        this.learn(this.selected);
      }
    });
    client.on('presence', ({ user, state }) => {
      this.presence.set(user, state);
      events.list();
      if (this.selected) {
        events.channel(this.selected);
      }
    });
    client.on('ended', ({ conversation, error }) => {
      const channel = this.channels.get(conversation);
      if (channel) {
        this.drop(channel);
        events.notice(error);
      }
    });
    client.on('storage', ({ full }) => events.storage(full));
    client.on('error', ({ error }) => {
      if (error.codeName !== 'cursor_beyond_head' && error.codeName !== 'not_enabled') {
        events.notice(error);
      }
    });
  }

  private onInbox(entries: readonly InboxEntry[]): void {
    for (const entry of entries) {
      if (entry.head === 0) {
        // The user is in it no more; what is open here ends by itself.
        if (!this.channels.get(entry.conversation)?.handle) {
          this.channels.delete(entry.conversation);
        }
        continue;
      }
      const channel = this.channel(entry.conversation, entry.name);
      channel.lastMs = Math.max(channel.lastMs, entry.timeMs);
      if (!channel.handle) {
        channel.unread = entry.unread;
        if (this.channels.size <= LIVE_MAX || channel === this.selected) {
          void this.open(channel);
        }
      }
    }
    this.remember();
    this.events.list();
  }

  private onMessage(message: Message): void {
    const channel = this.channels.get(message.conversation);
    if (!channel) {
      return;
    }
    channel.apply(message);
    channel.typists.delete(message.sender);
    if (message.own) {
      channel.unread = 0;
    } else if (isContent(message.kind)) {
      channel.unread += 1;
    }
    if (message.membership) {
      this.watch();
    }
    this.events.list();
    this.events.channel(channel);
  }

  private changed(conversation: Id): void {
    const channel = this.channels.get(conversation);
    if (channel) {
      this.events.channel(channel);
    }
  }

  /** Asks for the presence of everybody who is shown, once the list has settled. */
  private watch(): void {
    clearTimeout(this.watchTimer);
    this.watchTimer = setTimeout(() => {
      const people = new Set<Id>();
      for (const channel of this.sorted()) {
        channel.handle?.people().forEach(({ user }) => people.add(user));
      }
      people.delete(this.client.user);
      this.client.watch([...people].slice(0, 1024)).catch((error: unknown) => this.trouble(error));
    }, 200);
  }

  private trouble(error: unknown): void {
    if (error instanceof RingwireError && error.kind !== 'shut_down') {
      this.events.notice(error);
    }
  }

  private remember(): void {
    const list = [...this.channels.values()].map(({ id, name }) => ({ id, name }));
    try {
      localStorage.setItem(`ringwire list ${this.account}`, JSON.stringify(list.slice(0, 500)));
    } catch {
      // Then the server's list is the only one.
    }
  }
}

/** What this browser knows of the account's conversations, for the time before the server has listed them. */
function recall(account: string): { id: Id; name: string }[] {
  try {
    const list: unknown = JSON.parse(localStorage.getItem(`ringwire list ${account}`) ?? '[]');
    const entries = Array.isArray(list) ? (list as { id?: unknown; name?: unknown }[]) : [];
    return entries.flatMap(({ id, name }) =>
      typeof id === 'string' && typeof name === 'string' && /^[0-9a-f]{32}$/.test(id) ? [{ id, name }] : [],
    );
  } catch {
    return [];
  }
}
