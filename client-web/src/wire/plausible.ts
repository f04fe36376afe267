// Whether what a verified frame says can be true.

import type { ServerFrame } from './read.js';

/** Whether the sequences are ones that can be counted on from: no server gets beyond 2^53 by counting. */
export function plausible(frame: ServerFrame): boolean {
  const counted = (...values: number[]) => values.every((value) => Number.isSafeInteger(value));
  switch (frame.type) {
    case 'message':
      return counted(frame.message.sequence) && frame.message.sequence >= 1;
    case 'joined':
      return counted(frame.head, frame.first, frame.clientSequence);
    case 'head':
      return counted(frame.head);
    case 'gap':
      return counted(frame.from, frame.to) && frame.from >= 1 && frame.from <= frame.to;
    case 'page':
      return counted(frame.head) && (frame.to < frame.from || (counted(frame.to) && frame.to <= frame.head));
    default:
      return true;
  }
}
