// The publishes of one conversation that have no acknowledgement yet, and the numbers that make them exactly-once.
//
// ```text
//  push -> waiting --send--> flying --Ack----------------------------> accepted -> gone, the caller knows the sequence
//             ^                 |---Reject, final--------------------> dead -----> gone, the caller knows the reason
//             |                 '---Reject, later / gap--> bounced --.
//             '------- the flight is over, or the connection is -----'
// ```
//
// Owner: one conversation; lives across connections and, by what the store keeps, across reloads. Invariants:
// - entries leave in the order they came, and are sent in that order;
// - a number once sent goes to another entry only when the server has said that it did not accept it, and everything sent
//   behind it on this connection has been answered: no answer is ever ambiguous;
// - **a number is in the store before a frame with it leaves**, so a page that is reloaded sends the same number again,
//   and the server knows it (W-43).
//
// Absent: frames, timers, the store itself.

/** What there is to publish. */
export interface Draft {
  readonly kind: number;
  readonly reference: number;
  readonly body: Uint8Array;
}

export interface Entry extends Draft {
  /** Order of the device's publishes, and the key in the store. */
  readonly id: number;
  readonly createdMs: number;
  /** 0 until the server has said where it stands. */
  number: number;
  /** The number that the store has; -1: it does not have the entry. */
  stored: number;
  slot: 'waiting' | 'flying' | 'bounced' | 'accepted' | 'dead';
  /** The server may have accepted it without our knowing. */
  unsure: boolean;
}

export type Verdict = { readonly type: 'final' | 'resend' } | { readonly type: 'later'; readonly at: number };

export class Outbox {
  entries: Entry[] = [];
  bytes = 0;
  inFlight = 0;
  /** The flight is over, but the server has to say where it stands. */
  resync = false;
  /** The number of the entry that comes next; 0 until the server has said where it stands. */
  private nextNumber = 0;
  /** The highest number ever sent. */
  private high = 0;
  /** Entries before this index need no sending on this connection. */
  private next = 0;
  private halted: { notBefore: number; explained: boolean } | undefined;
  /** Falls to one when the server is busy, doubles with every acknowledgement. */
  private window = Number.POSITIVE_INFINITY;

  /** Takes a publish in; the caller has checked the bounds. */
  push(entry: Entry): void {
    entry.number = this.nextNumber;
    if (this.nextNumber !== 0) {
      this.nextNumber += 1;
    }
    this.entries.push(entry);
    this.bytes += entry.body.length;
  }

  /** An entry that the store kept over a reload, in the order of ids. */
  restore(entry: Entry): void {
    this.high = Math.max(this.high, entry.number);
    this.entries.push(entry);
    this.bytes += entry.body.length;
  }

  /** The entry to send now, if the window, the server and the store let one go. */
  peek(window: number): Entry | undefined {
    const open = this.nextNumber !== 0 && !this.halted && !this.resync;
    if (!open || this.inFlight >= Math.min(window, this.window)) {
      return undefined;
    }
    // What was accepted out of turn is not sent again.
    while (this.entries[this.next]?.slot === 'accepted') {
      this.next += 1;
    }
    const entry = this.entries[this.next];
    return entry && entry.stored === entry.number ? entry : undefined;
  }

  /** What {@link peek} gave has been written. */
  sent(): void {
    const entry = this.entries[this.next]!;
    entry.slot = 'flying';
    this.high = Math.max(this.high, entry.number);
    this.next += 1;
    this.inFlight += 1;
  }

  /** Entries that the store has to have, or to have anew. */
  unstored(): Entry[] {
    return this.entries.filter((entry) => entry.stored !== entry.number && entry.slot !== 'accepted');
  }

  /** The entry that this acknowledges; `undefined`: none waits for it, or it will be sent again. */
  onAck(number: number, duplicate: boolean): Entry | undefined {
    const entry = this.find(number);
    if (!entry) {
      return undefined;
    }
    this.inFlight -= 1;
    if (duplicate && !entry.unsure) {
      // The server had this number, though ours cannot have been the one that used it: somebody has the same device.
      entry.slot = 'bounced';
      this.halted ??= { notBefore: 0, explained: false };
      return undefined;
    }
    entry.slot = 'accepted';
    this.bytes -= entry.body.length;
    this.window *= 2;
    this.popAccepted();
    return entry;
  }

  /** The entry that this ends for good, if it does. */
  onReject(number: number, verdict: Verdict): Entry | undefined {
    const entry = this.find(number);
    if (!entry) {
      return undefined;
    }
    this.inFlight -= 1;
    entry.slot = verdict.type === 'final' ? 'dead' : 'bounced';
    const halt = (this.halted ??= { notBefore: 0, explained: false });
    halt.explained ||= verdict.type !== 'resend';
    if (verdict.type === 'later') {
      halt.notBefore = Math.max(halt.notBefore, verdict.at);
      this.window = 1;
    }
    if (verdict.type !== 'final') {
      return undefined;
    }
    this.bytes -= entry.body.length;
    return entry;
  }

  /** Looks whether a flight with refusals is over; then everything that is left waits again, from that time on. */
  land(): { readonly type: 'flying' | 'resync' } | { readonly type: 'again'; readonly at: number } {
    const halt = this.halted;
    if (!halt || this.inFlight > 0) {
      return { type: 'flying' };
    }
    this.halted = undefined;
    this.rewind();
    // Only gaps: the server does not have what stands before the oldest. The same again would get the same answer.
    this.resync = !halt.explained && this.entries.length > 0;
    return this.resync ? { type: 'resync' } : { type: 'again', at: halt.notBefore };
  }

  /** The server said which number it accepted last. Returns the publishes whose fate cannot be known any more. */
  onStanding(accepted: number): Entry[] {
    if (this.inFlight > 0) {
      // A snapshot taken while frames are under way is older than their answers will be.
      return [];
    }
    this.resync = false;
    this.halted = undefined;
    this.rewind();
    let lost: Entry[] = [];
    if (this.nextNumber !== 0 && accepted > this.high) {
      // Numbers that were never sent are taken: where ours had no answer, somebody else's may stand.
      lost = this.entries.filter((entry) => entry.unsure && entry.slot === 'waiting');
      this.entries = this.entries.filter((entry) => !lost.includes(entry));
      this.bytes -= lost.reduce((sum, entry) => sum + entry.body.length, 0);
    }
    // What may have been accepted keeps its number, and gets its acknowledgement again. Everything else is numbered
    // densely from there on.
    this.high = Math.max(this.high, accepted);
    this.nextNumber = accepted + 1;
    for (const entry of this.entries) {
      if (entry.slot !== 'accepted' && (!entry.unsure || entry.number > accepted)) {
        entry.number = this.nextNumber;
        this.nextNumber += 1;
      }
    }
    return lost;
  }

  /** The connection is gone: whatever flew waits again. */
  onDisconnected(): void {
    for (const entry of this.entries) {
      entry.unsure ||= entry.slot === 'flying';
    }
    this.inFlight = 0;
    this.halted = undefined;
    this.resync = false;
    this.window = Number.POSITIVE_INFINITY;
    this.rewind();
  }

  /** Everything goes: the publishes that nobody has been told about. */
  drain(): Entry[] {
    const rest = this.entries.filter((entry) => entry.slot !== 'accepted' && entry.slot !== 'dead');
    this.entries = [];
    this.bytes = 0;
    this.inFlight = 0;
    this.next = 0;
    this.halted = undefined;
    return rest;
  }

  private find(number: number): Entry | undefined {
    const sent = this.entries.slice(0, this.next);
    return sent.find((entry) => entry.number === number && entry.slot === 'flying');
  }

  /** Removes the dead, gives their numbers back, and lets everything else wait. */
  private rewind(): void {
    const first = this.entries.findIndex((entry) => entry.slot === 'dead');
    if (first >= 0) {
      const number = this.entries[first]!.number;
      // A server that accepted something behind what it refused has used the refused number for good; then its next word
      // about where it stands decides.
      const used = this.entries.slice(first).some((entry) => entry.slot === 'accepted');
      this.entries = this.entries.filter((entry) => entry.slot !== 'dead');
      if (!used) {
        this.nextNumber = number;
        for (const entry of this.entries.slice(first)) {
          entry.number = this.nextNumber;
          this.nextNumber += 1;
        }
      }
    }
    for (const entry of this.entries) {
      if (entry.slot !== 'accepted') {
        entry.slot = 'waiting';
      }
    }
    this.next = 0;
    this.popAccepted();
  }

  private popAccepted(): void {
    while (this.entries[0]?.slot === 'accepted') {
      this.entries.shift();
      this.next = Math.max(0, this.next - 1);
    }
  }
}
