// How files look in a conversation: a picture in a place that was kept for it, or a card with a name; and one picture large.

import type { Id } from '../src/index.js';
import { type Attachment, fileName } from '../src/media/index.js';
import { h, icon } from './dom.js';
import type { Outgoing } from './outgoing.js';
import type { Pictures } from './pictures.js';
import { explain, size } from './words.js';

/** Largest place of a picture, pixels; the least keeps a strip one pixel high from being one. */
const WIDTH_MAX = 340;
const HEIGHT_MAX = 380;
const SIDE_MIN = 96;

const SHOWN: readonly string[] = ['image/jpeg', 'image/png', 'image/gif', 'image/webp', 'image/avif'];

/** What the sender said about it, as text. */
export function said(attachment: Attachment, what: 'caption' | 'alt'): string {
  const text = attachment[what];
  return typeof text === 'string' ? text : '';
}

/** In a line of a list, or read out. */
export function summary(attachment: Attachment): string {
  const words = said(attachment, 'caption') || said(attachment, 'alt') || fileName(attachment.name);
  return `${SHOWN.includes(attachment.type) ? 'Picture' : 'File'}: ${words}`;
}

/** The file of a message. */
export function attachmentView(attachment: Attachment, conversation: Id, pictures: Pictures | undefined): HTMLElement {
  const caption = said(attachment, 'caption');
  const words = caption && h('p', { class: 'text', dir: 'auto' }, caption);
  if (!pictures) {
    return h('div', { class: 'attachment' }, card(attachment, h('span', {}, 'not available here')), words);
  }
  const place = placeOf(attachment);
  const content = place ? picture(attachment, place, conversation, pictures) : card(attachment, saver(attachment, conversation, pictures));
  return h('div', { class: 'attachment' }, content, words);
}

/** One on its way, with how far it is. */
export function outgoingView(outgoing: Outgoing, act: { retry(): void; discard(): void }): HTMLElement {
  const { chosen, preview, error } = outgoing;
  const bar = h('progress', { max: '1', 'aria-label': `Sending ${chosen.file.name}` });
  outgoing.moved = () => {
    bar.value = outgoing.share;
  };
  outgoing.moved();
  const button = (label: string, click: () => void) => h('button', { type: 'button', class: 'link', onclick: click }, label);
  const shown = preview && chosen.size ? framed(h('img', { src: preview, alt: chosen.alt || chosen.file.name }), fit(chosen.size.width, chosen.size.height)) : card({ name: chosen.file.name, bytes: chosen.file.size });
  const state = error
    ? h('p', { class: 'reason' }, icon('alert'), `Not sent. ${explain(error)} `, button('Try again', act.retry), button('Discard', act.discard))
    : h('p', { class: 'sending' }, bar, button('Cancel', act.discard));
  return h('div', { class: 'attachment' }, shown, chosen.caption && h('p', { class: 'text', dir: 'auto' }, chosen.caption), state);
}

/** The place that a picture will take, before any of it is there: the list does not jump when it comes. */
function placeOf(attachment: Attachment): { width: number; height: number } | undefined {
  if (!SHOWN.includes(attachment.type)) {
    return undefined;
  }
  const { width, height } = attachment;
  const known = typeof width === 'number' && typeof height === 'number' && width >= 1 && height >= 1;
  return known ? fit(width, height) : { width: 260, height: 195 };
}

function fit(width: number, height: number): { width: number; height: number } {
  const scale = Math.min(1, WIDTH_MAX / width, HEIGHT_MAX / height);
  return { width: Math.max(SIDE_MIN, Math.round(width * scale)), height: Math.max(SIDE_MIN, Math.round(height * scale)) };
}

function framed<Child extends HTMLElement>(child: Child, place: { width: number; height: number }, frame: HTMLElement = h('div')): HTMLElement {
  frame.classList.add('picture');
  frame.style.width = `${place.width}px`;
  frame.style.aspectRatio = `${place.width} / ${place.height}`;
  frame.append(child);
  return frame;
}

function picture(attachment: Attachment, place: { width: number; height: number }, conversation: Id, pictures: Pictures): HTMLElement {
  const alt = said(attachment, 'alt') || said(attachment, 'caption') || fileName(attachment.name);
  const image = h('img', { alt: '', decoding: 'async', draggable: 'false' });
  const frame = h('button', { type: 'button', class: 'loading', 'aria-label': `Picture: ${alt}. Show it large`, onclick: () => enlarge(image, alt, attachment, conversation, pictures) });
  const state = h('span', { class: 'state' });
  const load = async () => {
    frame.classList.add('loading');
    frame.classList.remove('broken');
    state.textContent = '';
    try {
      image.src = await pictures.url(conversation, attachment.media);
      await image.decode();
      frame.classList.remove('loading');
    } catch (error) {
      frame.classList.remove('loading');
      frame.classList.add('broken');
      state.textContent = `${error instanceof DOMException ? 'This picture cannot be shown.' : explain(error)} Tap to try again.`;
    }
  };
  frame.addEventListener('click', (event) => {
    if (frame.classList.contains('broken')) {
      event.stopImmediatePropagation();
      void load();
    }
  }, { capture: true });
  pictures.whenNear(frame, () => void load());
  frame.append(state);
  return framed(image, place, frame);
}

function card(file: { readonly name: string; readonly bytes: number }, action?: HTMLElement): HTMLElement {
  const name = fileName(file.name);
  return h('div', { class: 'file' }, icon('file'), h('span', { class: 'what' }, h('bdi', { class: 'name', title: name }, name), h('span', { class: 'sub' }, size(file.bytes))), action);
}

function saver(attachment: Attachment, conversation: Id, pictures: Pictures): HTMLElement {
  const name = fileName(attachment.name);
  const button = h('button', { type: 'button', class: 'quiet', 'aria-label': `Save ${name}`, title: 'Save', onclick: () => void save() }, icon('save'));
  const save = async () => {
    button.disabled = true;
    try {
      h('a', { href: await pictures.url(conversation, attachment.media), download: name }).click();
    } catch (error) {
      button.replaceWith(h('span', { class: 'problem', role: 'alert' }, explain(error), ' ', h('button', { type: 'button', class: 'link', onclick: ({ currentTarget }: Event) => (currentTarget as Element).parentElement!.replaceWith(saver(attachment, conversation, pictures)) }, 'Try again')));
    } finally {
      button.disabled = false;
    }
  };
  return button;
}

/** One picture as large as the window. */
function enlarge(image: HTMLImageElement, alt: string, attachment: Attachment, conversation: Id, pictures: Pictures): void {
  const dialog: HTMLDialogElement = h(
    'dialog',
    { class: 'lightbox', 'aria-label': alt, onclose: () => dialog.remove(), onclick: ({ target }: Event) => target === dialog && dialog.close() },
    h('img', { src: image.src, alt }),
    h(
      'footer',
      {},
      h('p', { dir: 'auto' }, said(attachment, 'caption') || alt),
      saver(attachment, conversation, pictures),
      h('button', { type: 'button', class: 'quiet', 'aria-label': 'Close', title: 'Close', onclick: () => dialog.close() }, icon('close')),
    ),
  );
  document.body.append(dialog);
  dialog.showModal();
}
