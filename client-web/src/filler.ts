// Closing holes: which conversation fetches now, which waits for its turn, which rests; and pages, those that close a hole
// and those that the application has asked for.

import type { History, Message } from './content.js';
import type { Core } from './core.js';
import { RingwireError } from './error.js';
import type { GapCause } from './feed.js';
import { GapCause as Cause, Kind } from './generated/ringwire/wire.js';
import { FILLS_MAX, PAGE_MESSAGES_MAX, RETRY_MAX, RETRY_MIN } from './limits.js';
import { between } from './pace.js';
import type { Room } from './room.js';
import { now } from './timers.js';
import { TYPE, split } from './wire/frame.js';
import { type ServerFrame, type WireMessage, message } from './wire/read.js';
import * as write from './wire/write.js';

type Page = Extract<ServerFrame, { type: 'page' }>;

const CAUSES: Record<number, GapCause> = {
  [Cause.Expired]: 'expired',
  [Cause.Erased]: 'erased',
  [Cause.Lost]: 'lost',
  [Cause.Unavailable]: 'unavailable',
};

export class Filler {
  /** Fetches under way. */
  inFlight = 0;
  private queue: Room[] = [];

  constructor(private readonly core: Core) {}

  onDetached(): void {
    this.inFlight = 0;
    this.queue = [];
  }

  /** Lets the conversation fetch what it misses, if it misses anything and nothing is under way. */
  fill(room: Room): void {
    if (room.attached && room.feed.fill === 'idle' && room.feed.missing()) {
      room.feed.fill = 'queued';
      this.queue.push(room);
      this.pump();
    }
  }

  pump(): void {
    while (this.inFlight < FILLS_MAX) {
      const room = this.queue.shift();
      if (!room) {
        return;
      }
      const missing = room.feed.missing();
      if (this.core.rooms.get(room.id) !== room || !missing) {
        room.feed.fill = 'idle';
        continue;
      }
      room.feed.onFetch();
      this.inFlight += 1;
      const { from, count } = missing;
      const limit = Math.min(count, PAGE_MESSAGES_MAX);
      const wanted = { conversation: room.id, from, limit, backward: false, current: false };
      this.core.askSelf({
        type: 'fill',
        conversation: room.id,
        from,
        write: (request) => write.fetch(request, wanted),
      });
    }
  }

  onGap(room: Room, gap: Extract<ServerFrame, { type: 'gap' }>): void {
    const cause = CAUSES[gap.cause] ?? 'unknown';
    if (cause !== 'unavailable') {
      room.feed.onGap(gap.from, gap.to, cause);
      return this.core.fed(room);
    }
    // They are kept, so they will come: fetched, later.
    if (room.feed.onUnavailable(gap.from, gap.to)) {
      this.rest(room, 0);
    }
  }

  onPage(page: Page): void {
    const request = this.core.answer(page.request, ['fill', 'history'], page.conversation);
    const room = this.core.rooms.get(page.conversation);
    if (!request) {
      return;
    }
    if (request.ask.type === 'history') {
      try {
        request.resolve(this.history(room, page));
      } catch (error) {
        request.reject(error);
        throw error;
      }
    } else if (room) {
      this.onFill(room, page, request.ask.from ?? 0);
    }
  }

  private onFill(room: Room, page: Page, askedFrom: number): void {
    const feed = room.feed;
    for (const message of messages(page)) {
      feed.onPaged(message);
    }
    // A page that answers for a stretch and does not have its end says that the end is not kept.
    if (page.from <= page.to) {
      feed.onNotKept(page.to + 1);
    }
    feed.onHead(page.head);
    feed.onPageEnd(askedFrom);
    if (feed.fruitless > 0) {
      this.rest(room, 0);
    }
    this.core.fed(room);
    this.pump();
  }

  private history(room: Room | undefined, page: Page): History {
    const present = (wire: WireMessage): Message => {
      if (!room) {
        throw new RingwireError('not_joined', 'this conversation was left');
      }
      return this.core.present(room, wire);
    };
    const { from, to, head, complete } = page;
    return {
      messages: [...messages(page)].map(present),
      amendments: [...amendments(page)].map(present),
      from,
      to,
      head,
      complete,
    };
  }

  onFailed(room: Room, error: Error): void {
    room.feed.onPageEnd(room.feed.next);
    this.rest(room, error instanceof RingwireError ? (error.retryAfterMs ?? 0) : 0);
    this.pump();
  }

  /** The last fetch brought nothing, or was refused: the next one waits. */
  private rest(room: Room, atLeastMs: number): void {
    if (room.feed.fill === 'flying' || room.feed.fill === 'queued') {
      return;
    }
    room.feed.fill = 'resting';
    const wait = Math.max(Math.min(RETRY_MIN * 2 ** Math.min(room.feed.fruitless, 10), RETRY_MAX), atLeastMs);
    this.core.timers.set(`fill ${room.id}`, now() + Math.max(between(wait / 2, wait), atLeastMs), () => {
      if (room.feed.fill === 'resting') {
        room.feed.fill = 'idle';
        this.fill(room);
      }
    });
  }
}

/** Frames that are messages of the page's conversation, in ascending order. */
function* each(page: Page, frames: Uint8Array): Generator<WireMessage> {
  let last = 0;
  for (const frame of split(frames, frames.length)) {
    if (frame.type !== TYPE.message) {
      throw new RingwireError('protocol', 'a page of something else than messages', 3505);
    }
    const read = message(frame.body);
    if (read.conversation !== page.conversation || !(read.sequence > last) || !Number.isSafeInteger(read.sequence)) {
      throw misplaced();
    }
    last = read.sequence;
    yield read;
  }
}

function* messages(page: Page): Generator<WireMessage> {
  for (const read of each(page, page.frames)) {
    if (read.sequence < page.from || read.sequence > page.to) {
      throw misplaced();
    }
    yield read;
  }
}

/** What was said about the page's messages, wherever that stands itself (W-54). */
function* amendments(page: Page): Generator<WireMessage> {
  const kinds: readonly number[] = [Kind.Edit, Kind.Delete, Kind.Reaction];
  for (const read of each(page, page.amendments)) {
    if (!kinds.includes(read.kind) || read.reference < page.from || read.reference > page.to) {
      throw misplaced();
    }
    yield read;
  }
}

function misplaced(): RingwireError {
  return new RingwireError('protocol', 'a page whose messages are out of place', 3505);
}
