// Files that somebody is about to send: chosen, pasted or dropped, each with a picture of it and words for who cannot see it.

import { h, icon } from './dom.js';
import type { Chosen } from './outgoing.js';
import { size } from './words.js';

/** Files of one message; more are refused with words. */
const FILES_MAX = 8;

interface Item {
  readonly file: File;
  readonly element: HTMLElement;
  readonly alt: HTMLInputElement;
  readonly ready: Promise<Chosen['size']>;
  readonly preview: string;
}

export class Tray {
  readonly element = h('ul', { class: 'tray', 'aria-label': 'Files to send' });
  private items: Item[] = [];

  constructor(
    private readonly changed: () => void,
    private readonly problem: (text: string) => void,
  ) {}

  get isEmpty(): boolean {
    return this.items.length === 0;
  }

  add(files: Iterable<File>): void {
    for (const file of files) {
      if (this.items.length >= FILES_MAX) {
        this.problem(`At most ${FILES_MAX} files at a time. The others were left out.`);
        break;
      }
      if (file.size === 0) {
        this.problem(`${file.name} is empty, or a folder.`);
        continue;
      }
      this.items.push(this.item(file));
    }
    this.draw();
  }

  /** Takes them out, to be sent. The caption goes with the last, under which it is read. */
  async take(caption: string): Promise<Chosen[]> {
    const items = this.items;
    this.items = [];
    this.draw();
    const chosen = items.map(async ({ file, alt, ready, preview }, at): Promise<Chosen> => {
      const measured = await ready;
      URL.revokeObjectURL(preview);
      return { file, size: measured, alt: alt.value.trim(), caption: at === items.length - 1 ? caption : '' };
    });
    return Promise.all(chosen);
  }

  clear(): void {
    this.items.forEach(({ preview }) => URL.revokeObjectURL(preview));
    this.items = [];
    this.draw();
  }

  private item(file: File): Item {
    const preview = URL.createObjectURL(file);
    const isImage = file.type.startsWith('image/');
    const alt = h('input', { name: 'alt', maxlength: '300', autocomplete: 'off', placeholder: 'Describe it for who cannot see it', 'aria-label': `Description of ${file.name}`, dir: 'auto' });
    const thumb = h('span', { class: 'thumb' }, icon('file'));
    const ready = isImage ? measure(file) : Promise.resolve(undefined);
    void ready.then((measured) => {
      alt.hidden = !measured;
      if (measured) {
        thumb.replaceChildren(h('img', { src: preview, alt: '' }));
      }
    });
    alt.hidden = !isImage;
    const element = h(
      'li',
      {},
      thumb,
      h('div', { class: 'what' }, h('p', {}, h('bdi', { class: 'name' }, file.name), h('span', { class: 'sub' }, size(file.size))), alt),
      h('button', { type: 'button', class: 'quiet', 'aria-label': `Remove ${file.name}`, title: 'Remove', onclick: () => this.remove(item) }, icon('close')),
    );
    const item: Item = { file, element, alt, ready, preview };
    return item;
  }

  private remove(item: Item): void {
    URL.revokeObjectURL(item.preview);
    this.items = this.items.filter((other) => other !== item);
    this.draw();
  }

  private draw(): void {
    this.element.replaceChildren(...this.items.map(({ element }) => element));
    this.element.hidden = this.isEmpty;
    this.changed();
  }
}

/** How large an image is; `undefined`: this browser cannot show it. */
async function measure(file: File): Promise<Chosen['size']> {
  try {
    const bitmap = await createImageBitmap(file);
    const { width, height } = bitmap;
    bitmap.close();
    return { width, height };
  } catch {
    return undefined;
  }
}
