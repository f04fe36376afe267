// An upload (tus 1.0.0): announced, sent in pieces that grow with the connection, resumed wherever it broke.

import type { Id } from '../ids.js';
import { RETRY_MAX } from '../limits.js';
import { Backoff } from '../pace.js';
import { now } from '../timers.js';
import { type Attachment, fileName, isObjectName } from './attachment.js';
import { MediaError } from './error.js';
import type { Media, Progress } from './media.js';

/** The smallest piece, and the largest; a fast connection gets there after five. */
const PIECE_BYTES_MIN = 256 * 1024;
const PIECE_BYTES_MAX = 8 * 1024 * 1024;
/** A piece that takes less time may be followed by a larger one, one that takes more by a smaller one. */
const PIECE_SHORT = 1_000;
const PIECE_LONG = 5_000;
/** Tries in a row without any progress after which a transfer is given up; it can be resumed later. */
const TRIES = 8;

/** What is uploaded: a `File`, or any other `Blob` with a name in the options. */
export type Source = Blob & { readonly name?: string };

export interface TransferOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
}

export interface UploadOptions {
  /** Without a path; the file's own by default. */
  readonly name?: string;
  /** As `image/png`; the file's own by default. */
  readonly type?: string;
  readonly signal?: AbortSignal;
}

export async function announce(media: Media, conversation: Id, file: Source, options: UploadOptions): Promise<Upload> {
  const name = fileName(options.name ?? file.name ?? '');
  const type = options.type ?? (file.type || 'application/octet-stream');
  const metadata = Object.entries({ 'conversation-id': conversation, filename: name, filetype: type });
  const response = await media.request('POST', '/uploads', {
    signal: options.signal,
    headers: {
      'tus-resumable': '1.0.0',
      'upload-length': String(file.size),
      'upload-metadata': metadata.map(([key, value]) => `${key} ${base64(new TextEncoder().encode(value))}`).join(),
    },
  });
  const location = response.headers.get('location');
  if (!location) {
    throw new MediaError('protocol', 'a new upload has no location');
  }
  // The server says a path; where a proxy made a URL of it, its path.
  return new Upload(media, new URL(location, 'http://any').pathname, file, { type, name });
}

/** An upload under way. Left alone, it can be finished later, until the server gives it up. */
export class Upload {
  private offset = 0;
  private piece = PIECE_BYTES_MIN;
  /** Whether the server has said where it stands since something failed. */
  private certain = true;

  /** @internal */
  constructor(
    private readonly media: Media,
    private readonly location: string,
    private readonly file: Source,
    private readonly about: { readonly type: string; readonly name: string },
  ) {}

  /** Sends what is missing and waits until the server has stored it. What breaks is taken up again; where nothing moves for
   *  several tries in a row it is given up, and may be called again. The signal ends it the same way; see {@link cancel}. */
  async finish({ signal, onProgress }: TransferOptions = {}): Promise<Attachment> {
    const of = this.file.size;
    let backoff = new Backoff();
    for (let failed = 0; ; ) {
      onProgress?.({ bytes: this.offset, of });
      const before = this.offset;
      try {
        const answer = await (this.certain && before < of ? this.sendPiece(signal) : this.askOffset(signal));
        this.certain = true;
        if (this.offset === of) {
          onProgress?.({ bytes: of, of });
          return this.stored(answer);
        }
        if (this.offset > before) {
          failed = 0;
          backoff = new Backoff();
        }
      } catch (error) {
        signal?.throwIfAborted();
        this.certain = false;
        failed += 1;
        if (!(error instanceof MediaError) || !error.retryable || failed >= TRIES) {
          throw error;
        }
        await rest(Math.max(backoff.next(), Math.min(error.retryAfterMs ?? 0, RETRY_MAX)), signal);
      }
    }
  }

  /** Gives it up on the server, too. Never fails: what is not told now the server forgets by itself. */
  async cancel(): Promise<void> {
    await this.media.request('DELETE', this.location, { headers: { 'tus-resumable': '1.0.0' } }).catch(() => {});
  }

  private async sendPiece(signal: AbortSignal | undefined): Promise<Response> {
    const { offset, piece, file } = this;
    const body = await bytesOf(file.slice(offset, offset + piece));
    const checksum = await digest(body);
    const began = now();
    try {
      const response = await this.media.request('PATCH', this.location, {
        signal,
        body,
        headers: {
          'tus-resumable': '1.0.0',
          'upload-offset': String(offset),
          'content-type': 'application/offset+octet-stream',
          ...(checksum && { 'upload-checksum': `sha256 ${checksum}` }),
        },
      });
      const took = now() - began;
      this.piece = took < PIECE_SHORT ? piece * 2 : took > PIECE_LONG ? piece / 2 : piece;
      return this.take(response);
    } catch (error) {
      this.piece = piece / 2;
      throw error;
    } finally {
      this.piece = Math.min(Math.max(Math.ceil(this.piece), PIECE_BYTES_MIN), PIECE_BYTES_MAX);
    }
  }

  private async askOffset(signal: AbortSignal | undefined): Promise<Response> {
    return this.take(await this.media.request('HEAD', this.location, { signal, headers: { 'tus-resumable': '1.0.0' } }));
  }

  private take(response: Response): Response {
    const offset = Number(response.headers.get('upload-offset') ?? Number.NaN);
    if (!Number.isSafeInteger(offset) || offset < 0 || offset > this.file.size) {
      throw new MediaError('protocol', 'an upload has no offset, or an impossible one');
    }
    this.offset = offset;
    return response;
  }

  private stored(response: Response): Attachment {
    const media = response.headers.get('ringwire-media');
    if (!isObjectName(media)) {
      throw new MediaError('protocol', 'an upload is whole and has not become an object');
    }
    return { media, type: this.about.type, bytes: this.file.size, name: this.about.name };
  }
}

/** A file that was changed or taken away since it was chosen cannot be read any more. */
async function bytesOf(part: Blob): Promise<ArrayBuffer> {
  try {
    return await part.arrayBuffer();
  } catch {
    throw new MediaError('invalid', 'the file cannot be read any more; choose it again', 0, 'unreadable');
  }
}

/** Pages that were not served safely are lent no digests: then the connection's own checksum has to do. */
async function digest(bytes: ArrayBuffer): Promise<string | undefined> {
  const { subtle } = globalThis.crypto;
  return subtle && base64(new Uint8Array(await subtle.digest('SHA-256', bytes)));
}

function base64(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes));
}

function rest(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener('abort', () => (clearTimeout(timer), reject(signal.reason as Error)), { once: true });
  });
}
