// The messages of one conversation on their way to the reader: in order, without holes, without doubles.
//
// ```text
//   live messages --.                      .--> the reader
//   pages ----------+--> next? deliver ----'
//   gaps -----------'    ahead? hold back, and fetch what is missing before it
//                        behind? a double: drop
// ```
//
// `next` is the sequence the reader gets next, `head` the newest known to exist. As long as `next <= head` and the message
// is not held, it has to be fetched, whatever the reason (W-32).
//
// Owner: one conversation; lives across connections, which is what makes resuming exact. Invariants: what is delivered is
// dense; what is held is bounded, the farthest goes first; one fetch at a time. Absent: frames, requests, timers.

import { HELD_BYTES_MAX, HELD_MESSAGES_MAX } from './limits.js';
import type { WireMessage } from './wire/read.js';

/** Why sequences are missing: the server's causes, or what the client concluded itself. */
export type GapCause = 'expired' | 'erased' | 'lost' | 'unavailable' | 'not_kept' | 'rewound' | 'unknown';

export type Fed =
  | { readonly type: 'message'; readonly message: WireMessage }
  | { readonly type: 'gap'; readonly from: number; readonly to: number; readonly cause: GapCause }
  | { readonly type: 'caughtUp'; readonly head: number };

type Held = { readonly message: WireMessage } | { readonly to: number; readonly cause: GapCause };

export class Feed {
  /** 0: not known yet where to begin. */
  next = 0;
  head = 0;
  /** The last message that the reader was given. */
  handed = 0;
  fill: 'idle' | 'queued' | 'flying' | 'resting' = 'idle';
  /** Fetches in a row that brought nothing. */
  fruitless = 0;
  private held = new Map<number, Held>();
  private heldBytes = 0;
  /** Something of this connection was looked at, so a lower head is no news of a rewound server. */
  private touched = false;
  /** The server keeps these and cannot read them at the moment. */
  private unavailable: { from: number; to: number } | undefined;
  private catchingUp: number | undefined;

  constructor(private readonly give: (fed: Fed) => void) {}

  /** The last sequence that was delivered, or skipped on purpose. */
  get cursor(): number {
    return Math.max(0, this.next - 1);
  }

  /** The reader gets what comes after this sequence. */
  position(cursor: number): void {
    this.next = cursor + 1;
  }

  onJoined(head: number, first: number): void {
    if (head < this.cursor && !this.touched) {
      // The server has fewer than were delivered, and will give those numbers to other messages.
      this.give({ type: 'gap', from: head + 1, to: this.cursor, cause: 'rewound' });
      this.next = head + 1;
      this.head = head;
      this.handed = Math.min(this.handed, head);
      this.held.clear();
      this.heldBytes = 0;
    }
    this.onHead(head);
    this.touched = true;
    this.catchingUp = this.head;
    if (this.next < first && first <= this.head + 1) {
      this.onGap(this.next, first - 1, 'expired');
    }
    this.caughtUp();
  }

  /** The connection is gone; so is what was asked for. */
  onDisconnected(): void {
    this.fill = 'idle';
    this.fruitless = 0;
    this.touched = false;
    this.unavailable = undefined;
  }

  onHead(head: number): void {
    this.head = Math.max(this.head, head);
  }

  onMessage(message: WireMessage): void {
    this.onHead(message.sequence);
    if (this.next === 0) {
      return;
    }
    this.touched = true;
    if (message.sequence === this.next) {
      this.deliver({ message });
      this.drain();
    } else if (message.sequence > this.next && !this.held.has(message.sequence)) {
      this.hold(message.sequence, { message });
    }
  }

  /** Sequences that will not come. */
  onGap(from: number, to: number, cause: GapCause): void {
    this.onHead(to);
    if (this.next === 0 || to < this.next || to < from) {
      return;
    }
    this.touched = true;
    if (from <= this.next) {
      this.deliver({ to, cause });
      this.drain();
    } else {
      this.hold(from, { to, cause });
    }
  }

  /** These are kept and cannot be read at the moment. Whether the reader waits for any of them. */
  onUnavailable(from: number, to: number): boolean {
    this.onHead(to);
    const waits = this.next !== 0 && to >= this.next;
    if (waits) {
      this.unavailable = { from, to };
    }
    return waits;
  }

  onFetch(): void {
    this.fill = 'flying';
    this.unavailable = undefined;
  }

  /** A message of a page: what the page answers for before it and did not bring is not kept. */
  onPaged(message: WireMessage): void {
    this.onNotKept(message.sequence);
    this.onMessage(message);
  }

  /** A page answered for everything before `end`. */
  onNotKept(end: number): void {
    const unavailable = this.unavailable;
    const until = unavailable && unavailable.to >= this.next ? Math.min(end, unavailable.from) : end;
    while (this.next !== 0 && this.next < until) {
      this.deliver({ to: Math.min(until, this.firstHeld() ?? until) - 1, cause: 'not_kept' });
      this.drain();
    }
  }

  onPageEnd(nextBefore: number): void {
    this.fill = 'idle';
    this.fruitless = this.next > nextBefore ? 0 : this.fruitless + 1;
  }

  /** What has to be fetched, if anything. */
  missing(): { from: number; count: number } | undefined {
    if (this.next === 0 || this.next > this.head) {
      return undefined;
    }
    const end = this.firstHeld() ?? this.head + 1;
    return { from: this.next, count: end - this.next };
  }

  private firstHeld(): number | undefined {
    return this.held.size === 0 ? undefined : Math.min(...this.held.keys());
  }

  private hold(sequence: number, held: Held): void {
    const bytes = bytesOf(held);
    while (this.held.size >= HELD_MESSAGES_MAX || this.heldBytes + bytes > HELD_BYTES_MAX) {
      // The nearest are worth most: they follow the hole that is being closed.
      const last = Math.max(...this.held.keys());
      if (this.held.size === 0 || last <= sequence) {
        return;
      }
      this.heldBytes -= bytesOf(this.held.get(last)!);
      this.held.delete(last);
    }
    this.heldBytes += bytes;
    this.held.set(sequence, held);
  }

  private drain(): void {
    for (let first = this.firstHeld(); first !== undefined; first = this.firstHeld()) {
      const held = this.held.get(first)!;
      const behind = 'to' in held ? held.to < this.next : first < this.next;
      if (!behind && first > this.next) {
        break;
      }
      this.held.delete(first);
      this.heldBytes -= bytesOf(held);
      if (!behind) {
        this.deliver(held);
      }
    }
    this.caughtUp();
  }

  private deliver(held: Held): void {
    if ('to' in held) {
      const from = this.next;
      this.next = held.to + 1;
      this.give({ type: 'gap', from, to: held.to, cause: held.cause });
    } else {
      this.next = held.message.sequence + 1;
      this.handed = held.message.sequence;
      this.give({ type: 'message', message: held.message });
    }
    this.caughtUp();
  }

  private caughtUp(): void {
    const head = this.catchingUp;
    if (head !== undefined && this.next > head) {
      this.catchingUp = undefined;
      this.give({ type: 'caughtUp', head });
    }
  }
}

function bytesOf(held: Held): number {
  return 'to' in held ? 0 : held.message.body.length;
}
