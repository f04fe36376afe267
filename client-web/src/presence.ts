// Which word about a user is the newest, where words about presence overtake each other (W-72).

import type { Id } from './ids.js';
import { WATCHED_MAX } from './limits.js';

/** What frames of the present connection have spoken of users. */
export class Newest {
  private readonly numbers = new Map<Id, number>();

  clear(): void {
    this.numbers.clear();
  }

  /** What a frame says that is new; number 0: they come in order. */
  take<Entry extends { readonly user: Id }>({ number, entries }: { number: number; entries: Entry[] }): Entry[] {
    // There are users who are not watched any more. Without numbers, what is told again soon puts things right.
    if (this.numbers.size >= WATCHED_MAX) {
      this.numbers.clear();
    }
    const news = entries.filter(({ user }) => !number || number >= (this.numbers.get(user) ?? 0));
    news.forEach(({ user }) => this.numbers.set(user, number));
    return news;
  }
}
