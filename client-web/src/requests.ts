// Requests that wait for their answer: what was asked, until when, and whether it was sent on this connection.
//
// A request of the caller survives reconnects: it is sent again, under the same number, until it is answered or its time is
// over; all of them may be carried out twice without harm. What the client asks for itself is forgotten with the
// connection, because the next one begins by saying where everything stands.

import type { Id } from './ids.js';

/** What was asked; decides which answers fit, and what a failure means. */
export type AskType =
  | 'join'
  | 'enter'
  | 'create'
  | 'direct'
  | 'leave'
  | 'close'
  | 'open'
  | 'fill'
  | 'history'
  | 'members'
  | 'plain';

export interface Ask {
  readonly type: AskType;
  readonly conversation?: Id;
  /** What came next when it was asked for; of `fill` only. */
  readonly from?: number;
  write(request: number): Uint8Array;
}

export interface Request {
  readonly number: number;
  ask: Ask;
  readonly deadline: number;
  /** Whether a call waits for the answer; else the client asked for itself. */
  readonly called: boolean;
  refusals: number;
  /** It was sent on a connection that broke before the answer: it may have been carried out. */
  again: boolean;
  sent: boolean;
  /** It waits for its time, after a "later" of the server. */
  resting: boolean;
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

export class Requests {
  private readonly pending = new Map<number, Request>();
  private last = 0;

  get size(): number {
    return this.pending.size;
  }

  push(request: Omit<Request, 'number'>): Request {
    do {
      this.last = this.last >= 0xffff_ffff ? 1 : this.last + 1;
    } while (this.pending.has(this.last));
    const numbered = { ...request, number: this.last };
    this.pending.set(this.last, numbered);
    return numbered;
  }

  get(number: number): Request | undefined {
    return this.pending.get(number);
  }

  remove(number: number): Request | undefined {
    const request = this.pending.get(number);
    this.pending.delete(number);
    return request;
  }

  /** Those to send on this connection, oldest first. */
  *unsent(): Generator<Request> {
    for (const request of this.pending.values()) {
      if (!request.sent && !request.resting) {
        yield request;
      }
    }
  }

  about(conversation: Id): Request[] {
    return [...this.pending.values()].filter((request) => request.ask.conversation === conversation);
  }

  all(): Request[] {
    return [...this.pending.values()];
  }

  /** The connection is gone: the client's own requests go with it, and are returned. */
  onDisconnected(): Request[] {
    const own = this.all().filter((request) => !request.called);
    for (const request of own) {
      this.pending.delete(request.number);
    }
    for (const request of this.pending.values()) {
      request.again ||= request.sent;
      request.sent = false;
      request.resting = false;
    }
    return own;
  }
}
