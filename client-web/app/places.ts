// Where else the server is that this page came from (docs/media.md).

interface Places {
  readonly media_port?: number;
  /** Whether that port speaks TLS. */
  readonly media_tls?: boolean;
  /** Of a server in development, whose certificate no authority has signed. */
  readonly certificate_sha256?: string;
}

/** What the browser has to be told of the server's certificate before it speaks WebTransport with it. */
export async function certificateHashes(): Promise<WebTransportHash[]> {
  const { certificate_sha256: digits } = await places();
  const bytes = digits?.match(/[0-9a-f]{2}/g)?.map((two) => Number.parseInt(two, 16));
  return bytes ? [{ algorithm: 'sha-256', value: Uint8Array.from(bytes) }] : [];
}

/** The URL of the server's media; `undefined`: there are none. */
export async function mediaUrl(): Promise<string | undefined> {
  const { media_port: port, media_tls: isSecure } = await places();
  if (!port) {
    return undefined;
  }
  // An address without a port is a proxy's, which passes the media on beside everything else.
  if (!location.port) {
    return `${location.origin}/v1/media`;
  }
  // Without TLS there, a page that came over TLS may go there on this machine only, or where something before it speaks TLS.
  const { hostname } = location;
  const here = hostname === 'localhost' || hostname === '[::1]' || hostname.startsWith('127.');
  const scheme = isSecure ? 'https:' : here ? 'http:' : location.protocol;
  return `${scheme}//${hostname}:${port}/v1/media`;
}

async function places(): Promise<Places> {
  try {
    const response = await fetch('/v1/places');
    return response.ok ? ((await response.json()) as Places) : {};
  } catch {
    // A server that is away: the next connection asks again.
    return {};
  }
}
