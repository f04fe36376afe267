// What is current of a conversation: messages with their edits, deletes and reactions folded in (W-53). The order in which
// the parts arrive does not matter, and neither does it whether one arrives twice; so live messages, raw pages and current
// pages may be applied as they come.
//
// It grows with what is applied. Absent: who may edit what, which the server decided before it took the entry.

import { Kind, type Message } from './content.js';
import type { Id } from './ids.js';

/** One message as it stands now. */
export interface TimelineEntry {
  readonly sequence: number;
  /** As it was published; `undefined` if it was deleted, or has not come. */
  message: Message | undefined;
  /** The newest edit. */
  edit: Message | undefined;
  /** The entry that deleted it. */
  deleted: Message | undefined;
  /** Of each user the newest; an empty one was taken back. */
  readonly reactions: Map<Id, Message>;
}

export class Timeline {
  private readonly entries = new Map<number, TimelineEntry>();

  /** Takes a part in; the sequence of what is to be drawn again, if anything. */
  apply(part: Message): number | undefined {
    const amends = part.kind === Kind.Edit || part.kind === Kind.Delete || part.kind === Kind.Reaction;
    const sequence = amends ? part.reference : part.sequence;
    let entry = this.entries.get(sequence);
    if (!entry) {
      const nothing = { message: undefined, edit: undefined, deleted: undefined };
      entry = { sequence, ...nothing, reactions: new Map() };
      this.entries.set(sequence, entry);
    }
    return applyTo(entry, part) ? sequence : undefined;
  }

  get(sequence: number): TimelineEntry | undefined {
    return this.entries.get(sequence);
  }

  /** What counts, grouped: each reaction with who gave it. */
  reactions(sequence: number): Map<string, Message[]> {
    const groups = new Map<string, Message[]>();
    for (const reaction of this.entries.get(sequence)?.reactions.values() ?? []) {
      if (reaction.text) {
        groups.set(reaction.text, [...(groups.get(reaction.text) ?? []), reaction]);
      }
    }
    return groups;
  }
}

function applyTo(entry: TimelineEntry, part: Message): boolean {
  if (part.kind === Kind.Delete) {
    // Two may have deleted it at the same time: the first one did.
    if (entry.deleted && entry.deleted.sequence <= part.sequence) {
      return false;
    }
    entry.deleted = part;
    entry.message = undefined;
    entry.edit = undefined;
    entry.reactions.clear();
    return true;
  }
  if (entry.deleted) {
    return false;
  }
  const before =
    part.kind === Kind.Edit
      ? entry.edit
      : part.kind === Kind.Reaction
        ? entry.reactions.get(part.sender)
        : entry.message;
  if (before && before.sequence >= part.sequence) {
    return false;
  }
  if (part.kind === Kind.Edit) {
    entry.edit = part;
  } else if (part.kind === Kind.Reaction) {
    entry.reactions.set(part.sender, part);
  } else {
    entry.message = part;
  }
  return true;
}
