// WebTransport: the same frames over QUIC, where nothing waits behind what was lost of something else.
//
// ```text
//   one bidirectional stream   everything, frames behind each other (W-70)
//   streams of the server      pages of history, which then delay no live message
//   datagrams                  typing and presence, one frame each; they may be lost (W-72)
// ```
//
// It is tried first where it can be had, and given up for WebSocket in bounded time: networks that let no UDP through say
// nothing, they only swallow. What did not work is not tried again for a while, also not by the next page.

import { FRAME_BYTES_TAKEN, WEB_TRANSPORT_AVOIDED, WEB_TRANSPORT_PATIENCE } from './limits.js';
import { type Link, type LinkEvents, type Transport, webSocket } from './transport.js';
import { HEADER_BYTES, u32 } from './wire/frame.js';

export interface WebTransportChoice {
  /** Of a server whose certificate no authority has signed, as in development: asked for before each connection. */
  readonly serverCertificateHashes?: () => Promise<WebTransportHash[]>;
}

/** WebTransport where the browser has it and the server answers it soon, else WebSocket. The server's URL stays `wss:`. */
export function webTransportFirst({ serverCertificateHashes }: WebTransportChoice = {}): Transport {
  const avoided = new Map<string, number>();
  let suspected = false;
  return (url, events) => {
    // A server has QUIC where it has TLS.
    if (typeof WebTransport !== 'function' || !url.startsWith('wss:') || isAvoided(avoided, url)) {
      return webSocket(url, events);
    }
    const remember = (until: number) => {
      avoided.set(url, until);
      try {
        localStorage.setItem(KEPT + url, String(until));
      } catch {
        // Then the next page finds out for itself.
      }
    };
    const pass = {
      onMessage: (bytes: Uint8Array) => events.onMessage(bytes),
      onFault: (why: string) => events.onFault(why),
      onClosed: (code: number, reason: string) => events.onClosed(code, reason),
    };
    // That it gets through where the other did not says that the server is there: the way is what is the matter.
    const other = () =>
      webSocket(url, {
        ...pass,
        onOpen: () => {
          remember(Date.now() + WEB_TRANSPORT_AVOIDED);
          events.onOpen();
        },
      });
    if (suspected) {
      suspected = false;
      return other();
    }
    const instead = () => {
      clearTimeout(timer);
      if (link === first) {
        link = other();
        first.close(1000, '');
      }
    };
    const first: Link = webTransport(url, serverCertificateHashes, {
      onOpen: () => {
        clearTimeout(timer);
        if (link === first) {
          opened = true;
          // Until it has been heard once.
          suspected = true;
          events.onOpen();
        }
      },
      ...pass,
      onMessage: (bytes) => {
        suspected = false;
        events.onMessage(bytes);
      },
      onClosed: (code, reason) => (opened ? events.onClosed(code, reason) : instead()),
    });
    let opened = false;
    let link = first;
    const timer = setTimeout(instead, WEB_TRANSPORT_PATIENCE);
    return {
      send: (bytes) => link.send(bytes),
      tell: (bytes) => (link.tell ?? link.send)(bytes),
      get waiting() {
        return link.waiting;
      },
      close: (code, reason) => {
        clearTimeout(timer);
        opened = true;
        link.close(code, reason);
      },
    };
  };
}

const KEPT = 'ringwire without WebTransport ';

function isAvoided(avoided: Map<string, number>, url: string): boolean {
  let until = avoided.get(url) ?? 0;
  try {
    until = Math.max(until, Number(localStorage.getItem(KEPT + url)));
  } catch {
    // What this page knows has to do.
  }
  const left = until - Date.now();
  // A clock that was set back must not avoid it for years.
  return left > 0 && left <= WEB_TRANSPORT_AVOIDED;
}

function webTransport(url: string, hashes: WebTransportChoice['serverCertificateHashes'], events: LinkEvents): Link {
  let session: WebTransport | undefined;
  let writer: WritableStreamDefaultWriter<Uint8Array> | undefined;
  let datagrams: WritableStreamDefaultWriter<Uint8Array> | undefined;
  let waiting = 0;
  let greeted = false;
  let ended = false;
  const end = (code: number, reason: string) => {
    if (!ended) {
      ended = true;
      events.onClosed(code, reason);
    }
  };
  // Bytes that are no frames are one thing, a session that broke another.
  const cut = (stream: ReadableStream<Uint8Array>) => whole(stream, take, (why) => ended || events.onFault(why));
  const take = (bytes: Uint8Array) => {
    if (!ended && bytes.length > 0) {
      greeted = true;
      events.onMessage(bytes);
    }
  };
  const run = async () => {
    const known = await hashes?.();
    if (ended) {
      return;
    }
    const { host } = new URL(url);
    session = new WebTransport(`https://${host}/v1/wt`, known?.length ? { serverCertificateHashes: known } : {});
    session.closed.then(
      ({ closeCode = 0, reason = '' }) => end(closeCode, reason),
      (error: unknown) => end(0, String(error)),
    );
    await session.ready;
    const { readable, writable } = await session.createBidirectionalStream();
    writer = writable.getWriter();
    if (ended) {
      return;
    }
    events.onOpen();
    void each(session.incomingUnidirectionalStreams, (stream: ReadableStream<Uint8Array>) => void cut(stream).catch(fail));
    datagrams = session.datagrams.writable.getWriter();
    // One that has overtaken the server's welcome is of a moment that has passed.
    void each(session.datagrams.readable, (bytes: Uint8Array) => greeted && take(bytes));
    await cut(readable);
    // The server has ended the stream: what it says about the session comes next, if anything.
    setTimeout(end, 1_000, 0, 'the server ended the stream');
  };
  const fail = (error: unknown) => {
    session?.close();
    end(0, String(error));
  };
  // The session says why before its streams do.
  run().catch((error: unknown) => setTimeout(fail, 0, error));
  return {
    send: (bytes) => {
      waiting += bytes.length;
      const sent = () => {
        waiting -= bytes.length;
      };
      writer?.write(bytes).then(sent, sent);
    },
    tell: (bytes) => void datagrams?.write(bytes).catch(() => {}),
    get waiting() {
      return waiting;
    },
    close: (closeCode, reason) => {
      end(0, reason);
      // It throws where it never opened; whoever waits for it is told by `ended`.
      try {
        session?.close({ closeCode, reason });
      } catch {
        // Then there is nothing to close.
      }
    },
  };
}

/** Everything that a stream has, until it ends or breaks. */
async function each<T>(stream: ReadableStream<T>, act: (value: T) => void): Promise<void> {
  const reader = stream.getReader();
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      act(next.value);
    }
  } catch {
    // The session's end says why.
  }
}

/** Cuts a stream of bytes between frames: gives what is whole, keeps the rest. */
async function whole(
  stream: ReadableStream<Uint8Array>,
  take: (bytes: Uint8Array) => void,
  fault: (why: string) => void,
): Promise<void> {
  const reader = stream.getReader();
  let rest = new Uint8Array();
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    const bytes = new Uint8Array(rest.length + next.value.length);
    bytes.set(rest);
    bytes.set(next.value, rest.length);
    let end = 0;
    for (let left = bytes.length; left >= HEADER_BYTES; left = bytes.length - end) {
      const length = HEADER_BYTES + u32(bytes, end);
      if (length > FRAME_BYTES_TAKEN) {
        return fault(`a frame of ${length} bytes`);
      }
      if (length > left) {
        break;
      }
      end += length;
    }
    take(bytes.subarray(0, end));
    rest = bytes.slice(end);
  }
  if (rest.length > 0) {
    fault('a frame is cut');
  }
}
