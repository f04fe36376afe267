// Up to where the user has read a conversation, and this device has it: what there is to say, and what the server knows.
// Both only grow, except where the server has lost what they pointed at (W-57). Lives across connections.

import { DELIVERED_EVERY } from './limits.js';

export class Cursors {
  private read = 0;
  private readKnown = 0;
  private delivered = 0;
  private deliveredKnown = 0;
  private deliveredAt = Number.NEGATIVE_INFINITY;

  /** Whether that is news. */
  onRead(sequence: number): boolean {
    const news = sequence > this.read;
    this.read = Math.max(this.read, sequence);
    return news;
  }

  onDelivered(sequence: number): void {
    this.delivered = Math.max(this.delivered, sequence);
  }

  /** A new connection: what was told on the one before may not have arrived. */
  onAttached(read: number, delivered: number): void {
    this.readKnown = read;
    this.deliveredKnown = delivered;
  }

  /** The server has lost what was behind `head`. */
  onRewound(head: number): void {
    this.read = Math.min(this.read, head);
    this.delivered = Math.min(this.delivered, head);
  }

  takeRead(): number | undefined {
    if (this.read <= this.readKnown) {
      return undefined;
    }
    this.readKnown = this.read;
    return this.read;
  }

  /** When the server is to be told what was delivered; what is read is delivered. */
  deliveredDue(): number | undefined {
    const known = Math.max(this.deliveredKnown, this.readKnown, this.read);
    return this.delivered > known ? this.deliveredAt + DELIVERED_EVERY : undefined;
  }

  takeDelivered(now: number): number | undefined {
    const due = this.deliveredDue();
    if (due === undefined || due > now) {
      return undefined;
    }
    this.deliveredKnown = this.delivered;
    this.deliveredAt = now;
    return this.delivered;
  }
}
