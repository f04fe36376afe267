// What a message says about a file (W-91). It was said by the sender: only the content's name is certain.

import { Kind } from '../content.js';

/** A file that a message refers to. An application may add members of its own; who does not know them skips them. */
export interface Attachment {
  /** What the object is called: the BLAKE3 of its content, 64 hexadecimal digits. */
  readonly media: string;
  /** As in `image/png`. */
  readonly type: string;
  readonly bytes: number;
  /** What the sender calls the file. It may be anything: see {@link fileName}. */
  readonly name: string;
  readonly [more: string]: unknown;
}

/** The body of the message that refers to it, for `Conversation.publish` with `Kind.Media`. */
export function attachmentBody(attachment: Attachment): string {
  return JSON.stringify(attachment);
}

/** The file that a message refers to; `undefined`: none, or not in this form, as where the application encrypts. */
export function attachmentOf(message: { readonly kind: number; readonly body: Uint8Array }): Attachment | undefined {
  if (message.kind !== Kind.Media) {
    return undefined;
  }
  try {
    const said = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(message.body)) as Partial<Attachment> | null;
    const { media, type, bytes, name } = said ?? {};
    const fits =
      isObjectName(media) && typeof type === 'string' && typeof name === 'string' && Number.isSafeInteger(bytes) && bytes! >= 0;
    return fits ? (said as Attachment) : undefined;
  } catch {
    return undefined;
  }
}

export function isObjectName(text: unknown): text is string {
  return typeof text === 'string' && /^[0-9a-f]{64}$/.test(text);
}

/** What file systems take, with room for an ending. */
const FILE_NAME_BYTES_MAX = 200;

/** The name as a name for a file in a folder of one's own: no path, no hidden file, nothing that shows as something else. */
export function fileName(name: string): string {
  const last = name.split(/[/\\]/).at(-1)!;
  const plain = last.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}<>:"|?*]/gu, '');
  const characters = [...plain.trim().replace(/^\.+/, '')].slice(0, FILE_NAME_BYTES_MAX);
  while (new TextEncoder().encode(characters.join('')).length > FILE_NAME_BYTES_MAX) {
    characters.pop();
  }
  return characters.join('') || 'file';
}
