// Names of users and conversations: what a server would refuse is refused here (W-11).

import { RingwireError } from './error.js';
import { NAME_BYTES_MAX } from './limits.js';

const encoder = new TextEncoder();

export function checkName(name: string): void {
  const bytes = encoder.encode(name).length;
  if (bytes === 0 || /\p{Cc}/u.test(name)) {
    throw new RingwireError('invalid', 'a name is empty or has control characters', 3607);
  }
  if (bytes > NAME_BYTES_MAX) {
    throw new RingwireError('invalid', `a name of ${bytes} bytes, of at most ${NAME_BYTES_MAX}`, 3608);
  }
}
