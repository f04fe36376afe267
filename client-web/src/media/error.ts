// What can go wrong with a transfer.

import { type ErrorKind, RingwireError } from '../error.js';

/** Words of the server after which the same request may succeed. */
const AGAIN: readonly string[] = ['superseded', 'wrong_offset', 'broken', 'checksum_mismatch'];
const AGAIN_STATUS: readonly number[] = [408, 423, 429, 500, 502, 503, 504];

/** Every error of a transfer. `kind` is `rejected` where the server refused (`problem` says why, for programs), `network`,
 *  `protocol` where what answered does not speak this, or `invalid`. */
export class MediaError extends RingwireError {
  constructor(
    kind: ErrorKind,
    message: string,
    /** The HTTP status; 0: there was no answer. */
    readonly status = 0,
    /** The server's word for programs, as `too_large`. */
    readonly problem = '',
    retryAfterMs?: number,
  ) {
    super(kind, message, undefined, retryAfterMs);
    this.name = 'MediaError';
  }

  override get retryable(): boolean {
    return this.kind === 'network' || AGAIN_STATUS.includes(this.status) || AGAIN.includes(this.problem);
  }
}

/** Longest refusal that is read. */
const PROBLEM_CHARACTERS_MAX = 16 * 1024;

/** What the server said (RFC 9457). */
export async function refused(response: Response): Promise<MediaError> {
  let said: { code?: unknown; detail?: unknown } | null = {};
  try {
    const text = await response.text();
    said = text.length <= PROBLEM_CHARACTERS_MAX ? (JSON.parse(text) as typeof said) : {};
  } catch {
    // Something else than the server answered, or nothing: the status has to do.
  }
  const { status } = response;
  const code = typeof said?.code === 'string' ? said.code : '';
  const detail = typeof said?.detail === 'string' ? said.detail : `HTTP ${status}`;
  const seconds = Number(response.headers.get('retry-after') ?? 0);
  const retryAfterMs = seconds > 0 ? seconds * 1000 : undefined;
  return new MediaError('rejected', code ? `the server refused: ${detail} (${code})` : `refused: ${detail}`, status, code, retryAfterMs);
}
