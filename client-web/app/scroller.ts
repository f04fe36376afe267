// A long list of which only a part is in the document, so that 5,000 rows scroll like 50.
//
// Rows are in `items`, oldest first. At most ROWS_MAX of them are in the document; near either end of those the next ones
// come in and the farthest go out, while what the reader looks at stays where it is on the screen. At the very top, older
// items are asked for.

const ROWS_MAX = 240;
const ROWS_STEP = 60;
/** How near to an end the next rows come in, pixels. */
const NEAR = 800;
/** How near to the end counts as being there. */
const BOTTOM = 40;

export interface Row {
  readonly key: string;
  /** The element as it should be now; the same one as long as nothing changed. */
  element(): HTMLElement;
}

export class Scroller {
  private items: readonly Row[] = [];
  private first = 0;
  private end = 0;
  private atEnd = true;
  private queued = false;

  constructor(
    private readonly view: HTMLElement,
    private readonly list: HTMLElement,
    private readonly events: { older(): void; moved(atEnd: boolean): void },
  ) {
    view.addEventListener('scroll', () => this.schedule(), { passive: true });
    new ResizeObserver(() => {
      if (this.atEnd) {
        this.toEnd();
      }
    }).observe(view);
  }

  /** Whether the newest row is in sight. */
  get isAtEnd(): boolean {
    return this.atEnd;
  }

  /** What there is to show. Rows that are in sight stay in sight, by their keys. */
  set(items: readonly Row[]): void {
    const anchorKey = this.items[this.first]?.key;
    const before = this.items.length;
    this.items = items;
    const moved = anchorKey === undefined ? -1 : items.findIndex((row) => row.key === anchorKey);
    if (this.atEnd || moved < 0) {
      this.end = items.length;
      this.first = Math.max(0, this.end - ROWS_STEP * 2);
    } else {
      const count = this.end - this.first;
      // Rows at the end of the window follow what was added there.
      const follows = this.end === before;
      this.first = moved;
      this.end = Math.min(items.length, follows ? items.length : moved + count);
      this.end = Math.min(this.end, this.first + ROWS_MAX);
    }
    this.draw();
    if (this.atEnd) {
      this.toEnd();
    }
    this.schedule();
  }

  toEnd(): void {
    if (this.end < this.items.length) {
      this.end = this.items.length;
      this.first = Math.max(0, this.end - ROWS_STEP * 2);
      this.draw();
    }
    this.atEnd = true;
    this.view.scrollTop = this.view.scrollHeight;
  }

  /** Brings the row of that key into sight and gives it, if there is one. */
  reveal(key: string): HTMLElement | undefined {
    const index = this.items.findIndex((row) => row.key === key);
    if (index < 0) {
      return undefined;
    }
    if (index < this.first || index >= this.end) {
      this.first = Math.max(0, index - ROWS_STEP);
      this.end = Math.min(this.items.length, this.first + ROWS_STEP * 2);
      this.draw();
    }
    const element = this.items[index]!.element();
    element.scrollIntoView({ block: 'nearest' });
    return element;
  }

  private schedule(): void {
    if (!this.queued) {
      this.queued = true;
      requestAnimationFrame(() => {
        this.queued = false;
        this.onScroll();
      });
    }
  }

  private onScroll(): void {
    const { scrollTop, scrollHeight, clientHeight } = this.view;
    const below = scrollHeight - scrollTop - clientHeight;
    const atEnd = below <= BOTTOM && this.end === this.items.length;
    if (atEnd !== this.atEnd) {
      this.atEnd = atEnd;
    }
    this.events.moved(atEnd);
    if (scrollTop < NEAR) {
      if (this.first > 0) {
        this.move(Math.max(0, this.first - ROWS_STEP), Math.min(this.end, this.first - ROWS_STEP + ROWS_MAX));
      } else {
        this.events.older();
      }
    } else if (below < NEAR && this.end < this.items.length) {
      const end = Math.min(this.items.length, this.end + ROWS_STEP);
      this.move(Math.max(this.first, end - ROWS_MAX), end);
    }
  }

  private move(first: number, end: number): void {
    this.first = first;
    this.end = end;
    this.draw();
    this.schedule();
  }

  /** Puts the window's rows into the document; what is in sight stays where it is. */
  private draw(): void {
    const wanted = this.items.slice(this.first, this.end).map((row) => row.element());
    const keep = new Set<Element>(wanted);
    const anchor = this.anchor(keep);
    const before = anchor?.getBoundingClientRect().top ?? 0;
    for (const child of [...this.list.children]) {
      if (!keep.has(child)) {
        child.remove();
      }
    }
    let at: Element | null = this.list.firstElementChild;
    for (const element of wanted) {
      if (element === at) {
        at = at.nextElementSibling;
      } else {
        this.list.insertBefore(element, at);
      }
    }
    if (anchor && !this.atEnd) {
      this.view.scrollTop += anchor.getBoundingClientRect().top - before;
    }
  }

  /** The first row in sight that stays. */
  private anchor(keep: Set<Element>): Element | undefined {
    const top = this.view.getBoundingClientRect().top;
    const rows = [...this.list.children];
    return rows.find((row) => keep.has(row) && row.getBoundingClientRect().bottom > top);
  }
}
