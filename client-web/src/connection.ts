// The life of the connection: when to make one, when to give it up, when to stop trying.
//
// ```text
//            start                    open               Welcome
//   idle ---------> connecting -------------> greeting -------> live
//                    ^      |                    |               |
//                 timer     '--------------------+-- trouble ----'
//                    '------- waiting <----------'------> ended   (a code that says: not again like this)
// ```
//
// `noToken` stands beside `waiting`: the token has expired, and the application is asked for a new one.
//
// Owner: one client. Absent: conversations and requests; it hands their frames on and says when all of them are undone.

import { reconnects, retryOf } from './codes.js';
import { RingwireError, ofFault, refusal } from './error.js';
import { ZERO } from './ids.js';
import * as limits from './limits.js';
import { Backoff, Heartbeat, between } from './pace.js';
import { Timers, now } from './timers.js';
import type { Link, Transport } from './transport.js';
import { split } from './wire/frame.js';
import { type ServerFrame, decode } from './wire/read.js';
import * as write from './wire/write.js';

/** Who the server says this client is. */
export type Welcome = Extract<ServerFrame, { type: 'welcome' }>;

/** Gives a token; called before the first connection and whenever the server wants a new one. */
export type TokenProvider = (signal: AbortSignal) => Promise<string>;

export interface ConnectionOptions {
  readonly url: string;
  readonly token: string | TokenProvider;
  readonly transport: Transport;
}

/** What the client does for its connection. */
export interface ConnectionOwner {
  hello(token: string): Uint8Array;
  onConnecting(attempt: number): void;
  onConnected(welcome: Welcome): void;
  /** A frame behind Welcome. */
  onFrame(frame: ServerFrame): void;
  /** Everything that hung on the connection is undone. */
  onDetached(): void;
  onDisconnected(error: RingwireError, retryInMs: number): void;
  onEnded(error: RingwireError): void;
  /** The server has taken a new token. */
  onRefreshed(): void;
}

type Phase = 'idle' | 'waiting' | 'noToken' | 'connecting' | 'greeting' | 'live' | 'ended';

export class Connection {
  phase: Phase = 'idle';
  bodyBytesMax = limits.BODY_BYTES_DEFAULT;
  publishWindow = limits.WINDOW_DEFAULT;
  private frameBytesMax = 64 * 1024;
  private link: Link | undefined;
  private generation = 0;
  private readonly timers = new Timers();
  private readonly backoff = new Backoff();
  private heartbeat: Heartbeat | undefined;
  private liveSince = 0;
  private pings = 0;
  private attempt = 0;
  private everLive = false;
  private peerFaults = 0;
  private token = '';
  private tokenWanted: AbortController | undefined;
  /** A token was given and has not been welcomed yet. */
  private tokenUnproven = false;
  private moving: { at: number; address: string } | undefined;
  /** What the server said before it closed. */
  private said: RingwireError | undefined;

  constructor(
    private readonly options: ConnectionOptions,
    private readonly owner: ConnectionOwner,
  ) {
    if (typeof options.token === 'string') {
      this.token = options.token;
    }
  }

  get isLive(): boolean {
    return this.phase === 'live';
  }

  /** Bytes that wait in the socket. */
  get waiting(): number {
    return this.link?.waiting ?? 0;
  }

  start(): void {
    if (this.phase !== 'idle') {
      return;
    }
    if (typeof this.options.token === 'function') {
      this.awaitToken();
    } else {
      this.connect();
    }
  }

  /** The network is back: what only waits for its time does so no longer. A server's word about when to come is kept. */
  hurry(): void {
    if (this.phase === 'waiting' && !this.moving && !this.said) {
      this.connect();
    } else if (this.phase === 'live') {
      this.beat();
    }
  }

  send(bytes: Uint8Array): void {
    this.link?.send(bytes);
    this.heartbeat?.said(now());
  }

  /** The same for what may be lost. */
  tell(bytes: Uint8Array): void {
    const { link } = this;
    link?.tell ? link.tell(bytes) : link?.send(bytes);
    this.heartbeat?.said(now());
  }

  /** Ends the client, for this reason. */
  end(error: RingwireError): void {
    if (this.phase === 'ended') {
      return;
    }
    this.drop(1000, 'done');
    this.timers.cancelAll();
    this.tokenWanted?.abort();
    this.phase = 'ended';
    this.owner.onEnded(error);
  }

  /** The server's bytes are not what they should be. */
  fault(trouble: unknown): void {
    const error = ofFault(trouble);
    this.peerFaults += 1;
    this.hangUp(error, error.code ?? 3505, 'the server broke the protocol');
  }

  /** Gives the connection up; another one is made unless the reason forbids it. */
  hangUp(error: RingwireError, code = 1000, reason = ''): void {
    if (this.phase === 'connecting' || this.phase === 'greeting' || this.phase === 'live') {
      const since = this.phase === 'live' ? this.liveSince : Number.POSITIVE_INFINITY;
      this.drop(code, reason);
      this.onGone(error, since);
    }
  }

  private connect(): void {
    this.timers.cancel('phase');
    const url = this.moving?.address || this.options.url;
    this.moving = undefined;
    this.said = undefined;
    this.phase = 'connecting';
    this.attempt += 1;
    this.owner.onConnecting(this.attempt);
    const generation = ++this.generation;
    const ours = (act: () => void) => {
      // A link that was given up tells nothing any more.
      if (generation === this.generation) {
        act();
      }
    };
    this.phaseTimer('connection', limits.CONNECT_TIMEOUT);
    try {
      this.link = this.options.transport(url, {
        onOpen: () => ours(() => this.onOpen()),
        onMessage: (bytes) => ours(() => this.onMessage(bytes)),
        onFault: (why) => ours(() => this.fault(new RingwireError('protocol', `the server broke the protocol: ${why}`, 3500))),
        onClosed: (code, reason) => ours(() => this.onClosed(code, reason)),
      });
    } catch (error) {
      // A URL that is none, or one that this page may not reach.
      this.end(new RingwireError('invalid', `${url}: ${String(error)}`));
    }
  }

  private phaseTimer(what: string, wait: number): void {
    this.timers.set('phase', now() + wait, () => {
      this.hangUp(new RingwireError('timeout', `no ${what} within ${wait / 1000} s`), 1000, `no ${what} in time`);
    });
  }

  private onOpen(): void {
    this.phase = 'greeting';
    this.phaseTimer('Welcome', limits.GREETING_TIMEOUT);
    this.send(this.owner.hello(this.token));
  }

  private onMessage(bytes: Uint8Array): void {
    const generation = this.generation;
    this.heartbeat?.heard(now());
    try {
      for (const frame of split(bytes, Math.max(this.frameBytesMax, limits.FRAME_BYTES_TAKEN))) {
        const decoded = decode(frame);
        if (decoded) {
          this.onFrame(decoded);
        }
        if (generation !== this.generation) {
          return;
        }
      }
    } catch (error) {
      this.fault(error);
    }
  }

  private onFrame(frame: ServerFrame): void {
    if (frame.type === 'goAway') {
      this.onGoAway(frame);
    } else if (frame.type === 'reject' && isLastWord(frame)) {
      // A browser that was told of a close says so only when the server has let go of the socket, seconds later.
      this.hangUp(refusal('closed', frame.code, frame.reason, frame.retryAfterMs), 1000, 'as the server asked');
    } else if (this.phase === 'greeting') {
      if (frame.type === 'welcome') {
        this.onWelcome(frame);
      } else {
        throw new RingwireError('protocol', 'a frame before Welcome', 3505);
      }
    } else if (frame.type === 'welcome') {
      throw new RingwireError('protocol', 'a second Welcome', 3505);
    } else if (frame.type === 'done' && frame.request === 0) {
      this.tokenUnproven = false;
      this.owner.onRefreshed();
    } else if (frame.type !== 'pong') {
      this.owner.onFrame(frame);
    }
  }

  private onWelcome(welcome: Welcome): void {
    this.timers.cancel('phase');
    this.phase = 'live';
    this.everLive = true;
    this.liveSince = now();
    this.tokenUnproven = false;
    this.frameBytesMax = Math.max(1024, welcome.frameBytesMax);
    this.bodyBytesMax = welcome.bodyBytesMax;
    this.publishWindow = Math.max(1, welcome.publishWindow);
    const asked = welcome.heartbeatMs || limits.HEARTBEAT_DEFAULT;
    const interval = Math.min(Math.max(asked, limits.HEARTBEAT_MIN), limits.HEARTBEAT_MAX);
    this.heartbeat = new Heartbeat(interval, now());
    this.beat();
    this.owner.onConnected(welcome);
  }

  private beat(): void {
    for (let beat = this.heartbeat?.check(now()); beat; beat = this.heartbeat?.check(now())) {
      if (beat.type === 'wait') {
        return this.timers.set('heartbeat', beat.until, () => this.beat());
      }
      if (beat.type === 'dead') {
        return this.hangUp(new RingwireError('network', 'the server is silent'), 1000, 'the server is silent');
      }
      this.send(write.ping(++this.pings));
    }
  }

  private onGoAway(frame: Extract<ServerFrame, { type: 'goAway' }>): void {
    const error = refusal('closed', frame.code, frame.reason);
    if (!reconnects(frame.code)) {
      return this.hangUp(error, 1000, 'as the server asked');
    }
    // The server asked for it: no sign of trouble, and it sets the pace.
    this.steady();
    const wait = Math.min(
      between(frame.notBeforeMs, frame.notBeforeMs + frame.jitterMs),
      limits.GO_AWAY_WAIT_MAX,
    );
    this.moving = { at: now() + wait, address: frame.address };
    this.said = error;
    this.timers.set('goAway', this.moving.at, () => this.hangUp(error, 1000, 'as the server asked'));
  }

  private onClosed(code: number, reason: string): void {
    const known = this.said && (code === 0 || this.said.code === code) ? this.said : undefined;
    const error =
      known ??
      (code === 0
        ? new RingwireError('network', reason || 'no connection to the server')
        : refusal('closed', code, reason));
    const since = this.phase === 'live' ? this.liveSince : Number.POSITIVE_INFINITY;
    this.link = undefined;
    this.onGone(error, since);
  }

  /** The connection is gone; decides what follows. */
  private onGone(error: RingwireError, liveSince: number): void {
    this.generation += 1;
    this.heartbeat = undefined;
    this.timers.cancelAll();
    this.phase = 'waiting';
    if (now() >= liveSince + limits.STABLE_AFTER) {
      this.steady();
    }
    this.owner.onDetached();
    const renewable = typeof this.options.token === 'function';
    if (error.code !== undefined && retryOf(error.code) === 'refresh' && renewable) {
      // One that is as useless as the one before it: ask for another, but do not hurry.
      const hurry = !this.tokenUnproven;
      this.tokenUnproven = false;
      if (hurry) {
        this.owner.onDisconnected(error, 0);
        return this.awaitToken();
      }
      this.wantToken();
    } else if (this.isTerminal(error)) {
      return this.end(error);
    }
    this.wait(error);
  }

  private isTerminal(error: RingwireError): boolean {
    if (error.kind === 'protocol') {
      return !this.everLive || this.peerFaults >= limits.PEER_FAULTS_MAX;
    }
    if (error.kind !== 'closed' || error.code === undefined) {
      return false;
    }
    return !reconnects(error.code) || retryOf(error.code) === 'refresh';
  }

  private wait(error: RingwireError): void {
    let wait = this.moving ? Math.max(0, this.moving.at - now()) : this.backoff.next();
    if (error.retryAfterMs) {
      const after = Math.min(error.retryAfterMs, limits.GO_AWAY_WAIT_MAX);
      wait = Math.max(wait, between(after, after * 1.25));
    }
    this.timers.set('phase', now() + wait, () => this.connect());
    this.owner.onDisconnected(error, wait);
  }

  private steady(): void {
    this.backoff.reset();
    this.attempt = 0;
    this.peerFaults = 0;
  }

  private awaitToken(): void {
    this.phase = 'noToken';
    this.wantToken();
  }

  /** Asks the application for a new token, once until it gives one. */
  wantToken(): void {
    const provider = this.options.token;
    if (typeof provider !== 'function' || this.tokenWanted || this.phase === 'ended') {
      return;
    }
    const wanted = new AbortController();
    this.tokenWanted = wanted;
    const late = setTimeout(() => {
      wanted.abort(new RingwireError('token', `no token within ${limits.TOKEN_TIMEOUT / 1000} s`));
    }, limits.TOKEN_TIMEOUT);
    const aborted = new Promise<never>((_, reject) => {
      wanted.signal.addEventListener('abort', () => reject(wanted.signal.reason as Error), { once: true });
    });
    // A provider that throws at once is one that fails.
    const given = Promise.resolve().then(() => provider(wanted.signal));
    Promise.race([given, aborted])
      .then(
        (token) => {
          this.onToken(token);
        },
        (error: unknown) => {
          this.tokenWanted = undefined;
          if (this.phase === 'noToken') {
            this.end(new RingwireError('token', `no token: ${error instanceof Error ? error.message : String(error)}`));
          }
        },
      )
      .finally(() => clearTimeout(late));
  }

  private onToken(token: string): void {
    this.tokenWanted = undefined;
    // The first one of all is as good as one that was given from the start.
    this.tokenUnproven = this.token !== '';
    this.token = token;
    if (this.phase === 'live') {
      this.send(write.refresh(token));
    } else if (this.phase === 'noToken') {
      this.connect();
    }
  }

  /** Lets the link go without waiting for its end. */
  private drop(code: number, reason: string): void {
    this.generation += 1;
    const link = this.link;
    this.link = undefined;
    this.heartbeat = undefined;
    link?.close(code, reason);
  }
}

/** A Reject that names nothing is about the connection, which is closed behind it (W-51). */
function isLastWord({ request, clientSequence, conversation }: Extract<ServerFrame, { type: 'reject' }>): boolean {
  return request === 0 && clientSequence === 0 && conversation === ZERO;
}
