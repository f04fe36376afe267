// What the server refuses: for good, for now, or until older things are resent.

import { retryOf } from './codes.js';
import type { Core } from './core.js';
import { RingwireError, refusal } from './error.js';
import { ZERO } from './ids.js';
import * as limits from './limits.js';
import { pause } from './pace.js';
import type { Request } from './requests.js';
import type { Room } from './room.js';
import { now } from './timers.js';
import type { ServerFrame } from './wire/read.js';
import * as write from './wire/write.js';

export function onReject(core: Core, reject: Extract<ServerFrame, { type: 'reject' }>): void {
  const error = refusal('rejected', reject.code, reject.reason, reject.retryAfterMs);
  const room = core.rooms.get(reject.conversation);
  if (reject.request !== 0) {
    const request = core.requests.get(reject.request);
    return request && onRequestRefused(core, request, error);
  }
  if (reject.clientSequence !== 0) {
    return room && onPublishRefused(core, room, reject.clientSequence, error);
  }
  return room && onCursorRefused(core, room, error);
}

function onPublishRefused(core: Core, room: Room, number: number, error: RingwireError): void {
  const retry = retryOf(error.code!);
  const renewable = typeof core.options.token === 'function';
  let later = 0;
  if (retry === 'refresh' && renewable) {
    core.connection.wantToken();
    later = limits.TOKEN_TIMEOUT;
  } else if (retry !== 'never' && error.codeName !== 'sequence_gap') {
    if (room.refusals === 0) {
      // It is tried again without the caller; but who shows the state of things should know.
      core.emit('error', { error });
    }
    later = core.pause(room, error.retryAfterMs ?? 0);
  }
  const final = retry === 'never' || (retry === 'refresh' && !renewable);
  const before = room.outbox.inFlight;
  const resend = error.codeName === 'sequence_gap';
  const ended = room.outbox.onReject(
    number,
    final ? { type: 'final' } : resend ? { type: 'resend' } : { type: 'later', at: now() + later },
  );
  core.inFlight -= before - room.outbox.inFlight;
  room.answeredAt = now();
  if (ended) {
    core.keeper.settle(room, ended, error);
  }
  core.land(room);
}

function onRequestRefused(core: Core, request: Request, error: RingwireError): void {
  const room = core.rooms.get(request.ask.conversation ?? ZERO);
  const gone = error.codeName === 'not_a_member' || error.codeName === 'no_such_conversation';
  if (request.ask.type === 'leave' && gone && room) {
    // An earlier sending of it was carried out, or somebody else was faster: it is what was wanted.
    core.takeAnswer(request.number);
    core.forget(room, error);
    return request.resolve(0);
  }
  if (request.ask.type === 'create' && error.codeName === 'conversation_exists' && request.again && room) {
    // An earlier sending of it may have made it. If so, this user is in it; else that will be said.
    request.ask = { ...request.ask, type: 'enter', write: (number) => write.open(number, room.id, 0) };
    request.again = request.sent = false;
    return core.pump();
  }
  const retry = retryOf(error.code!);
  if (retry === 'refresh') {
    core.connection.wantToken();
  }
  const again = retry !== 'never' && (retry !== 'refresh' || typeof core.options.token === 'function');
  const at = now() + pause(request.refusals, error.retryAfterMs ?? 0);
  request.refusals += 1;
  if (!again || !request.called || at >= request.deadline) {
    return core.fail(request, error);
  }
  request.resting = true;
  core.timers.set(`again ${request.number}`, at, () => {
    request.resting = request.sent = false;
    core.pump();
  });
}

function onCursorRefused(core: Core, room: Room, error: RingwireError): void {
  if (error.codeName === 'cursor_beyond_head' || error.codeName === 'not_enabled') {
    // About what was said of the conversation (read, delivered, typing), not about being in it.
    return core.emit('error', { error });
  }
  if (!error.retryable) {
    return core.endRoom(room, error);
  }
  if (!room.attached) {
    core.timers.set(`attach ${room.id}`, now() + core.pause(room, error.retryAfterMs ?? 0), () => core.open(room));
  }
}

/** A request has failed: what that means for the conversation it was about. */
export function onRequestOver(core: Core, request: Request, error: Error): void {
  const room = core.rooms.get(request.ask.conversation ?? ZERO);
  if (!room) {
    return;
  }
  const refused = error instanceof RingwireError && error.kind === 'rejected' && !error.retryable;
  switch (request.ask.type) {
    case 'join':
    case 'enter':
    case 'create':
      // What a page before this one left unacknowledged waits for better times, not for this call.
      if (room.standing === 'joining' && (refused || room.outbox.entries.length === 0)) {
        core.forget(room, error);
      }
      return;
    case 'leave':
      room.standing = 'member';
      return;
    case 'open':
      room.opening = false;
      if (room.attached && !room.outbox.resync) {
        return; // It stays one that is fetched.
      }
      if (refused) {
        return core.endRoom(room, error as RingwireError);
      }
      return core.timers.set(`attach ${room.id}`, now() + core.pause(room, 0), () => core.open(room));
    case 'fill':
      return refused ? core.endRoom(room, error as RingwireError) : core.filler.onFailed(room, error);
    default:
  }
}
