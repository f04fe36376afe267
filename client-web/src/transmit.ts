// What goes to the server, in which order: requests first, then what the conversations have, in turn. Nothing is encoded
// before the socket has room: until then wishes wait as wishes, in bounded places.

import type { Core } from './core.js';
import { RingwireError } from './error.js';
import * as limits from './limits.js';
import type { Room } from './room.js';
import { now } from './timers.js';
import * as write from './wire/write.js';

/** Sends everything that is due. Called whenever something may be; sending nothing costs nothing. */
export function transmit(core: Core): void {
  while (core.connection.isLive) {
    if (core.connection.waiting > limits.SOCKET_BYTES_MAX) {
      return core.timers.set('socket', now() + limits.SOCKET_PAUSE, () => core.pump());
    }
    const batch = new Batch();
    writeRequests(core, batch);
    for (const room of core.rooms.values()) {
      if (batch.full) {
        break;
      }
      if (room.attached) {
        writeRoom(core, room, batch);
      }
    }
    if (batch.bytes === 0) {
      return;
    }
    core.connection.send(batch.join());
  }
}

/** Frames that leave as one message. */
class Batch {
  bytes = 0;
  private readonly frames: Uint8Array[] = [];

  get full(): boolean {
    return this.bytes >= limits.BATCH_BYTES_MAX;
  }

  push(frame: Uint8Array): void {
    this.frames.push(frame);
    this.bytes += frame.length;
  }

  /** Whether so many more belong into this message; one that is larger than a batch goes alone. */
  fits(bytes: number): boolean {
    return this.bytes === 0 || this.bytes + bytes + 128 <= limits.BATCH_BYTES_MAX;
  }

  join(): Uint8Array {
    const joined = new Uint8Array(this.bytes);
    let at = 0;
    for (const frame of this.frames) {
      joined.set(frame, at);
      at += frame.length;
    }
    return joined;
  }
}

function writeRequests(core: Core, batch: Batch): void {
  for (const request of core.requests.unsent()) {
    if (batch.full) {
      return;
    }
    const room = request.ask.conversation && core.rooms.get(request.ask.conversation);
    // What was published before leaving is to arrive before.
    if (request.ask.type === 'leave' && room && room.outbox.entries.length > 0) {
      continue;
    }
    const frame = request.ask.write(request.number);
    if (!batch.fits(frame.length)) {
      return;
    }
    request.sent = true;
    batch.push(frame);
  }
}

function writeRoom(core: Core, room: Room, batch: Batch): void {
  const time = now();
  // Who leaves has no cursors any more.
  if (room.standing === 'member') {
    const read = room.cursors.takeRead();
    if (read !== undefined) {
      batch.push(write.read(room.id, read));
    }
    const delivered = room.cursors.takeDelivered(time);
    if (delivered !== undefined) {
      batch.push(write.delivered(room.id, delivered));
    }
  }
  const typing = room.takeTyping(time);
  if (typing !== undefined) {
    core.connection.tell(write.typing(room.id, typing));
  }
  while (time >= room.notBefore && core.inFlight < core.connection.publishWindow) {
    const entry = room.outbox.peek(limits.FLIGHT_MAX);
    if (!entry || !batch.fits(entry.body.length)) {
      return;
    }
    const { kind, reference, body, number } = entry;
    batch.push(
      write.publish({ conversation: room.id, clientSequence: number, reference, kind, durability: 0, body }),
    );
    if (room.outbox.inFlight === 0) {
      room.answeredAt = time;
      watch(core, room);
    }
    room.outbox.sent();
    core.inFlight += 1;
  }
}

/** Publishes in flight that have waited too long for any answer: the server is stuck, although it still sends. */
function watch(core: Core, room: Room): void {
  const late = room.answeredAt + limits.PUBLISH_ANSWER_TIMEOUT;
  core.timers.set(`outbox ${room.id}`, late, () => {
    if (room.outbox.inFlight === 0) {
      return core.pump();
    }
    if (now() < room.answeredAt + limits.PUBLISH_ANSWER_TIMEOUT) {
      return watch(core, room);
    }
    const seconds = limits.PUBLISH_ANSWER_TIMEOUT / 1000;
    core.connection.hangUp(new RingwireError('timeout', `no answer to a publish within ${seconds} s`));
  });
}
