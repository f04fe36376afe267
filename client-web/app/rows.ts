// How messages look: one row each, made once and made anew when what it shows changes.

import { Kind, type Message, type Sending } from '../src/index.js';
import { attachmentOf } from '../src/media/index.js';
import { attachmentView, outgoingView } from './attachments.js';
import type { Channel, Failed } from './channel.js';
import { avatar, h, icon, named } from './dom.js';
import type { Outgoing } from './outgoing.js';
import type { Row } from './scroller.js';
import type { Session } from './session.js';
import { day, explain, fullTime, sameDay, time } from './words.js';

/** Reactions that are offered. */
export const REACTIONS = ['👍', '❤️', '😂', '🎉', '😮', '😢'];

/** What a person may do with a message. */
export interface RowActions {
  react(sequence: number, reaction: string): void;
  edit(sequence: number): void;
  remove(sequence: number): void;
  retry(failed: Failed): void;
  discard(failed: Failed): void;
  retryFile(outgoing: Outgoing): void;
  discardFile(outgoing: Outgoing): void;
}

const ACTIONS: Record<number, (message: Message) => string> = {
  0: () => 'started this conversation',
  1: () => 'joined',
  2: () => 'left',
  3: (message) => `added ${message.membership?.name ?? 'somebody'}`,
  4: (message) => `removed ${message.membership?.name ?? 'somebody'}`,
  5: (message) => `changed the role of ${message.membership?.name ?? 'somebody'}`,
};

/** Rows by what they show, so that what did not change keeps its element. */
export class Rows {
  private readonly cache = new Map<string, { signature: string; element: HTMLElement }>();

  constructor(
    private readonly channel: Channel,
    private readonly session: Session,
    private readonly act: RowActions,
  ) {}

  /** Everything there is to show, oldest first. */
  all(): Row[] {
    const { channel } = this;
    const rows: Row[] = [];
    let before: Message | undefined;
    for (const sequence of channel.sequences) {
      const entry = channel.timeline.get(sequence);
      const message = entry?.message ?? entry?.deleted;
      if (!entry || !message) {
        continue;
      }
      const previous = before;
      rows.push({ key: `m${sequence}`, element: () => this.message(sequence, previous) });
      before = entry.message ?? before;
    }
    for (const sending of channel.pending) {
      rows.push({ key: `p${sending.id}`, element: () => this.sending(sending) });
    }
    for (const outgoing of channel.outgoing) {
      rows.push({ key: `u${outgoing.id}`, element: () => this.outgoing(outgoing) });
    }
    for (const failed of channel.failed) {
      rows.push({ key: `f${failed.sending.id}`, element: () => this.failed(failed) });
    }
    return rows;
  }

  /** Gives the row under the pointer or the focus its buttons. Of 240 rows one has them: they are most of a row's elements. */
  arm(row: HTMLElement | null): void {
    const sequence = Number(row?.dataset.sequence ?? 0);
    const message = this.channel.timeline.get(sequence)?.message;
    const line = row?.querySelector('.line');
    if (message && line && !line.querySelector('.tools')) {
      line.append(this.tools(sequence, message));
    }
  }

  private cached(key: string, signature: string, make: () => HTMLElement): HTMLElement {
    const known = this.cache.get(key);
    if (known?.signature === signature) {
      return known.element;
    }
    const element = make();
    const focused = known?.element.contains(document.activeElement);
    known?.element.replaceWith(element);
    this.cache.set(key, { signature, element });
    if (focused) {
      element.focus();
    }
    return element;
  }

  private message(sequence: number, previous: Message | undefined): HTMLElement {
    const entry = this.channel.timeline.get(sequence)!;
    const { message, edit, deleted } = entry;
    const readers = message?.own ? this.readers(sequence) : '';
    const reactions = this.channel.timeline.reactions(sequence);
    const groups = [...reactions].map(([text, from]) => `${text}${from.map((one) => one.sender).join()}`).join('|');
    const shown = message ?? deleted!;
    const newDay = !previous || !sameDay(previous.timeMs, shown.timeMs);
    const grouped =
      !newDay && previous.sender === shown.sender && shown.timeMs - previous.timeMs < 300_000 && !previous.membership;
    const signature = [edit?.sequence, deleted?.sequence, groups, readers, newDay, grouped, shown.senderName, this.session.pictures && 'media'].join('/');
    return this.cached(`m${sequence}`, signature, () => {
      const separator = newDay && h('div', { class: 'day', role: 'separator' }, h('span', {}, day(shown.timeMs)));
      if (shown.membership) {
        const what = ACTIONS[shown.membership.action]?.(shown) ?? 'changed the members';
        const name = shown.senderName ?? shown.membership.name;
        return h('li', { class: 'row note' }, separator, h('p', {}, named(name), ` ${what}`));
      }
      const own = shown.own;
      const item = h(
        'li',
        { class: `row ${own ? 'own' : 'theirs'} ${grouped ? 'grouped' : ''}`, tabindex: '-1', 'data-sequence': String(sequence) },
        separator,
      );
      const body = h('div', { class: 'bubble' });
      if (!own && !grouped && !this.channel.direct) {
        body.append(named(shown.senderName ?? 'Somebody', 'sender'));
      }
      if (deleted) {
        body.append(h('p', { class: 'text gone' }, 'Message deleted'));
      } else {
        body.append(this.content((edit ?? message)!));
      }
      body.append(this.marks(shown, edit !== undefined, readers));
      const line = h('div', { class: 'line' }, !own && (grouped ? h('span', { class: 'avatar none' }) : avatar(shown.senderName ?? '?')), body);
      item.append(line);
      if (reactions.size > 0) {
        item.append(this.reactions(sequence, reactions));
      }
      return item;
    });
  }

  private content(message: Message): HTMLElement {
    const attachment = attachmentOf(message);
    if (attachment) {
      return attachmentView(attachment, this.channel.id, this.session.pictures);
    }
    if (message.text === undefined) {
      return h('p', { class: 'text gone' }, 'This kind of message cannot be shown here.');
    }
    return h('p', { class: 'text', dir: 'auto' }, message.text);
  }

  /** Who has read it, or how many. */
  private readers(sequence: number): string {
    const { counts } = this.channel;
    // The publisher is one of them.
    const others = counts?.sequence === sequence ? counts.read - 1 : 0;
    return others > 0 ? String(others) : this.channel.readers(sequence).join(', ');
  }

  private marks(message: Message, edited: boolean, readers: string): HTMLElement {
    const stamp = h('time', { datetime: new Date(message.timeMs).toISOString(), title: fullTime(message.timeMs) }, time(message.timeMs));
    const marks = h('span', { class: 'marks' }, edited && h('span', {}, 'edited'), stamp);
    if (message.own) {
      const words = readers ? `Read by ${readers}` : 'Sent';
      marks.append(h('span', { class: readers ? 'mark read' : 'mark', role: 'img', 'aria-label': words, title: words }, icon(readers ? 'checks' : 'check')));
    }
    return marks;
  }

  private tools(sequence: number, message: Message): HTMLElement {
    const picker = h('details', {
      class: 'picker',
      onfocusout: ({ relatedTarget }: FocusEvent) => {
        // Not every browser focuses a button that is clicked: that nothing has the focus says nothing.
        picker.open &&= relatedTarget === null || picker.contains(relatedTarget as Node);
      },
      onkeydown: (event: KeyboardEvent) => {
        if (event.key === 'Escape' && picker.open) {
          picker.open = false;
          picker.querySelector('summary')?.focus();
        }
      },
    });
    picker.append(
      h('summary', { 'aria-label': 'React', title: 'React' }, icon('smile')),
      h(
        'div',
        { class: 'choices' },
        ...REACTIONS.map((reaction) =>
          h('button', {
            type: 'button',
            'aria-label': `React with ${reaction}`,
            onclick: () => {
              picker.open = false;
              this.act.react(sequence, reaction);
            },
          }, reaction),
        ),
      ),
    );
    const button = (label: string, drawing: 'pencil' | 'trash', click: () => void) =>
      h('button', { type: 'button', 'aria-label': label, title: label, onclick: click }, icon(drawing));
    return h(
      'div',
      { class: 'tools', role: 'group', 'aria-label': 'Message actions' },
      picker,
      message.own && message.kind === Kind.Text && button('Edit', 'pencil', () => this.act.edit(sequence)),
      message.own && button('Delete', 'trash', () => this.act.remove(sequence)),
    );
  }

  private reactions(sequence: number, groups: Map<string, Message[]>): HTMLElement {
    const list = h('div', { class: 'reactions' });
    for (const [reaction, from] of groups) {
      const mine = from.some((one) => one.sender === this.session.client.user);
      const names = from.map((one) => one.senderName ?? 'somebody').join(', ');
      list.append(
        h(
          'button',
          {
            type: 'button',
            class: mine ? 'reaction mine' : 'reaction',
            'aria-pressed': String(mine),
            title: names,
            'aria-label': `${reaction} by ${names}`,
            onclick: () => this.act.react(sequence, mine ? '' : reaction),
          },
          h('bdi', {}, [...reaction].slice(0, 8).join('')),
          from.length > 1 && ` ${from.length}`,
        ),
      );
    }
    return list;
  }

  /** What is on its way, as it will look. */
  private body(sending: Sending): HTMLElement {
    const attachment = attachmentOf(sending);
    return attachment
      ? attachmentView(attachment, this.channel.id, this.session.pictures)
      : h('p', { class: 'text', dir: 'auto' }, sending.text);
  }

  private outgoing(outgoing: Outgoing): HTMLElement {
    return this.cached(`u${outgoing.id}`, outgoing.error ? 'failed' : 'sending', () => {
      const view = outgoingView(outgoing, {
        retry: () => this.act.retryFile(outgoing),
        discard: () => this.act.discardFile(outgoing),
      });
      const state = outgoing.error ? 'failed' : 'pending';
      return h('li', { class: `row own ${state}`, tabindex: '-1' }, h('div', { class: 'line' }, h('div', { class: 'bubble' }, view)));
    });
  }

  private sending(sending: Sending): HTMLElement {
    return this.cached(`p${sending.id}`, sending.published ? 'sent' : 'waiting', () => {
      const words = sending.published ? 'Sent' : 'Waiting for the server';
      const mark = h('span', { class: 'mark', role: 'img', 'aria-label': words, title: words }, icon(sending.published ? 'check' : 'clock'));
      const marks = h('span', { class: 'marks' }, h('time', {}, time(sending.createdMs)), mark);
      const bubble = h('div', { class: 'bubble' }, this.body(sending), marks);
      return h('li', { class: 'row own pending', tabindex: '-1' }, h('div', { class: 'line' }, bubble));
    });
  }

  private failed(failed: Failed): HTMLElement {
    return this.cached(`f${failed.sending.id}`, '', () =>
      h(
        'li',
        { class: 'row own failed', tabindex: '-1' },
        h('div', { class: 'line' }, h('div', { class: 'bubble' }, this.body(failed.sending))),
        h(
          'p',
          { class: 'reason' },
          icon('alert'),
          `Not sent. ${explain(failed.error)} `,
          h('button', { type: 'button', class: 'link', onclick: () => this.act.retry(failed) }, 'Try again'),
          h('button', { type: 'button', class: 'link', onclick: () => this.act.discard(failed) }, 'Discard'),
        ),
      ),
    );
  }
}
