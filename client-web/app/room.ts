// The conversation that is open: who is there, what was said, where one writes.

import { Kind, RingwireError } from '../src/index.js';
import { attachmentOf } from '../src/media/index.js';
import { summary } from './attachments.js';
import { type Channel, type Failed, isContent } from './channel.js';
import { Composer } from './composer.js';
import { avatar, h, icon, named } from './dom.js';
import { type Chosen, Outgoing } from './outgoing.js';
import { Rows } from './rows.js';
import { Scroller } from './scroller.js';
import type { Session } from './session.js';
import { explain, typing } from './words.js';

const NUMBER = new Intl.NumberFormat();

export class Room {
  readonly element: HTMLElement;
  private readonly list = h('ol', { class: 'messages' });
  private readonly view: HTMLElement;
  private readonly head = h('div', { class: 'about' });
  private readonly typing = h('p', { class: 'typing', role: 'status' });
  private readonly jump: HTMLButtonElement;
  private readonly announcer = h('p', { class: 'hidden', 'aria-live': 'polite' });
  private readonly scroller: Scroller;
  private readonly rows: Rows;
  private readonly composer: Composer;
  private announced = Number.POSITIVE_INFINITY;
  private queued = false;

  constructor(
    private readonly session: Session,
    readonly channel: Channel,
    private readonly notice: (text: string) => void,
    back: () => void,
  ) {
    this.view = h('div', { class: 'view', tabindex: '0', role: 'region', 'aria-label': 'Messages', onkeydown: (event: KeyboardEvent) => this.onKey(event) }, this.list);
    this.rows = new Rows(channel, session, {
      react: (sequence, reaction) => this.publish(Kind.Reaction, reaction, sequence),
      edit: (sequence) => this.edit(sequence),
      remove: (sequence) => this.remove(sequence),
      retry: (failed) => this.retry(failed),
      discard: (failed) => this.discard(failed),
      retryFile: (outgoing) => void outgoing.send(),
      discardFile: (outgoing) => this.discardFile(outgoing),
    });
    this.scroller = new Scroller(this.view, this.list, {
      older: () => void this.older(),
      moved: (atEnd) => this.onMoved(atEnd),
    });
    this.jump = h('button', { type: 'button', class: 'jump', hidden: true, 'aria-label': 'To the newest message', onclick: () => this.scroller.toEnd() }, icon('down'));
    this.composer = new Composer(`Message to ${channel.title}`, 32 * 1024, {
      send: (text) => this.publish(Kind.Text, text),
      takesFiles: () => session.media !== undefined && channel.handle !== undefined,
      sendFiles: (files) => this.sendFiles(files),
      saveEdit: (sequence, text) => this.publish(Kind.Edit, text, sequence),
      typing: (active) => channel.handle?.typing(active),
      editLast: () => this.edit(channel.lastOwn() ?? 0),
    });
    this.element = h(
      'section',
      { class: 'room', 'aria-label': `Conversation ${channel.title}` },
      h(
        'header',
        {},
        h('button', { type: 'button', class: 'back', 'aria-label': 'Back to conversations', onclick: back }, icon('back')),
        this.head,
        !channel.direct &&
          h('button', { type: 'button', class: 'quiet', 'aria-label': 'Leave this conversation', title: 'Leave', onclick: () => void this.leave() }, icon('leave')),
      ),
      this.view,
      this.jump,
      this.typing,
      this.composer.element,
      this.announcer,
    );
    for (const reached of ['pointerover', 'focusin']) {
      this.list.addEventListener(reached, ({ target }) => {
        this.rows.arm((target as HTMLElement).closest<HTMLElement>('.row'));
      });
    }
    this.element.addEventListener('pointerdown', ({ target }) => {
      for (const picker of this.list.querySelectorAll<HTMLDetailsElement>('.picker[open]')) {
        picker.open = picker.contains(target as Node);
      }
    });
    this.element.addEventListener('dragover', (event) => this.onDrag(event, true));
    this.element.addEventListener('dragleave', (event) => this.onDrag(event, false));
    this.element.addEventListener('drop', (event) => this.onDrop(event));
    document.addEventListener('visibilitychange', this.seen);
    addEventListener('focus', this.seen);
    this.update();
    queueMicrotask(() => this.scroller.toEnd());
  }

  focus(): void {
    this.composer.focus();
  }

  close(): void {
    this.channel.handle?.typing(false);
    this.composer.close();
    document.removeEventListener('visibilitychange', this.seen);
    removeEventListener('focus', this.seen);
  }

  /** Draws what has changed, once per frame. */
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
    const { channel, session } = this;
    this.scroller.set(this.rows.all());
    this.view.classList.toggle('empty', channel.sequences.length + channel.pending.length + channel.outgoing.length === 0);
    const online = session.isOnline(channel.other);
    const title = h('h2', {}, named(channel.title));
    this.head.replaceChildren(avatar(channel.title, online), h('div', {}, title, h('p', { class: 'sub' }, this.standing())));
    this.composer.update();
    this.typing.textContent = typing([...channel.typists.values()]);
    this.announce();
    this.seen();
  }

  private standing(): string {
    const { channel, session } = this;
    if (channel.trouble) {
      return explain(channel.trouble);
    }
    if (!channel.handle) {
      return session.client.connected ? 'Opening…' : 'Waiting for the server';
    }
    if (channel.other) {
      return session.isOnline(channel.other) ? 'Online' : 'Offline';
    }
    if (channel.counts) {
      return `${NUMBER.format(channel.handle.membersCount)} members, ${NUMBER.format(channel.counts.online)} online`;
    }
    const online = channel.handle.people().filter(({ user }) => session.isOnline(user)).length;
    const members = Math.max(channel.handle.membersCount, channel.handle.people().length);
    return `${members} ${members === 1 ? 'member' : 'members'}${online > 0 ? `, ${online} other${online === 1 ? '' : 's'} online` : ''}`;
  }

  /** What is new is said to who listens; the list itself would repeat everything that scrolls into it. */
  private announce(): void {
    const last = this.channel.sequences.at(-1) ?? 0;
    const message = this.channel.timeline.get(last)?.message;
    if (last > this.announced && message && !message.own) {
      const attachment = attachmentOf(message);
      const words = attachment ? summary(attachment) : message.text;
      this.announcer.textContent = words ? `${message.senderName ?? 'Somebody'}: ${words.slice(0, 200)}` : '';
    }
    this.announced = last;
  }

  /** What is in sight, in a window that is looked at, is read. */
  private readonly seen = (): void => {
    if (this.scroller.isAtEnd && document.visibilityState === 'visible' && document.hasFocus()) {
      this.session.read(this.channel);
    }
  };

  private onMoved(atEnd: boolean): void {
    this.jump.hidden = atEnd;
    if (atEnd) {
      this.seen();
    }
  }

  private async older(): Promise<void> {
    if (this.channel.complete || !this.channel.handle) {
      return;
    }
    try {
      await this.channel.older();
      this.update();
    } catch {
      // Scrolling asks again; that there is no connection is said elsewhere.
    }
  }

  /** Whether it was taken. */
  private publish(kind: Kind, text: string, reference = 0): boolean {
    try {
      const { handle } = this.channel;
      if (!handle) {
        throw new RingwireError('network', 'this conversation is not open yet');
      }
      const sending = handle.publish(text, kind, reference);
      if (isContent(kind)) {
        this.channel.pending.push(sending);
        this.update();
        this.scroller.toEnd();
      }
      return true;
    } catch (error) {
      this.composer.say(error instanceof RingwireError ? explain(error) : String(error));
      return false;
    }
  }

  private edit(sequence: number): void {
    const text = this.channel.textOf(sequence);
    if (text !== undefined) {
      this.composer.edit(sequence, text);
    }
  }

  private remove(sequence: number): void {
    const dialog = h(
      'dialog',
      { class: 'dialog', 'aria-label': 'Delete this message?' },
      h(
        'form',
        { method: 'dialog' },
        h('h2', {}, 'Delete this message?'),
        h('p', {}, 'It is deleted for everybody, and cannot be brought back.'),
        h(
          'div',
          { class: 'buttons' },
          h('button', { value: 'no', class: 'quiet' }, 'Keep it'),
          h('button', { value: 'yes', class: 'primary danger' }, 'Delete'),
        ),
      ),
    );
    dialog.addEventListener('close', () => {
      dialog.remove();
      if (dialog.returnValue === 'yes') {
        this.publish(Kind.Delete, '', sequence);
      }
    });
    document.body.append(dialog);
    dialog.showModal();
  }

  private retry(failed: Failed): void {
    if (this.publish(failed.sending.kind, failed.sending.text)) {
      this.discard(failed);
    }
  }

  private discard(failed: Failed): void {
    this.channel.failed = this.channel.failed.filter((other) => other !== failed);
    this.update();
  }

  private sendFiles(files: readonly Chosen[]): void {
    const { channel, session } = this;
    const { media, pictures } = session;
    const { handle } = channel;
    if (!media || !handle) {
      return this.composer.say('This conversation is not open yet.');
    }
    for (const chosen of files) {
      const outgoing: Outgoing = new Outgoing(chosen, media, handle, {
        changed: () => this.update(),
        published: (sending, name) => {
          if (chosen.size) {
            pictures?.put(channel.id, name, chosen.file);
          }
          channel.outgoing = channel.outgoing.filter((other) => other !== outgoing);
          channel.pending.push(sending);
          this.update();
        },
      });
      channel.outgoing.push(outgoing);
      void outgoing.send();
    }
    this.update();
    this.scroller.toEnd();
  }

  private discardFile(outgoing: Outgoing): void {
    outgoing.cancel();
    this.channel.outgoing = this.channel.outgoing.filter((other) => other !== outgoing);
    this.update();
  }

  /** Files are taken anywhere over the conversation. */
  private onDrag(event: DragEvent, over: boolean): void {
    if (event.dataTransfer?.types.includes('Files') && this.session.media) {
      event.preventDefault();
      const left = !over && !this.element.contains(event.relatedTarget as Node | null);
      this.element.classList.toggle('drop', over || !left);
    }
  }

  private onDrop(event: DragEvent): void {
    this.element.classList.remove('drop');
    const files = event.dataTransfer?.files;
    if (files?.length) {
      event.preventDefault();
      this.composer.add(files);
    }
  }

  private async leave(): Promise<void> {
    try {
      await this.session.leave(this.channel);
    } catch (error) {
      this.notice(error instanceof RingwireError ? explain(error) : String(error));
    }
  }

  /** Up and down walk through the messages, as they do in lists. */
  private onKey(event: KeyboardEvent): void {
    const step = event.key === 'ArrowUp' ? -1 : event.key === 'ArrowDown' ? 1 : 0;
    const rows = [...this.list.querySelectorAll<HTMLElement>('.row[tabindex]')];
    if (step === 0 || rows.length === 0 || (event.target as HTMLElement).closest('button, summary, textarea')) {
      return;
    }
    event.preventDefault();
    const at = rows.findIndex((row) => row.contains(document.activeElement));
    const next = at < 0 ? rows.at(-1)! : rows[at + step];
    if (next) {
      next.focus();
      next.scrollIntoView({ block: 'nearest' });
    } else if (step > 0) {
      this.composer.focus();
    }
  }
}
