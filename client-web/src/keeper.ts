// Keeps the outboxes and the store alike: what is published is stored, what is settled is removed, and after a reload what
// was stored is published again.
//
// When the store fails, everything goes on in memory and the application is told once. Order matters in one place: a number
// is stored before a frame with it leaves (see `outbox`).

import { Sending } from './content.js';
import type { Published } from './content.js';
import type { Core } from './core.js';
import { RingwireError } from './error.js';
import type { Entry } from './outbox.js';
import type { Room } from './room.js';
import type { Claim, StoredPublish } from './store/index.js';
import * as write from './wire/write.js';

export class Keeper {
  private claim: Claim | undefined;
  private store: Claim['store'];
  private told = false;

  constructor(private readonly core: Core) {}

  begin(claim: Claim): void {
    this.claim = claim;
    this.store = claim.store;
    for (const stored of claim.restored) {
      this.restore(stored);
    }
    if (!claim.store) {
      this.trouble(claim.trouble);
    }
    for (const room of this.core.rooms.values()) {
      this.keep(room);
    }
  }

  /** A publish begins. */
  publish(room: Room, entry: Entry): Sending {
    const sending = this.track(room, entry);
    room.outbox.push(entry);
    this.keep(room);
    return sending;
  }

  /** Has everything stored that is not, then lets it go. */
  keep(room: Room): void {
    if (!this.claim) {
      return;
    }
    const entries = room.outbox.unstored();
    if (entries.length === 0) {
      return;
    }
    const device = this.claim.device;
    const numbers = entries.map((entry) => entry.number);
    const stored = () => {
      // Meanwhile it may have been numbered anew; then it is stored again.
      entries.forEach((entry, index) => {
        entry.stored = numbers[index]!;
      });
      this.core.pump();
    };
    if (!this.store) {
      return stored();
    }
    const publishes = entries.map(
      ({ id, kind, reference, body, createdMs, number }): StoredPublish => ({
        ...{ device, id, kind, reference, body, createdMs, number },
        ...{ conversation: room.id, name: room.name },
      }),
    );
    this.store.put(publishes).then(stored, (error: unknown) => {
      this.trouble(error);
      stored();
    });
  }

  /** A publish has ended. With `keep` it ends for this page only: it stays stored. */
  settle(room: Room, entry: Entry, outcome: Published | RingwireError, keep = false): void {
    const sending = room.sendings.get(entry.id);
    room.sendings.delete(entry.id);
    if (!keep && this.store && this.claim) {
      // An acknowledged one that is still stored is sent again after a reload, and acknowledged again.
      this.store.remove(this.claim.device, [entry.id]).catch((error: unknown) => this.trouble(error));
    }
    if (!sending) {
      return;
    }
    sending.settle(outcome);
    if (outcome instanceof RingwireError) {
      this.core.emit('publishFailed', { sending, error: outcome });
    } else {
      this.core.emit('published', { sending, published: outcome });
    }
  }

  close(): void {
    // What was just put is finished first: a close waits for its transactions.
    this.store?.close();
    this.store = undefined;
    this.claim?.release();
  }

  private restore(stored: StoredPublish): void {
    const { id, kind, reference, body, createdMs, number } = stored;
    let room = this.core.rooms.get(stored.conversation);
    if (!room) {
      room = this.core.roomOf(stored.conversation, stored.name, 'latest');
      this.enter(room);
    }
    const unsure = number !== 0;
    const entry: Entry = { id, kind, reference, body, createdMs, number, stored: number, slot: 'waiting', unsure };
    this.core.onRestored(id);
    this.track(room, entry);
    room.outbox.restore(entry);
  }

  /** Joins what the page before was in; that the application joins it too does no harm. */
  private enter(room: Room): void {
    const ask =
      room.name === ''
        ? ({ type: 'enter', write: (request: number) => write.open(request, room.id, 0) } as const)
        : ({ type: 'join', write: (request: number) => write.join(request, room.name) } as const);
    this.core.ask({ ...ask, conversation: room.id }, undefined, Number.POSITIVE_INFINITY).catch((error: unknown) => {
      if (error instanceof RingwireError) {
        this.core.emit('error', { error });
      }
    });
  }

  private track(room: Room, entry: Entry): Sending {
    const sending = new Sending(room.id, entry);
    room.sendings.set(entry.id, sending);
    return sending;
  }

  private trouble(cause: unknown): void {
    this.store?.close();
    this.store = undefined;
    if (this.told || this.core.ended) {
      return;
    }
    this.told = true;
    const full = cause instanceof Error && cause.name === 'QuotaExceededError';
    this.core.emit('storage', { kept: false, full, cause });
  }
}
