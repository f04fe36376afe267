// The conversations, newest first, and how one gets into another.

import { RingwireError } from '../src/index.js';
import type { Channel } from './channel.js';
import { avatar, h, icon, named } from './dom.js';
import type { Session } from './session.js';
import { explain, sameDay, time } from './words.js';

const SHORT_DAY = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' });

export class Sidebar {
  readonly element: HTMLElement;
  private readonly list = h('ul', { class: 'conversations' });
  private readonly me = h('div', { class: 'me' });
  private queued = false;

  constructor(
    private readonly session: Session,
    private readonly choose: (channel: Channel) => void,
    signOut: () => void,
  ) {
    this.element = h(
      'nav',
      { class: 'sidebar', 'aria-label': 'Conversations' },
      h(
        'header',
        {},
        this.me,
        h('button', { type: 'button', class: 'quiet', 'aria-label': 'New conversation', title: 'New conversation', onclick: () => this.ask() }, icon('plus')),
        h('button', { type: 'button', class: 'quiet', 'aria-label': 'Sign out', title: 'Sign out', onclick: signOut }, icon('power')),
      ),
      this.list,
    );
    this.update();
  }

  update(): void {
    if (!this.queued) {
      this.queued = true;
      requestAnimationFrame(() => {
        this.queued = false;
        this.draw();
      });
    }
  }

  private draw(): void {
    const { session } = this;
    this.me.replaceChildren(avatar(session.name, session.client.connected), named(session.name, 'name'));
    const channels = session.sorted();
    const focused = (document.activeElement as HTMLElement | null)?.dataset.conversation;
    this.list.replaceChildren(...channels.map((channel) => h('li', {}, this.item(channel))));
    if (focused) {
      this.list.querySelector<HTMLElement>(`[data-conversation="${focused}"]`)?.focus();
    }
    const unread = channels.reduce((sum, channel) => sum + channel.unread, 0);
    document.title = unread > 0 ? `(${unread}) Ringwire` : 'Ringwire';
  }

  private item(channel: Channel): HTMLElement {
    const { session } = this;
    const online = session.isOnline(channel.other);
    const unread = channel.unread > 99 ? '99+' : String(channel.unread);
    const when = channel.lastMs && (sameDay(channel.lastMs, Date.now()) ? time(channel.lastMs) : SHORT_DAY.format(channel.lastMs));
    return h(
      'button',
      {
        type: 'button',
        'data-conversation': channel.id,
        'aria-current': channel === session.selected && 'true',
        class: channel.unread > 0 ? 'unread' : '',
        onclick: () => this.choose(channel),
      },
      avatar(channel.title, online),
      h(
        'span',
        { class: 'what' },
        h('span', { class: 'top' }, named(channel.title, 'name'), online && h('span', { class: 'hidden' }, ', online'), when ? h('span', { class: 'when' }, when) : null),
        h(
          'span',
          { class: 'bottom' },
          h('bdi', { class: 'preview', dir: 'auto' }, channel.typists.size > 0 ? 'typing…' : channel.preview.slice(0, 120) || 'No messages yet'),
          channel.unread > 0 && h('span', { class: 'badge' }, unread, h('span', { class: 'hidden' }, ' unread')),
        ),
      ),
    );
  }

  /** Where to, in a dialog. */
  private ask(): void {
    const input = h('input', { name: 'name', required: true, maxlength: '200', autocomplete: 'off', 'aria-describedby': 'new-problem' });
    const problem = h('p', { class: 'problem', id: 'new-problem', role: 'alert' });
    const kind = (value: string, text: string, checked: boolean) =>
      h('label', { class: 'choice' }, h('input', { type: 'radio', name: 'kind', value, checked }), h('span', {}, text));
    const submit = h('button', { type: 'submit', class: 'primary' }, 'Start');
    const form = h(
      'form',
      { onsubmit: (event: Event) => void go(event) },
      h('h2', {}, 'New conversation'),
      h('fieldset', {}, h('legend', { class: 'hidden' }, 'With whom'), kind('room', 'A room', true), kind('person', 'A person', false)),
      h('label', {}, 'Name', input),
      problem,
      h('div', { class: 'buttons' }, h('button', { type: 'button', class: 'quiet', onclick: () => dialog.close() }, 'Cancel'), submit),
    );
    const dialog = h('dialog', { class: 'dialog', 'aria-label': 'New conversation', onclose: () => dialog.remove() }, form);
    const go = async (event: Event) => {
      event.preventDefault();
      submit.disabled = true;
      const name = input.value.trim();
      try {
        const person = new FormData(form).get('kind') === 'person';
        const channel = await (person ? this.session.message(name) : this.session.join(name));
        dialog.close();
        this.choose(channel);
      } catch (error) {
        problem.textContent = error instanceof RingwireError ? explain(error) : String(error);
      } finally {
        submit.disabled = false;
      }
    };
    document.body.append(dialog);
    dialog.showModal();
    input.focus();
  }
}
