// One conversation as the app shows it: what is current of it, what is on its way, who is there.

import {
  type Conversation,
  type Id,
  Kind,
  type Message,
  RingwireError,
  type Sending,
  Timeline,
} from '../src/index.js';
import { attachmentOf } from '../src/media/index.js';
import { summary } from './attachments.js';
import type { Outgoing } from './outgoing.js';

/** Messages asked for when a conversation is opened or scrolled back. */
const PAGE = 100;

/** Whether a message of this kind stands in the list by itself. */
export function isContent(kind: Kind): boolean {
  return kind === Kind.Text || kind === Kind.Media;
}

/** Members from which on a server feeds a conversation to who has it open only, unless it is told otherwise. */
const LARGE = 100;
/** Members who are asked for, so that what they have read is known again. */
const MEMBERS = 128;

/** A publish that cannot be delivered, kept for the person to decide about. */
export interface Failed {
  readonly sending: Sending;
  readonly error: RingwireError;
}

export class Channel {
  handle: Conversation | undefined;
  readonly timeline = new Timeline();
  /** What stands in the list, ascending. */
  readonly sequences: number[] = [];
  pending: Sending[] = [];
  failed: Failed[] = [];
  /** Files that are not published yet. */
  outgoing: Outgoing[] = [];
  readonly typists = new Map<Id, string>();
  /** Up to where others have read, as far as it was told. */
  readonly readBy = new Map<Id, number>();
  /** Of a large conversation: how many are there, and how many have read the newest message. */
  counts: { readonly sequence: number; readonly online: number; readonly read: number } | undefined;
  unread = 0;
  /** Up to where this user has read it. */
  readUpTo = 0;
  lastMs = 0;
  preview = '';
  /** Before this nothing was loaded. */
  private oldest = Number.POSITIVE_INFINITY;
  private loading: Promise<void> | undefined;
  /** There is nothing older. */
  complete = false;
  trouble: RingwireError | undefined;
  private known = new Set<number>();

  constructor(
    readonly id: Id,
    public name: string,
    private readonly me: () => Id,
  ) {}

  get direct(): boolean {
    return this.name.startsWith('direct:');
  }

  /** In a conversation of two: the other. */
  get other(): Id | undefined {
    const [first, second] = this.name.slice('direct:'.length).split('-');
    return this.direct ? (first === this.me() ? second : first) : undefined;
  }

  /** What it is called here. */
  get title(): string {
    if (this.other) {
      return this.handle?.nameOf(this.other) ?? 'Direct message';
    }
    return this.name.replace(/^room:/, '') || 'Conversation';
  }

  /** Takes a message in. */
  apply(message: Message): void {
    const sequence = this.timeline.apply(message);
    const own = message.sequence;
    if (sequence === undefined) {
      return;
    }
    const shown = sequence === own && message.kind !== Kind.System;
    if (shown && !this.known.has(own)) {
      this.known.add(own);
      // Nearly always the newest or the oldest.
      let at = this.sequences.length;
      while (at > 0 && this.sequences[at - 1]! > own) {
        at -= 1;
      }
      this.sequences.splice(at, 0, own);
    }
    this.pending = this.pending.filter(
      (sending) => sending !== message.sending && !(message.own && sending.published?.sequence === own),
    );
    const attachment = attachmentOf(message);
    const words = attachment ? summary(attachment) : message.text;
    if (own === this.sequences.at(-1) && words !== undefined) {
      this.lastMs = message.timeMs;
      this.preview = words;
    }
    if (message.kind === Kind.Edit && sequence === this.sequences.at(-1) && message.text) {
      this.preview = message.text;
    }
    if (message.kind === Kind.Delete && sequence === this.sequences.at(-1)) {
      this.preview = 'Message deleted';
    }
  }

  /** Loads what is before what is loaded. */
  older(): Promise<void> {
    if (!this.handle || this.complete) {
      return Promise.resolve();
    }
    this.loading ??= this.load(this.handle).finally(() => {
      this.loading = undefined;
    });
    return this.loading;
  }

  private async load(handle: Conversation): Promise<void> {
    const page = await handle.history({ before: this.oldest, limit: PAGE });
    // Ascending in a page, and pages go back: applied backwards each goes to the front at once.
    [...page.messages].reverse().forEach((message) => this.apply(message));
    page.amendments.forEach((message) => this.apply(message));
    this.oldest = Math.min(this.oldest, page.from);
    this.complete = page.complete || page.from <= 1;
    const last = page.messages.at(-1);
    if (last && last.sequence >= (this.sequences.at(-1) ?? 0)) {
      this.lastMs = last.timeMs;
    }
  }

  /** Asks how far the others are: what was told while nobody was here is not lost. */
  async learn(): Promise<void> {
    const { handle } = this;
    if (!handle) {
      return;
    }
    if (this.large) {
      return handle.watchCounts(true);
    }
    let seen = 0;
    for await (const _ of handle.members()) {
      seen += 1;
      if (seen >= MEMBERS) {
        return;
      }
    }
  }

  /** Nobody looks at it any more. */
  async unlearn(): Promise<void> {
    if (this.counts) {
      this.counts = undefined;
      await this.handle?.watchCounts(false);
    }
  }

  onPublished(sending: Sending): void {
    const sequence = sending.published?.sequence ?? 0;
    if (sequence === 0 || this.known.has(sequence) || !isContent(sending.kind)) {
      this.pending = this.pending.filter((other) => other !== sending);
    }
  }

  onFailed(sending: Sending, error: RingwireError): void {
    this.pending = this.pending.filter((other) => other !== sending);
    if (isContent(sending.kind)) {
      this.failed.push({ sending, error });
    }
  }

  /** Too large for everybody to be told of everybody: how many there are and how far is told instead. */
  get large(): boolean {
    return (this.handle?.membersCount ?? 0) >= LARGE;
  }

  /** Names of the others who have read this far. */
  readers(sequence: number): string[] {
    const readers = [...this.readBy].filter(([user, read]) => read >= sequence && user !== this.me());
    return readers.map(([user]) => this.handle?.nameOf(user) ?? 'somebody');
  }

  /** The content that counts. */
  textOf(sequence: number): string | undefined {
    const entry = this.timeline.get(sequence);
    return (entry?.edit ?? entry?.message)?.text;
  }

  /** The newest message of this user that can still be edited. */
  lastOwn(): number | undefined {
    for (let at = this.sequences.length - 1; at >= 0; at -= 1) {
      const message = this.timeline.get(this.sequences[at]!)?.message;
      if (message?.own && message.kind === Kind.Text) {
        return message.sequence;
      }
    }
    return undefined;
  }
}
