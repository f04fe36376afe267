// What can go wrong, as one type: what happened, whether trying again helps, and when.

import { codeName, retryOf } from './codes.js';
import { Fault } from './wire/fault.js';

/** What kind of trouble it is:
 *  - `rejected`: the server refused a request or a publish; `code` says why;
 *  - `closed`: the server closed the connection; `code` says why;
 *  - `network`: no connection could be made, or it broke;
 *  - `timeout`: no answer in time;
 *  - `protocol`: the server sent what is not this protocol;
 *  - `token`: no valid token is to be had;
 *  - `full`: the outbox has no room for this publish;
 *  - `invalid`: the call itself is wrong;
 *  - `not_joined`: the conversation is not (or no more) joined;
 *  - `device_shared`: another client uses this device's id, and the fate of a publish cannot be known;
 *  - `shut_down`: the client was closed. */
export type ErrorKind =
  | 'rejected'
  | 'closed'
  | 'network'
  | 'timeout'
  | 'protocol'
  | 'token'
  | 'full'
  | 'invalid'
  | 'not_joined'
  | 'device_shared'
  | 'shut_down';

/** Every error of this library. */
export class RingwireError extends Error {
  /** The protocol's code, where the server gave one. */
  readonly code: number | undefined;
  /** Its name in docs/wire.md. */
  readonly codeName: string | undefined;
  /** The server's word about when to try again. */
  readonly retryAfterMs: number | undefined;

  constructor(
    readonly kind: ErrorKind,
    message: string,
    code?: number,
    retryAfterMs?: number,
  ) {
    super(message);
    this.name = 'RingwireError';
    this.code = code;
    this.codeName = code === undefined ? undefined : codeName(code);
    this.retryAfterMs = retryAfterMs || undefined;
  }

  /** Whether the same may succeed later. */
  get retryable(): boolean {
    if (this.code !== undefined && this.kind !== 'protocol') {
      return retryOf(this.code) !== 'never';
    }
    return ['network', 'timeout', 'full', 'token'].includes(this.kind);
  }
}

/** What the server said about a request, a publish or the connection. */
export function refusal(
  kind: 'rejected' | 'closed',
  code: number,
  reason: string,
  retryAfterMs?: number,
): RingwireError {
  const name = codeName(code);
  const what = kind === 'rejected' ? 'the server refused' : 'the server closed the connection';
  return new RingwireError(kind, `${what}: ${reason || name.replaceAll('_', ' ')} (${code} ${name})`, code, retryAfterMs);
}

/** A peer's fault, as an error of this library. */
export function ofFault(fault: unknown): RingwireError {
  if (fault instanceof Fault) {
    return new RingwireError('protocol', `the server broke the protocol: ${fault.message}`, fault.code);
  }
  if (fault instanceof RingwireError) {
    return fault;
  }
  return new RingwireError('protocol', `the server broke the protocol: ${String(fault)}`);
}
