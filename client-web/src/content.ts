// What the application sees: plain values.

import type { RingwireError } from './error.js';
import type { Entry } from './outbox.js';
import type { Id } from './ids.js';
import { type MembershipBody, type WireMessage, membership } from './wire/read.js';

export { ConversationKind, Kind, PresenceState, Role } from './generated/ringwire/wire.js';
import { Kind } from './generated/ringwire/wire.js';

/** One entry of a conversation. */
export interface Message extends WireMessage {
  /** What the sender is called, as far as it is known here. */
  readonly senderName: string | undefined;
  /** The body as text, where the kind is one of text; what is not UTF-8 in it is shown as such. */
  readonly text: string | undefined;
  /** Sent by this user, on any device. */
  readonly own: boolean;
  /** What it was published as here, if that is still unacknowledged. */
  readonly sending: Sending | undefined;
  /** What it says about members, where it does. */
  readonly membership: MembershipBody | undefined;
}

/** How a publish ended. */
export interface Published {
  /** Its place in the conversation; 0: it is stored, and the server does not remember where. */
  readonly sequence: number;
  readonly timeMs: number;
  /** The server had it before: an earlier sending had arrived. */
  readonly duplicate: boolean;
}

/** A publish on its way. `done` settles exactly once, however often the connection breaks. */
export class Sending {
  readonly done: Promise<Published>;
  /** How it ended, once it has. */
  published: Published | undefined;
  error: RingwireError | undefined;
  /** @internal */
  settle!: (outcome: Published | RingwireError) => void;

  /** @internal */
  constructor(
    readonly conversation: Id,
    /** @internal */
    readonly entry: Entry,
  ) {
    this.done = new Promise((resolve, reject) => {
      this.settle = (outcome) => {
        if (outcome instanceof Error) {
          this.error = outcome;
          reject(outcome);
        } else {
          this.published = outcome;
          resolve(outcome);
        }
      };
    });
    // Whoever does not wait for it is told by the event; it is no unhandled rejection.
    this.done.catch(() => {});
  }

  /** Order of this device's publishes. */
  get id(): number {
    return this.entry.id;
  }

  get kind(): Kind {
    return this.entry.kind;
  }

  get reference(): number {
    return this.entry.reference;
  }

  get createdMs(): number {
    return this.entry.createdMs;
  }

  get body(): Uint8Array {
    return this.entry.body;
  }

  get text(): string {
    return decoder.decode(this.entry.body);
  }
}

/** A part of a conversation's history. */
export interface History {
  readonly messages: readonly Message[];
  /** What was said about them: edits, deletes, reactions. Of the view `current` only. */
  readonly amendments: readonly Message[];
  /** What it answers for; the next part begins behind it. */
  readonly from: number;
  readonly to: number;
  readonly head: number;
  /** There is no more in this direction. */
  readonly complete: boolean;
}

/** Where the reader of a joined conversation begins. */
export type Start = 'latest' | { readonly last: number } | { readonly after: number };

const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
const TEXTS: readonly number[] = [Kind.Text, Kind.Edit, Kind.Reaction];

/** A message as the application sees it. */
export function toMessage(
  wire: WireMessage,
  user: Id,
  nameOf: (user: Id) => string | undefined,
  sending?: Sending,
): Message {
  let about: MembershipBody | undefined;
  if (wire.kind === Kind.Membership) {
    try {
      about = membership(wire.body);
    } catch {
      // A body that this version cannot read keeps its sequence (W-8).
    }
  }
  return {
    ...wire,
    senderName: nameOf(wire.sender),
    text: TEXTS.includes(wire.kind) ? decoder.decode(wire.body) : undefined,
    own: wire.sender === user,
    sending,
    membership: about,
  };
}
