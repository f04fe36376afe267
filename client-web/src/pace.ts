// When to try again, and whether the other side is still there.

import { BACKOFF_MAX, BACKOFF_MIN, RETRY_MAX, RETRY_MIN } from './limits.js';

/** Drawn from the whole range: waits that are only doubled keep a server's clients in step when it restarts. */
export function between(low: number, high: number): number {
  return low + Math.random() * Math.max(0, high - low);
}

/** Full jitter under a bound that doubles. */
export class Backoff {
  private attempt = 0;

  next(): number {
    this.attempt = Math.min(this.attempt + 1, 20);
    return between(BACKOFF_MIN, Math.min(BACKOFF_MIN * 2 ** this.attempt, BACKOFF_MAX));
  }

  /** The connection was stable. */
  reset(): void {
    this.attempt = 0;
  }
}

/** How long to wait with what the server refused for the nth time: at least what it said, not all clients at once. */
export function pause(refusals: number, atLeastMs: number): number {
  const atLeast = Math.min(atLeastMs, RETRY_MAX);
  const backoff = Math.min(RETRY_MIN * 2 ** Math.min(refusals, 10), RETRY_MAX / 2);
  const low = Math.max(atLeast, backoff / 2);
  return between(low, low + backoff / 2 + atLeast / 4);
}

export type Beat = { readonly type: 'ping' | 'dead' } | { readonly type: 'wait'; readonly until: number };

/** The heartbeat of one live connection (W-23). Any frame counts, in both directions. A computer that slept asks before it
 *  judges. */
export class Heartbeat {
  private heardAt: number;
  private saidAt: number;
  private askedAt: number | undefined;

  constructor(
    private readonly interval: number,
    now: number,
  ) {
    this.heardAt = now;
    this.saidAt = now;
  }

  heard(now: number): void {
    this.heardAt = now;
    this.askedAt = undefined;
  }

  said(now: number): void {
    this.saidAt = now;
  }

  /** A ping counts as sent and as asked. */
  check(now: number): Beat {
    const dead =
      this.askedAt === undefined
        ? Number.POSITIVE_INFINITY
        : Math.max(this.heardAt + this.interval * 2.25, this.askedAt + this.interval);
    if (now >= dead) {
      return { type: 'dead' };
    }
    // A quarter is left for the way to the server, whose patience is the heartbeat that it has named.
    const say = this.saidAt + this.interval * 0.75;
    const ask = this.heardAt + this.interval;
    if (now >= say || (now >= ask && this.askedAt === undefined)) {
      this.saidAt = now;
      this.askedAt ??= now;
      return { type: 'ping' };
    }
    return { type: 'wait', until: Math.min(say, this.askedAt === undefined ? ask : dead) };
  }
}
