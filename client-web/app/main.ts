// The chat app: who somebody is, then their conversations.
//
// In development mode a name is enough (`dev:NAME`). A server with keys refuses that, and the page then asks for a token,
// which the operator's application would bring itself.

import { RingwireError } from '../src/index.js';
import { h, icon } from './dom.js';
import { Room } from './room.js';
import { Session, type Status } from './session.js';
import { Sidebar } from './sidebar.js';
import { explain } from './words.js';

const root = document.getElementById('app')!;
const SIGNED_IN = 'ringwire signed in';

function signIn(problem = '', wantsToken = false): void {
  const name = h('input', { name: 'name', required: true, maxlength: '80', autocomplete: 'nickname', autocapitalize: 'words', 'aria-describedby': 'problem' });
  const token = h('textarea', { name: 'token', rows: '3', required: wantsToken, spellcheck: 'false', autocomplete: 'off' });
  const button = h('button', { type: 'submit', class: 'primary' }, 'Start chatting');
  const trouble = h('p', { class: 'problem', id: 'problem', role: 'alert' }, problem);
  const submit = (event: Event) => {
    event.preventDefault();
    const called = name.value.trim();
    if (called === '') {
      trouble.textContent = 'Please enter a name.';
      return;
    }
    button.disabled = true;
    void enter(called, wantsToken ? token.value.trim() : `dev:${called}`);
  };
  root.replaceChildren(
    h(
      'main',
      { class: 'welcome' },
      h(
        'form',
        { onsubmit: submit },
        h('img', { src: 'icon.svg', alt: '', width: '56', height: '56' }),
        h('h1', {}, 'Ringwire'),
        h('p', { class: 'lead' }, wantsToken ? 'This server knows its users by tokens.' : 'Chat with everybody on this server.'),
        h('label', {}, 'Your name', name),
        wantsToken && h('label', {}, 'Token', token),
        trouble,
        button,
        !wantsToken && h('p', { class: 'hint' }, 'No password: this server is for trying out, and anybody on this machine may be anybody.'),
      ),
    ),
  );
  name.focus();
}

async function enter(account: string, token: string): Promise<void> {
  const page = new Page(account, token);
  try {
    await page.session.start();
    remember({ account, token });
  } catch (error) {
    page.close();
    forget();
    const known = error instanceof RingwireError ? error : undefined;
    const refused = ['token_invalid', 'token_missing', 'token_expired'].includes(known?.codeName ?? '');
    signIn(known ? explain(known) : String(error), refused);
  }
}

/** The page of somebody who is signed in. */
class Page {
  readonly session: Session;
  private readonly sidebar: Sidebar;
  private readonly banner = h('div', { class: 'banner', role: 'status' });
  private readonly stage = h('main', { class: 'stage' });
  private readonly notices = h('div', { class: 'notices', role: 'status' });
  private readonly shell: HTMLElement;
  private room: Room | undefined;
  private retryTimer: ReturnType<typeof setInterval> | undefined;
  private slow: ReturnType<typeof setTimeout> | undefined;
  private everConnected = false;

  constructor(account: string, token: string) {
    this.session = new Session(account, token, {
      list: () => this.onList(),
      channel: (channel) => {
        if (this.room?.channel === channel) {
          this.room.update();
        }
        this.sidebar.update();
      },
      status: (status, error, retryInMs) => this.onStatus(status, error, retryInMs),
      storage: (full) =>
        this.notice(`Your browser ${full ? 'has no room left' : 'does not let this page keep anything'}: messages that were not sent are lost when you close this page.`),
      notice: (error) => this.notice(explain(error)),
    });
    this.sidebar = new Sidebar(
      this.session,
      (channel) => this.choose(channel),
      () => {
        this.close();
        forget();
        signIn();
      },
    );
    this.shell = h('div', { class: 'shell' }, this.banner, this.sidebar.element, this.stage, this.notices);
    this.empty();
    root.replaceChildren(this.shell);
  }

  close(): void {
    clearInterval(this.retryTimer);
    clearTimeout(this.slow);
    this.room?.close();
    this.session.close();
  }

  private choose(channel: Session['selected']): void {
    if (this.room?.channel !== channel || !channel) {
      this.room?.close();
      this.room = undefined;
      if (channel) {
        this.room = new Room(this.session, channel, (text) => this.notice(text), () => this.choose(undefined));
        this.stage.replaceChildren(this.room.element);
        this.room.focus();
      } else {
        this.empty();
      }
    }
    this.shell.classList.toggle('open', channel !== undefined);
    this.session.select(channel);
  }

  private empty(): void {
    this.stage.replaceChildren(
      h('div', { class: 'nothing' }, h('img', { src: 'icon.svg', alt: '', width: '48', height: '48' }), h('p', {}, 'Choose a conversation, or start a new one.')),
    );
  }

  private onList(): void {
    if (this.room && this.room.channel !== this.session.selected) {
      this.choose(this.session.selected);
    }
    // On a wide page the newest conversation is open from the start.
    const [first] = this.session.sorted();
    if (!this.room && first?.handle && matchMedia('(min-width: 720px)').matches && !this.everChose) {
      this.everChose = true;
      this.choose(first);
    }
    this.sidebar.update();
  }

  private everChose = false;

  private onStatus(status: Status, error?: RingwireError, retryInMs = 0): void {
    clearInterval(this.retryTimer);
    this.sidebar.update();
    if (status === 'connected') {
      this.everConnected = true;
      clearTimeout(this.slow);
      this.banner.replaceChildren();
      this.room?.update();
      return;
    }
    if (status === 'failed' && error) {
      if (this.everConnected) {
        this.banner.replaceChildren(icon('alert'), h('span', {}, explain(error)), h('button', { type: 'button', class: 'link', onclick: () => location.reload() }, 'Reload'));
      }
      return;
    }
    if (status === 'connecting') {
      this.slow ??= setTimeout(() => this.say('Connecting…'), 1_500);
      return;
    }
    const end = Date.now() + retryInMs;
    const say = () => {
      const seconds = Math.max(0, Math.ceil((end - Date.now()) / 1000));
      this.say(
        `${error ? explain(error) : 'Disconnected.'} What you write is kept, and sent when it is back.`,
        seconds > 1 ? `Trying again in ${seconds} s.` : 'Trying again…',
      );
    };
    say();
    this.retryTimer = setInterval(say, 1_000);
  }

  /** What counts down is not said to who listens: it would be said every second. */
  private say(text: string, counting = ''): void {
    if (this.banner.textContent?.startsWith(text)) {
      this.banner.querySelector('p > span')!.textContent = counting;
      return;
    }
    const said = h('p', {}, `${text} `, h('span', { 'aria-hidden': 'true' }, counting));
    this.banner.replaceChildren(h('span', { class: 'pulse' }), said);
  }

  private notice(text: string): void {
    const toast = h('div', { class: 'toast' }, h('span', {}, text), h('button', { type: 'button', class: 'link', onclick: () => toast.remove() }, 'Dismiss'));
    this.notices.append(toast);
    setTimeout(() => toast.remove(), 12_000);
  }
}

interface SignedIn {
  readonly account: string;
  readonly token: string;
}

/** Of this tab only: another tab may be somebody else. */
function remember(who: SignedIn): void {
  try {
    sessionStorage.setItem(SIGNED_IN, JSON.stringify(who));
  } catch {
    // Then a reload asks again.
  }
}

function forget(): void {
  try {
    sessionStorage.removeItem(SIGNED_IN);
  } catch {
    // Nothing was kept either.
  }
}

function recall(): SignedIn | undefined {
  try {
    const who = JSON.parse(sessionStorage.getItem(SIGNED_IN) ?? 'null') as Partial<SignedIn> | null;
    return typeof who?.account === 'string' && typeof who.token === 'string' ? (who as SignedIn) : undefined;
  } catch {
    return undefined;
  }
}

const who = recall();
if (who) {
  void enter(who.account, who.token);
} else {
  signIn();
}
