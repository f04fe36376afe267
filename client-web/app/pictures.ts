// Contents of media in memory: fetched when they come near the screen, a few at a time, and let go when others need the room.

import type { Id } from '../src/index.js';
import type { Media } from '../src/media/index.js';

/** Fetches at a time. More would only wait for each other, and the server has a bound of its own. */
const FETCHES_MAX = 3;
/** Contents kept; what was not shown for longest goes first, and is fetched again when it is wanted. */
const KEPT_MAX = 48;

export class Pictures {
  private readonly kept = new Map<string, Promise<string>>();
  private running = 0;
  private readonly queue: (() => void)[] = [];
  private readonly wanted = new WeakMap<Element, () => void>();
  private readonly near = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        if (isIntersecting) {
          this.near.unobserve(target);
          this.wanted.get(target)?.();
        }
      }
    },
    { rootMargin: '600px' },
  );

  constructor(private readonly media: Media) {}

  /** Calls when the element comes near the screen, once. */
  whenNear(element: Element, act: () => void): void {
    this.wanted.set(element, act);
    this.near.observe(element);
  }

  /** A URL of the content, for this page only. */
  url(conversation: Id, name: string): Promise<string> {
    const key = `${conversation}/${name}`;
    const known = this.kept.get(key);
    const url = known ?? this.turn(() => this.media.read(conversation, name)).then((blob) => URL.createObjectURL(blob));
    // The newest are at the end.
    this.kept.delete(key);
    this.kept.set(key, url);
    if (!known) {
      url.catch(() => this.kept.delete(key));
      this.shrink();
    }
    return url;
  }

  /** What this page has sent itself need not be fetched. */
  put(conversation: Id, name: string, content: Blob): void {
    this.kept.set(`${conversation}/${name}`, Promise.resolve(URL.createObjectURL(content)));
    this.shrink();
  }

  close(): void {
    this.near.disconnect();
    [...this.kept.keys()].forEach((key) => this.drop(key));
  }

  private shrink(): void {
    for (const key of this.kept.keys()) {
      if (this.kept.size <= KEPT_MAX) {
        return;
      }
      this.drop(key);
    }
  }

  private drop(key: string): void {
    // An image that is in the document has been decoded: it stays.
    this.kept.get(key)?.then((url) => URL.revokeObjectURL(url), () => {});
    this.kept.delete(key);
  }

  private async turn<T>(work: () => Promise<T>): Promise<T> {
    if (this.running >= FETCHES_MAX) {
      await new Promise<void>((resolve) => this.queue.push(resolve));
    }
    this.running += 1;
    try {
      return await work();
    } finally {
      this.running -= 1;
      this.queue.shift()?.();
    }
  }
}
