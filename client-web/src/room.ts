// One conversation that this client has joined, or is joining: what is read, what is sent, and where it stands.
//
// ```text
//  join -> joining --Joined--> member --leave, outbox empty--> leaving --Done--> gone
//              '--Reject--> gone  '--Reject of its cursor, for good--> gone
// ```
//
// Owner: the core; lives from `join` to `leave`, across connections. `attached` says whether the server has confirmed it on
// the present connection, which is when publishes may be numbered and sent.

import type { Sending, Start } from './content.js';
import { Cursors } from './cursors.js';
import { type Fed, Feed } from './feed.js';
import type { Id } from './ids.js';
import { TYPING_EXPIRY, TYPING_REPEAT, TYPISTS_MAX } from './limits.js';
import { Outbox } from './outbox.js';
import type { Member } from './wire/read.js';

export class Room {
  name: string;
  standing: 'joining' | 'member' | 'leaving' = 'joining';
  /** The request to leave, while it waits for the outbox or its answer. */
  leaving = 0;
  role = 0;
  membersCount = 0;
  direct = false;
  /** The user's own cursor, as the server last said it. */
  read = 0;
  first = 1;
  attached = false;
  opening = false;
  openedAt: number | undefined;
  /** Its counts are wanted. */
  counted = false;
  /** No publish before this time. */
  notBefore = 0;
  /** Tries in a row that the server was too busy for. */
  refusals = 0;
  /** When the server last said something about the publishes in flight, or the first of them was sent. */
  answeredAt = 0;
  readonly feed: Feed;
  readonly outbox = new Outbox();
  readonly cursors = new Cursors();
  readonly sendings = new Map<number, Sending>();
  readonly names = new Map<Id, string>();
  private readonly typists = new Map<Id, number>();
  private typingWanted: boolean | undefined;
  private typingToldAt: number | undefined;

  constructor(
    readonly id: Id,
    name: string,
    public start: Start,
    give: (fed: Fed) => void,
  ) {
    this.name = name;
    this.feed = new Feed(give);
  }

  /** Where the reader begins, now that the server has said what there is. */
  position(head: number, first: number): void {
    this.first = first;
    if (this.feed.next !== 0) {
      return;
    }
    const oldest = Math.min(Math.max(0, first - 1), head);
    if (this.start === 'latest') {
      this.feed.position(head);
    } else if ('last' in this.start) {
      this.feed.position(Math.max(head - this.start.last, oldest));
    } else {
      this.feed.position(this.start.after === 0 ? oldest : this.start.after);
    }
  }

  /** What was published under this number and is not acknowledged. */
  sendingOf(number: number): Sending | undefined {
    const entry = this.outbox.entries.find((entry) => entry.number === number && entry.slot !== 'accepted');
    return entry && this.sendings.get(entry.id);
  }

  learn(members: readonly Member[]): void {
    for (const member of members) {
      this.names.set(member.user, member.name);
    }
  }

  onDisconnected(): void {
    this.attached = false;
    this.opening = false;
    this.openedAt = undefined;
    this.notBefore = 0;
    this.typingWanted = undefined;
    this.typingToldAt = undefined;
    this.feed.onDisconnected();
    this.outbox.onDisconnected();
  }

  type(active: boolean): void {
    this.typingWanted = active;
  }

  /** What to say about typing now: a beginning, one that lasts, an end of what was begun. */
  takeTyping(now: number): boolean | undefined {
    const active = this.typingWanted;
    this.typingWanted = undefined;
    const told = this.typingToldAt;
    const say = active === true ? told === undefined || now >= told + TYPING_REPEAT : told !== undefined;
    if (active === undefined || !say) {
      return undefined;
    }
    this.typingToldAt = active ? now : undefined;
    return active;
  }

  /** A member types, or has stopped. Whether that is news. */
  onTyping(user: Id, active: boolean, now: number): boolean {
    if (!active) {
      return this.typists.delete(user);
    }
    const known = this.typists.has(user);
    if (!known && this.typists.size >= TYPISTS_MAX) {
      return false;
    }
    this.typists.set(user, now + TYPING_EXPIRY);
    return !known;
  }

  /** When the next typist has been silent for too long. */
  typistsDue(): number | undefined {
    return this.typists.size === 0 ? undefined : Math.min(...this.typists.values());
  }

  /** Those who have been silent for too long, or all of them; they type no more. */
  takeTypists(until = Number.POSITIVE_INFINITY): Id[] {
    const gone = [...this.typists].filter(([, at]) => at <= until).map(([user]) => user);
    for (const user of gone) {
      this.typists.delete(user);
    }
    return gone;
  }
}
