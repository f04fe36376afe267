// The media of one server, for one user: requests with the token in them, and reading.

import type { TokenProvider } from '../connection.js';
import type { Id } from '../ids.js';
import { isObjectName } from './attachment.js';
import { MediaError, refused } from './error.js';
import { type Source, Upload, type UploadOptions, announce } from './upload.js';

export interface MediaOptions {
  /** As `https://chat.example/v1/media`. */
  readonly url: string;
  /** A token of the same user as the client's, or what gets one. */
  readonly token: string | TokenProvider;
}

/** How far a transfer is. */
export interface Progress {
  readonly bytes: number;
  readonly of: number;
}

export interface ReadOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
}

/** @internal What goes with a request. */
export interface Sent {
  readonly signal?: AbortSignal | undefined;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: ArrayBuffer;
}

/** A silent server is given up after so long. */
const SILENCE_MAX = 90_000;

export class Media {
  private readonly base: string;

  constructor(private readonly options: MediaOptions) {
    this.base = options.url.replace(/\/+$/, '');
  }

  /** Announces a file to a conversation. The server may refuse it by its size or type before a byte was sent. */
  async upload(conversation: Id, file: Source, options: UploadOptions): Promise<Upload> {
    return announce(this, conversation, file, options);
  }

  /** Reads an object of a conversation. The browser keeps it for a day, for this user. */
  async read(conversation: Id, media: string, { signal, onProgress }: ReadOptions = {}): Promise<Blob> {
    if (!isObjectName(media)) {
      throw new MediaError('invalid', `${JSON.stringify(media)} is no object's name`);
    }
    const response = await this.request('GET', `/${conversation}/${media}`, { signal });
    const type = response.headers.get('content-type') ?? '';
    if (!onProgress || !response.body) {
      return broken(signal, response.blob());
    }
    const of = Number(response.headers.get('content-length') ?? 0);
    const parts: Uint8Array<ArrayBuffer>[] = [];
    let bytes = 0;
    for (const reader = response.body.getReader(); ; ) {
      const { done, value } = await broken(signal, reader.read());
      if (done) {
        return new Blob(parts, { type });
      }
      parts.push(value);
      bytes += value.length;
      onProgress({ bytes, of });
    }
  }

  /** @internal Sends, and takes a refusal for an error. `path` is below the base, or one that the server named. */
  async request(method: string, path: string, sent: Sent): Promise<Response> {
    const { signal: ended, body = null } = sent;
    const signal = AbortSignal.any([AbortSignal.timeout(SILENCE_MAX), ...(ended ? [ended] : [])]);
    const headers = { ...sent.headers, authorization: `Bearer ${await this.token(signal)}` };
    const url = path.startsWith('/v1/') ? new URL(path, this.base).href : this.base + path;
    // A server that moves is told to the caller; a token is shown to nobody else.
    const answer = fetch(url, { method, headers, body, signal, redirect: 'error', credentials: 'omit' });
    const response = await broken(ended, answer);
    if (!response.ok) {
      throw await refused(response);
    }
    return response;
  }

  private async token(signal: AbortSignal): Promise<string> {
    const { token } = this.options;
    try {
      return typeof token === 'string' ? token : await token(signal);
    } catch (error) {
      throw new MediaError('token', `no token: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
}

/** What a browser says where a transfer broke tells nothing; that the caller ended it does. */
function broken<T>(signal: AbortSignal | undefined, work: Promise<T>): Promise<T> {
  return work.catch((error: unknown) => {
    signal?.throwIfAborted();
    throw new MediaError('network', `no connection to the media: ${error instanceof Error ? error.message : String(error)}`);
  });
}
