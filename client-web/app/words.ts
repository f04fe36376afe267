// Trouble, times and sizes in words that a person understands.

import { RingwireError } from '../src/index.js';
import { MediaError } from '../src/media/index.js';

const ERRORS: Record<string, string> = {
  token_expired: 'Your sign-in has expired. Please sign in again.',
  token_invalid: 'The server does not accept this sign-in.',
  token_missing: 'This server wants a token.',
  replaced: 'This chat was opened in another window, which has taken over.',
  kicked: 'You were signed out by the server.',
  user_blocked: 'You may not use this server.',
  origin_forbidden: 'This page may not connect to the server.',
  not_a_member: 'You are not a member of this conversation.',
  forbidden: 'You may not do that here.',
  no_such_conversation: 'There is no such conversation.',
  no_such_user: 'There is nobody of that name.',
  creation_forbidden: 'You may not start a conversation of that name.',
  conversation_closed: 'This conversation takes no more messages.',
  name_invalid: 'That name is empty or has characters that cannot be shown.',
  name_too_long: 'That name is too long.',
  bad_reference: 'That message cannot be changed any more.',
  storage_full: 'The server has no room left for messages.',
  rate_limited: 'That was too fast. Please wait a moment.',
  unsupported_version: 'This page is older than the server. Please reload it.',
};

/** What a server says about files, by its word for it. */
const TRANSFERS: Record<string, string> = {
  ...ERRORS,
  too_large: 'That file is larger than this server takes.',
  type_not_allowed: 'This server does not take files of that kind.',
  type_mismatch: 'That file is not what its name says it is.',
  disk_full: 'The server has no room left for files.',
  store_full: 'The server has no room left for files.',
  spool_full: 'The server has no room for more files at the moment.',
  store_unavailable: 'The server cannot reach its store of files at the moment.',
  too_many_uploads: 'You are sending too many files at once. Please wait until some of them are through.',
  too_many_transfers: 'You are sending too many files at once. Please wait until some of them are through.',
  no_such_upload: 'That took too long, and the server gave it up.',
  upload_expired: 'That took too long, and the server gave it up.',
  no_such_object: 'This file is not there any more.',
  unreadable: 'The file cannot be read any more. Please choose it again.',
};

/** What happened, for a person. */
export function explain(error: unknown): string {
  if (!(error instanceof RingwireError)) {
    return error instanceof Error ? error.message : String(error);
  }
  const transfer = error instanceof MediaError ? TRANSFERS[error.problem] : undefined;
  if (transfer) {
    return transfer;
  }
  if (error.code === 3609) {
    return 'That message is too long.';
  }
  if (error.codeName && ERRORS[error.codeName]) {
    return ERRORS[error.codeName]!;
  }
  switch (error.kind) {
    case 'network':
      return 'The server cannot be reached.';
    case 'timeout':
      return 'The server did not answer in time.';
    case 'full':
      return 'Too many messages wait for the server. Please wait until it is back.';
    case 'protocol':
      return 'The server says something that this page does not understand.';
    case 'not_joined':
      return 'You are not in this conversation any more.';
    default:
      return error.message;
  }
}

export function size(bytes: number): string {
  return bytes >= 1_000_000 ? `${(bytes / 1_000_000).toFixed(1)} MB` : `${Math.ceil(bytes / 1_000)} KB`;
}

const TIME = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const DAY = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' });
const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'short' });

export function time(ms: number): string {
  return TIME.format(ms);
}

export function fullTime(ms: number): string {
  return FULL.format(ms);
}

/** Days as people say them. */
export function day(ms: number, now = Date.now()): string {
  const start = new Date(now).setHours(0, 0, 0, 0);
  if (ms >= start) {
    return 'Today';
  }
  return ms >= start - 86_400_000 ? 'Yesterday' : DAY.format(ms);
}

export function sameDay(first: number, second: number): boolean {
  return new Date(first).toDateString() === new Date(second).toDateString();
}

/** Who types, in a sentence. */
export function typing(names: readonly string[]): string {
  if (names.length === 0) {
    return '';
  }
  if (names.length > 2) {
    return 'Several people are typing…';
  }
  return `${names.join(' and ')} ${names.length === 1 ? 'is' : 'are'} typing…`;
}
