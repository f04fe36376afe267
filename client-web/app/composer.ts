// Where one writes: grows with the text, sends on Enter, edits the last message on ArrowUp, takes files, and refuses what is
// too long with words before the browser chokes on it.

import { h, icon } from './dom.js';
import type { Chosen } from './outgoing.js';
import { Tray } from './tray.js';
import { size } from './words.js';

const encoder = new TextEncoder();

export interface ComposerEvents {
  /** Whether it was taken. */
  send(text: string): boolean;
  /** Whether files can be sent. */
  takesFiles(): boolean;
  sendFiles(files: readonly Chosen[]): void;
  saveEdit(sequence: number, text: string): boolean;
  typing(active: boolean): void;
  editLast(): void;
}

export class Composer {
  readonly element: HTMLElement;
  private readonly input: HTMLTextAreaElement;
  private readonly problem: HTMLElement;
  private readonly editing: HTMLElement;
  private readonly picker: HTMLInputElement;
  private readonly attach: HTMLButtonElement;
  private readonly tray: Tray;
  private sequence = 0;
  private draft = '';

  constructor(
    label: string,
    private readonly bytesMax: number,
    private readonly events: ComposerEvents,
  ) {
    this.input = h('textarea', {
      rows: '1',
      'aria-label': label,
      placeholder: 'Write a message',
      dir: 'auto',
      autocomplete: 'off',
      enterkeyhint: 'send',
      oninput: () => this.onInput(),
      onkeydown: (event: KeyboardEvent) => this.onKey(event),
      onpaste: (event: ClipboardEvent) => this.onPaste(event),
      onblur: () => this.events.typing(false),
    });
    this.problem = h('p', { class: 'problem', role: 'alert' });
    this.editing = h(
      'p',
      { class: 'editing', hidden: true },
      icon('pencil'),
      'Editing your message',
      h('button', { type: 'button', class: 'link', onclick: () => this.endEdit() }, 'Cancel'),
    );
    this.tray = new Tray(
      () => {
        this.input.placeholder = this.tray.isEmpty ? 'Write a message' : 'Add a caption';
      },
      (text) => this.say(text),
    );
    this.tray.element.hidden = true;
    this.picker = h('input', { type: 'file', name: 'files', multiple: true, hidden: true, tabindex: '-1', onchange: () => this.onPicked() });
    this.attach = h('button', { type: 'button', class: 'quiet round', 'aria-label': 'Attach files', title: 'Attach files', onclick: () => this.picker.click() }, icon('clip'));
    this.element = h(
      'form',
      { class: 'composer', onsubmit: (event: Event) => this.submit(event) },
      this.editing,
      this.problem,
      this.tray.element,
      this.picker,
      h(
        'div',
        { class: 'field' },
        this.attach,
        this.input,
        h('button', { type: 'submit', class: 'primary round', 'aria-label': 'Send' }, icon('send')),
      ),
    );
  }

  focus(): void {
    this.input.focus();
  }

  /** Shows what can be done here now. */
  update(): void {
    this.attach.hidden = !this.events.takesFiles();
  }

  /** Takes files that were chosen, pasted or dropped. */
  add(files: Iterable<File>): void {
    if (!this.events.takesFiles()) {
      return this.say('This server does not take files.');
    }
    if (this.sequence !== 0) {
      return this.say('Files cannot be added to a message that was sent. Finish editing first.');
    }
    this.say('');
    this.tray.add(files);
    this.focus();
  }

  private onPicked(): void {
    this.add(this.picker.files ?? []);
    this.picker.value = '';
  }

  edit(sequence: number, text: string): void {
    this.draft = this.sequence === 0 ? this.input.value : this.draft;
    this.sequence = sequence;
    this.editing.hidden = false;
    this.set(text);
    this.focus();
  }

  private endEdit(): void {
    this.sequence = 0;
    this.editing.hidden = true;
    this.set(this.draft);
    this.draft = '';
    this.focus();
  }

  private set(text: string): void {
    this.input.value = text;
    this.grow();
    this.check();
  }

  private submit(event: Event): void {
    event.preventDefault();
    const text = this.input.value.trim();
    const files = !this.tray.isEmpty && this.sequence === 0;
    if ((text === '' && !files) || !this.check()) {
      return;
    }
    if (files) {
      this.set('');
      this.events.typing(false);
      void this.tray.take(text).then((chosen) => this.events.sendFiles(chosen));
    } else if (this.sequence !== 0) {
      if (this.events.saveEdit(this.sequence, text)) {
        this.endEdit();
      }
    } else if (this.events.send(text)) {
      this.set('');
      this.events.typing(false);
    }
  }

  private onInput(): void {
    this.grow();
    this.check();
    this.events.typing(this.input.value !== '');
  }

  private onKey(event: KeyboardEvent): void {
    if (event.isComposing) {
      return;
    }
    if (event.key === 'Enter' && !event.shiftKey) {
      this.submit(event);
    } else if (event.key === 'Escape' && this.sequence !== 0) {
      this.endEdit();
    } else if (event.key === 'ArrowUp' && this.input.value === '' && this.sequence === 0) {
      event.preventDefault();
      this.events.editLast();
    }
  }

  /** A text of megabytes would stop the page while the browser lays it out. */
  private onPaste(event: ClipboardEvent): void {
    const files = event.clipboardData?.files ?? [];
    if (files.length > 0) {
      event.preventDefault();
      return this.add(files);
    }
    const text = event.clipboardData?.getData('text/plain') ?? '';
    if (text.length > this.bytesMax) {
      event.preventDefault();
      this.say(`That is ${size(text.length)} of text. A message takes at most ${size(this.bytesMax)}; paste a part of it.`);
    }
  }

  private check(): boolean {
    const bytes = encoder.encode(this.input.value).length;
    const fits = bytes <= this.bytesMax;
    this.say(fits ? '' : `This is ${size(bytes)} long. A message takes at most ${size(this.bytesMax)}; please shorten it.`);
    return fits;
  }

  /** The page of this conversation goes. */
  close(): void {
    this.tray.clear();
  }

  say(text: string): void {
    this.problem.textContent = text;
  }

  private grow(): void {
    this.input.style.height = 'auto';
    this.input.style.height = `${Math.min(this.input.scrollHeight, 180)}px`;
  }
}
