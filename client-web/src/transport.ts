// How bytes get to the server and back: the seam between the client and what the browser offers. The client asks for a
// link and is told how it ends; it does not know what a socket is.
//
// Here is WebSocket; `webtransport` has the other one, and the choice between the two.

import { MESSAGE_BYTES_TAKEN } from './limits.js';

/** What a link tells. After `onClosed` it tells nothing more. */
export interface LinkEvents {
  onOpen(): void;
  /** One message: whole frames. */
  onMessage(bytes: Uint8Array): void;
  /** What came is not this protocol. Who is told ends the link. */
  onFault(why: string): void;
  /** The end, also of a link that never opened. `code` 0: there was none. */
  onClosed(code: number, reason: string): void;
}

/** One connection, or the attempt at one. */
export interface Link {
  send(bytes: Uint8Array): void;
  /** Sends one frame that may be lost, and waits behind nothing; absent: there is only `send`. */
  tell?(bytes: Uint8Array): void;
  /** Bytes that were sent and have not left. */
  readonly waiting: number;
  /** Ends it; `onClosed` follows, now or when the other side has answered. */
  close(code: number, reason: string): void;
}

export type Transport = (url: string, events: LinkEvents) => Link;

/** RFC 6455, subprotocol `ringwire.v1` (W-62). */
export const webSocket: Transport = (url, events) => {
  const socket = new WebSocket(url, 'ringwire.v1');
  socket.binaryType = 'arraybuffer';
  let ended = false;
  const end = (code: number, reason: string) => {
    if (!ended) {
      ended = true;
      events.onClosed(code, reason);
    }
  };
  socket.onopen = () => {
    if (!ended) {
      events.onOpen();
    }
  };
  socket.onmessage = ({ data }: MessageEvent<ArrayBuffer | string>) => {
    if (ended) {
      return;
    }
    if (typeof data === 'string' || data.byteLength > MESSAGE_BYTES_TAKEN) {
      return events.onFault('a message that is text, or too long');
    }
    events.onMessage(new Uint8Array(data));
  };
  // 1005 is "no code", 1006 "no goodbye": neither is anybody's word.
  socket.onclose = ({ code, reason }) => {
    end(code === 1005 || code === 1006 ? 0 : code, reason);
  };
  return {
    send: (bytes) => {
      socket.send(bytes as Uint8Array<ArrayBuffer>);
    },
    get waiting() {
      return socket.bufferedAmount;
    },
    close: (code, reason) => {
      // A page may say 1000 and 3000 to 4999 only.
      socket.close(code >= 3000 ? code : 1000, reason);
      // A server that is gone does not answer, and the browser waits long: for the client it ends here.
      end(0, reason);
    },
  };
};
