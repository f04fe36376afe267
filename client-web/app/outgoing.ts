// A file on its way into a conversation: uploaded, then published as a message that refers to it.
//
// ```text
//   sending --> published (the message takes its place)
//      |  ^
//      v  '-- try again
//   failed --> discarded
// ```
//
// It lives as long as the page: a file cannot be kept over a reload as text is.

import { type Conversation, Kind, RingwireError, type Sending } from '../src/index.js';
import { type Media, type Upload, attachmentBody } from '../src/media/index.js';

/** A file that somebody has chosen, and what they say about it. */
export interface Chosen {
  readonly file: File;
  /** Of an image that this browser can show. */
  readonly size: { readonly width: number; readonly height: number } | undefined;
  /** For who cannot see it. */
  readonly alt: string;
  readonly caption: string;
}

let made = 0;

export class Outgoing {
  readonly id = ++made;
  /** Shown while it is on its way. */
  readonly preview: string | undefined;
  error: RingwireError | undefined;
  /** Of one. */
  share = 0;
  /** Who draws the progress. */
  moved: () => void = () => {};
  private upload: Upload | undefined;
  private running = new AbortController();

  constructor(
    readonly chosen: Chosen,
    private readonly media: Media,
    private readonly conversation: Conversation,
    private readonly events: { changed(): void; published(sending: Sending, name: string): void },
  ) {
    this.preview = chosen.size && URL.createObjectURL(chosen.file);
  }

  /** Begins, or goes on where it broke. */
  async send(): Promise<void> {
    this.error = undefined;
    this.running = new AbortController();
    const { signal } = this.running;
    this.events.changed();
    try {
      const { file, size, alt, caption } = this.chosen;
      this.upload ??= await this.media.upload(this.conversation.id, file, { signal });
      const onProgress = ({ bytes, of }: { bytes: number; of: number }) => {
        this.share = of === 0 ? 1 : bytes / of;
        this.moved();
      };
      const attachment = await this.upload.finish({ signal, onProgress });
      const body = attachmentBody({ ...attachment, ...size, ...(alt && { alt }), ...(caption && { caption }) });
      const sending = this.conversation.publish(body, Kind.Media);
      this.end();
      this.events.published(sending, attachment.media);
    } catch (error) {
      if (!signal.aborted) {
        this.error = error instanceof RingwireError ? error : new RingwireError('invalid', String(error));
        // What the server does not have any more begins anew.
        this.upload = this.error.retryable ? this.upload : undefined;
        this.events.changed();
      }
    }
  }

  /** Gives it up, here and on the server. */
  cancel(): void {
    this.running.abort();
    void this.upload?.cancel();
    this.end();
  }

  private end(): void {
    if (this.preview) {
      URL.revokeObjectURL(this.preview);
    }
  }
}
