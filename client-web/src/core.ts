// The client's engine: conversations and requests over one connection, and the events that tell what happened.
//
// ```text
//            calls                                    events
//  client -----------> +-----------------------+ ------------> client
//                      | rooms:  feed, outbox  |
//  connection -------> | requests              | ------------> connection
//   frames             +-----------------------+   transmit
// ```
//
// Invariants: every publish that was taken ends in exactly one outcome; publishes of a conversation are accepted in the
// order of the calls; what a conversation delivers is dense. Absent: bytes (`wire`), sockets (`transport`).

import { Connection, type ConnectionOptions, type ConnectionOwner, type Welcome } from './connection.js';
import { type Message, toMessage } from './content.js';
import { RingwireError } from './error.js';
import type { ClientEvents } from './client.js';
import type { Fed } from './feed.js';
import { Filler } from './filler.js';
import { type Id, ZERO, originOf } from './ids.js';
import * as limits from './limits.js';
import { Keeper } from './keeper.js';
import { pause } from './pace.js';
import { Newest } from './presence.js';
import { onReject, onRequestOver } from './rejects.js';
import { type Ask, type Request, Requests } from './requests.js';
import { Room } from './room.js';
import type { Claim } from './store/index.js';
import { Timers, now } from './timers.js';
import { transmit } from './transmit.js';
import { plausible } from './wire/plausible.js';
import type { ServerFrame } from './wire/read.js';
import * as write from './wire/write.js';

type Of<T extends ServerFrame['type']> = Extract<ServerFrame, { type: T }>;

export interface CoreOptions extends ConnectionOptions {
  readonly agent: string;
  readonly inbox: boolean;
  readonly account: string;
}

export class Core implements ConnectionOwner {
  readonly rooms = new Map<Id, Room>();
  readonly requests = new Requests();
  readonly timers = new Timers();
  readonly connection: Connection;
  readonly filler = new Filler(this);
  readonly keeper: Keeper;
  user: Id = ZERO;
  device: Id = ZERO;
  origin = '';
  /** Publishes in flight, over all conversations. */
  inFlight = 0;
  watched: readonly Id[] = [];
  ended: RingwireError | undefined;
  private lastPublish = 0;
  private pumping = false;
  private readonly presence = new Newest();

  constructor(
    readonly options: CoreOptions,
    readonly emit: <Name extends keyof ClientEvents>(name: Name, event: ClientEvents[Name]) => void,
  ) {
    this.connection = new Connection(options, this);
    this.keeper = new Keeper(this);
  }

  /** The device is known; with it, what a page before this one left unacknowledged. */
  begin(claim: Claim): void {
    this.device = claim.device;
    this.origin = originOf(claim.device);
    this.keeper.begin(claim);
    this.connection.start();
  }

  nextPublish(): number {
    return ++this.lastPublish;
  }

  onRestored(id: number): void {
    this.lastPublish = Math.max(this.lastPublish, id);
  }

  /** The room of that conversation, made if there is none. */
  roomOf(id: Id, name: string, start: Room['start']): Room {
    const room = new Room(id, name, start, (fed) => this.onFed(room, fed));
    this.rooms.set(id, room);
    return room;
  }

  /** Puts a request on its way. */
  ask<T>(ask: Ask, signal?: AbortSignal, patience = limits.REQUEST_TIMEOUT): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.ended) {
        return reject(this.ended);
      }
      if (signal?.aborted) {
        return reject(signal.reason as Error);
      }
      if (this.requests.size >= limits.REQUESTS_MAX) {
        return reject(new RingwireError('full', `${limits.REQUESTS_MAX} requests wait for their answer already`));
      }
      const request = this.push(ask, true, resolve as (value: unknown) => void, reject, patience);
      signal?.addEventListener('abort', () => this.fail(request, signal.reason as Error), { once: true });
    });
  }

  /** The same for the client itself: nobody waits for the answer. */
  askSelf(ask: Ask): void {
    this.push(ask, false, () => {}, () => {}, limits.REQUEST_TIMEOUT);
  }

  private push(
    ask: Ask,
    called: boolean,
    resolve: (value: unknown) => void,
    reject: (error: unknown) => void,
    patience: number,
  ): Request {
    const deadline = now() + patience;
    const state = { refusals: 0, again: false, sent: false, resting: false };
    const request = this.requests.push({ ask, deadline, called, resolve, reject, ...state });
    if (Number.isFinite(deadline)) {
      this.timers.set(`request ${request.number}`, deadline, () => {
        this.fail(request, new RingwireError('timeout', `no answer within ${patience / 1000} s`));
      });
    }
    this.pump();
    return request;
  }

  /** Sends what is due, once what runs now is through. */
  pump(): void {
    if (this.pumping) {
      return;
    }
    this.pumping = true;
    queueMicrotask(() => {
      this.pumping = false;
      transmit(this);
    });
  }

  hello(token: string): Uint8Array {
    const cursors = [...this.rooms.values()]
      .filter((room) => room.standing !== 'joining')
      .slice(0, limits.CONVERSATIONS_MAX)
      .map((room) => ({ conversation: room.id, sequence: room.feed.cursor }));
    const { agent, inbox } = this.options;
    return write.hello({ device: this.device, token, agent, inbox, cursors });
  }

  onConnecting(attempt: number): void {
    this.emit('connecting', { attempt });
  }

  onConnected(welcome: Welcome): void {
    this.user = welcome.user;
    this.emit('connected', welcome);
    for (const room of this.rooms.values()) {
      if (room.standing !== 'joining') {
        this.timers.set(`attach ${room.id}`, now() + limits.REQUEST_TIMEOUT, () => this.open(room));
      }
    }
    if (this.watched.length > 0) {
      this.askSelf({ type: 'plain', write: (request) => write.watch(request, this.watched) });
    }
    this.pump();
  }

  onDetached(): void {
    this.inFlight = 0;
    this.presence.clear();
    this.filler.onDetached();
    for (const request of this.requests.onDisconnected()) {
      this.timers.cancel(`request ${request.number}`);
    }
    for (const room of this.rooms.values()) {
      room.onDisconnected();
      this.cancelTimers(room);
      this.tellTypists(room, room.takeTypists());
    }
  }

  onDisconnected(error: RingwireError, retryInMs: number): void {
    this.emit('disconnected', { error, retryInMs });
  }

  onEnded(error: RingwireError): void {
    this.ended = error;
    for (const room of [...this.rooms.values()]) {
      // What is not acknowledged stays in the store: the next page of this account sends it.
      this.forget(room, error, true);
    }
    for (const request of this.requests.all()) {
      this.fail(request, error);
    }
    this.timers.cancelAll();
    this.keeper.close();
    this.emit(error.kind === 'shut_down' ? 'closed' : 'failed', { error });
  }

  onRefreshed(): void {
    for (const room of this.rooms.values()) {
      room.notBefore = 0;
    }
    for (const request of this.requests.all()) {
      request.sent &&= !request.resting;
      request.resting = false;
    }
    this.pump();
  }

  onFrame(frame: ServerFrame): void {
    if (!plausible(frame)) {
      throw new RingwireError('protocol', 'the server named a sequence that no conversation can reach', 3506);
    }
    const room = 'conversation' in frame ? this.rooms.get(frame.conversation) : undefined;
    switch (frame.type) {
      case 'message':
        return this.onMessage(frame);
      case 'ack':
        return room && this.onAck(room, frame);
      case 'reject':
        return onReject(this, frame);
      case 'joined':
        return this.onJoined(frame);
      case 'done':
        return this.onDone(frame);
      case 'page':
        return this.filler.onPage(frame);
      case 'memberPage':
        room?.learn(frame.members);
        return this.answer(frame.request, ['members'], frame.conversation)?.resolve(frame);
      case 'head':
        return room?.attached ? this.onHead(room, frame.head) : undefined;
      case 'gap':
        return room && this.filler.onGap(room, frame);
      case 'typing':
        return room && this.onTyping(room, frame.user, frame.active);
      case 'presence':
        return this.presence.take(frame).forEach((entry) => this.emit('presence', entry));
      case 'receipt':
      case 'inbox':
      case 'counts':
        return this.emit(frame.type, frame);
      default:
        return undefined;
    }
  }

  private onMessage({ message }: Of<'message'>): void {
    // A user's sessions get the messages of all the user's conversations; not all are joined here.
    const room = this.rooms.get(message.conversation);
    if (!room) {
      return this.emit('elsewhere', toMessage(message, this.user, () => undefined));
    }
    room.feed.onMessage(message);
    this.onTyping(room, message.sender, false);
    this.fed(room);
  }

  private onFed(room: Room, fed: Fed): void {
    const conversation = room.id;
    if (fed.type === 'gap') {
      return this.emit('gap', { conversation, from: fed.from, to: fed.to, cause: fed.cause });
    }
    if (fed.type === 'caughtUp') {
      return this.emit('caughtUp', { conversation, head: fed.head });
    }
    this.emit('message', this.present(room, fed.message));
  }

  /** A message as the application sees it; what it says about members is learned. */
  present(room: Room, wire: Of<'message'>['message']): Message {
    const sending = wire.origin === this.origin ? room.sendingOf(wire.clientSequence) : undefined;
    const message = toMessage(wire, this.user, (user) => room.names.get(user), sending);
    if (message.membership?.name) {
      room.names.set(message.membership.user, message.membership.name);
    }
    return message;
  }

  /** Something came for the conversation: what follows from that. */
  fed(room: Room): void {
    room.cursors.onDelivered(room.feed.handed);
    const due = room.attached && room.standing === 'member' ? room.cursors.deliveredDue() : undefined;
    if (due !== undefined) {
      this.timers.set(`delivered ${room.id}`, due, () => this.pump());
    }
    this.filler.fill(room);
  }

  private onHead(room: Room, head: number): void {
    // The server does not feed it live. It does so for those who have it open.
    if (room.openedAt === undefined || now() >= room.openedAt + limits.REOPEN_AFTER) {
      this.open(room);
    }
    room.feed.onHead(head);
    this.filler.fill(room);
  }

  onTyping(room: Room, user: Id, active: boolean): void {
    if (room.attached && room.onTyping(user, active, now())) {
      this.emit('typing', { conversation: room.id, user, name: room.names.get(user), active });
    }
    const due = room.typistsDue();
    if (due === undefined) {
      this.timers.cancel(`typists ${room.id}`);
    } else {
      this.timers.set(`typists ${room.id}`, due, () => this.tellTypists(room, room.takeTypists(now())));
    }
  }

  private tellTypists(room: Room, users: readonly Id[]): void {
    const over = (user: Id) => ({ conversation: room.id, user, name: room.names.get(user), active: false });
    users.forEach((user) => this.emit('typing', over(user)));
  }

  private onAck(room: Room, ack: Of<'ack'>): void {
    const before = room.outbox.inFlight;
    const entry = room.outbox.onAck(ack.clientSequence, ack.duplicate);
    this.inFlight -= before - room.outbox.inFlight;
    room.answeredAt = now();
    if (entry) {
      room.refusals = 0;
      const { sequence, timeMs, duplicate } = ack;
      this.keeper.settle(room, entry, { sequence, timeMs, duplicate });
    }
    this.land(room);
  }

  /** Looks whether a flight is over, and what follows. */
  land(room: Room): void {
    const landing = room.outbox.land();
    if (landing.type === 'again') {
      room.notBefore = landing.at;
      if (landing.at > now()) {
        this.timers.set(`outbox ${room.id}`, landing.at, () => this.pump());
      }
    } else if (landing.type === 'resync') {
      this.timers.set(`attach ${room.id}`, now() + this.pause(room, 0), () => this.open(room));
    }
    this.keeper.keep(room);
    this.pump();
  }

  pause(room: Room, atLeastMs: number): number {
    room.refusals += 1;
    return pause(room.refusals - 1, atLeastMs);
  }

  private onJoined(joined: Of<'joined'>): void {
    const request = joined.request === 0 ? undefined : this.takeAnswer(joined.request);
    const fits = ['join', 'enter', 'create', 'open', 'direct'];
    const other = request?.ask.conversation !== undefined && request.ask.conversation !== joined.conversation;
    if (request && (other || !fits.includes(request.ask.type))) {
      throw new RingwireError('protocol', 'Joined for another conversation than asked', 3505);
    }
    let room = this.rooms.get(joined.conversation);
    if (!room && request?.ask.type === 'direct') {
      room = this.roomOf(joined.conversation, joined.name, { last: 0 });
    }
    if (!room) {
      return;
    }
    if (!request && joined.request !== 0) {
      // Answered after its time: the server feeds it live behind this head all the same, so what is before is fetched.
      if (room.attached) {
        room.feed.onHead(joined.head);
        this.filler.fill(room);
      }
      return;
    }
    if (!request && room.standing === 'joining') {
      return;
    }
    this.attach(room, joined, request?.ask.type === 'open');
    request?.resolve(room);
  }

  private attach(room: Room, joined: Of<'joined'>, opened: boolean): void {
    const attached = room.attached;
    room.attached = true;
    room.opening &&= !opened;
    room.standing = room.standing === 'joining' ? 'member' : room.standing;
    room.name = joined.name;
    room.role = joined.role;
    room.direct = joined.direct;
    room.membersCount = joined.membersCount;
    room.read = joined.read;
    room.learn(joined.members);
    room.position(joined.head, joined.first);
    room.feed.onJoined(joined.head, joined.first);
    if (!attached || room.outbox.resync) {
      const lost = room.outbox.onStanding(joined.clientSequence);
      const error = new RingwireError('device_shared', 'another client uses this device id; its fate is unknown');
      lost.forEach((entry) => this.keeper.settle(room, entry, error));
    }
    if (!attached) {
      room.cursors.onRewound(joined.head);
      room.cursors.onAttached(joined.read, joined.delivered);
      if (room.counted) {
        this.askSelf({ type: 'plain', write: (request) => write.watchCounts(request, room.id, true) });
      }
    }
    this.timers.cancel(`attach ${room.id}`);
    this.emit('joined', { conversation: room.id, head: joined.head });
    this.keeper.keep(room);
    this.fed(room);
    this.pump();
  }

  private onDone(done: Of<'done'>): void {
    const request = this.takeAnswer(done.request);
    const room = this.rooms.get(done.conversation);
    if (!request) {
      // Late, and it names an entry: the conversation is left, though the caller was told that leaving had failed.
      if (room?.attached && done.sequence !== 0 && room.standing !== 'joining') {
        this.endRoom(room, new RingwireError('not_joined', 'this conversation was left'));
      }
      return;
    }
    if (request.ask.type === 'leave' && room) {
      this.forget(room, new RingwireError('not_joined', 'this conversation was left'));
    } else if (request.ask.type !== 'plain' && request.ask.type !== 'close') {
      throw new RingwireError('protocol', 'Done where content was asked for', 3505);
    }
    request.resolve(done.sequence);
  }

  /** Asks the server where the conversation stands, and to feed it live. */
  open(room: Room): void {
    if (!this.connection.isLive || room.opening || this.rooms.get(room.id) !== room) {
      return;
    }
    room.opening = true;
    room.openedAt = now();
    const frame = (request: number) => write.open(request, room.id, room.feed.cursor);
    this.askSelf({ type: 'open', conversation: room.id, write: frame });
  }

  /** Takes the request that this number answers out of those that wait, if the answer fits it. */
  answer(number: number, types: readonly Ask['type'][], conversation: Id): Request | undefined {
    const request = this.takeAnswer(number);
    if (request && !(types.includes(request.ask.type) && request.ask.conversation === conversation)) {
      throw new RingwireError('protocol', 'an answer to something else than was asked', 3505);
    }
    return request;
  }

  takeAnswer(number: number): Request | undefined {
    this.timers.cancel(`request ${number}`);
    this.timers.cancel(`again ${number}`);
    const request = this.requests.remove(number);
    if (request?.ask.type === 'fill') {
      this.filler.inFlight -= 1;
    }
    return request;
  }

  /** The request is over, without success. */
  fail(request: Request, error: Error): void {
    if (!this.takeAnswer(request.number)) {
      return;
    }
    request.reject(error);
    if (!this.ended) {
      onRequestOver(this, request, error);
    }
  }

  /** The conversation is no longer this client's: the server said so. */
  endRoom(room: Room, error: RingwireError): void {
    this.forget(room, error);
    this.emit('ended', { conversation: room.id, error });
  }

  /** Ends the conversation here: its publishes and requests fail, and nothing more comes from it. */
  forget(room: Room, why: Error, keep = false): void {
    const error = why instanceof RingwireError ? why : new RingwireError('not_joined', why.message);
    this.rooms.delete(room.id);
    this.inFlight -= room.outbox.inFlight;
    for (const entry of room.outbox.drain()) {
      this.keeper.settle(room, entry, error, keep);
    }
    for (const request of this.requests.about(room.id)) {
      this.fail(request, error);
    }
    this.cancelTimers(room);
    this.filler.pump();
  }

  private cancelTimers(room: Room): void {
    for (const what of ['attach', 'outbox', 'fill', 'delivered', 'typists']) {
      this.timers.cancel(`${what} ${room.id}`);
    }
  }
}
