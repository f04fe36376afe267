// What a client does about an error code (W-50). The table of docs/wire.md in short; a test compares.

/** What is worth trying. */
export type Retry = 'never' | 'now' | 'later' | 'refresh' | 'resend';

const NAMES: Record<number, string> = {
  1000: 'normal',
  1001: 'going_away_ws',
  1002: 'websocket_protocol',
  1003: 'websocket_unsupported',
  1007: 'websocket_invalid_text',
  1009: 'websocket_too_big',
  1011: 'websocket_internal',
  3000: 'going_away',
  3001: 'shutting_down',
  3002: 'overloaded',
  3003: 'internal',
  3004: 'storage_full',
  3005: 'storage_failed',
  3006: 'engine_unavailable',
  3007: 'owner_moved',
  3008: 'history_unavailable',
  3009: 'keys_unavailable',
  3100: 'rate_limited',
  3101: 'too_many_connections',
  3102: 'window_exceeded',
  3103: 'slow_consumer',
  3104: 'idle_timeout',
  3105: 'handshake_timeout',
  3200: 'sequence_gap',
  3300: 'token_expired',
  3301: 'token_not_yet_valid',
  3500: 'bad_frame',
  3501: 'frame_too_large',
  3502: 'unknown_type',
  3503: 'invalid_body',
  3504: 'unsupported_version',
  3505: 'unexpected_frame',
  3506: 'bad_value',
  3507: 'text_message',
  3508: 'too_many_cursors',
  3509: 'token_too_long',
  3550: 'token_invalid',
  3551: 'token_missing',
  3552: 'user_changed',
  3553: 'origin_forbidden',
  3554: 'replaced',
  3555: 'kicked',
  3556: 'user_blocked',
  3600: 'not_a_member',
  3601: 'forbidden',
  3602: 'no_such_conversation',
  3603: 'no_such_user',
  3604: 'creation_forbidden',
  3605: 'conversation_closed',
  3606: 'last_owner',
  3607: 'name_invalid',
  3608: 'name_too_long',
  3609: 'body_too_large',
  3610: 'bad_reference',
  3611: 'kind_forbidden',
  3612: 'durability_forbidden',
  3613: 'too_many_conversations',
  3614: 'too_many_members',
  3615: 'too_many_open',
  3616: 'too_many_watched',
  3617: 'not_enabled',
  3618: 'conversation_exists',
  3619: 'cursor_beyond_head',
  3620: 'push_token_invalid',
  3621: 'too_many_registrations',
  3622: 'direct_fixed',
};

/** Those that are not what their range says: later below 3500, never from there on. */
const RETRIES: Record<number, Retry> = {
  1001: 'later',
  1011: 'later',
  3007: 'now',
  3102: 'resend',
  3103: 'now',
  3104: 'now',
  3200: 'resend',
  3300: 'refresh',
};

export function codeName(code: number): string {
  return NAMES[code] ?? 'unknown';
}

/** Whether to connect again by itself after a close with this code. */
export function reconnects(code: number): boolean {
  return code === 1001 || code === 1006 || (code >= 1011 && code <= 1014) || (code >= 3000 && code <= 3499);
}

export function retryOf(code: number): Retry {
  return RETRIES[code] ?? (reconnects(code) ? 'later' : 'never');
}

export const CODES_KNOWN: readonly number[] = Object.keys(NAMES).map(Number);
