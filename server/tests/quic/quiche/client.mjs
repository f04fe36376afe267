// A client on quiche (Cloudflare's QUIC, as @matrixai/quic binds it), told what to do line by line:
//
//     node client.mjs HOST PORT ALPN
//
// It takes and says the lines of ../aioquic/client.py, as far as the binding goes: no datagrams, no tickets.

import Logger, { LogLevel } from '@matrixai/logger';
import { QUICClient } from '@matrixai/quic';
import { webcrypto } from 'node:crypto';
import { createInterface } from 'node:readline';

const [host, port, alpn] = process.argv.slice(2);
const say = (...words) => console.log(...words);

const read = async (stream) => {
  for await (const bytes of stream.readable) say('stream', stream.streamId, Buffer.from(bytes).toString('hex'));
};

const said = (error) => {
  const data = error?.data ?? error?.cause?.data ?? {};
  say('closed', data.errorCode ?? 0, Buffer.from(data.reason ?? '').toString());
};

let client;
try {
  client = await QUICClient.createQUICClient({
    host,
    port: Number(port),
    serverName: 'localhost',
    localHost: '127.0.0.1',
    crypto: { ops: { randomBytes: async (data) => void webcrypto.getRandomValues(new Uint8Array(data)) } },
    logger: new Logger('quiche', LogLevel.SILENT, []),
    config: { verifyPeer: false, applicationProtos: [alpn] },
  });
} catch (error) {
  said(error);
  process.exit(0);
}
say('ready', 'False');
client.connection.addEventListener('EventQUICConnectionError', (event) => said(event.detail));
client.connection.addEventListener('EventQUICConnectionStream', (event) => read(event.detail).catch(() => {}));

let writer;
for await (const line of createInterface({ input: process.stdin })) {
  const [verb, digits = ''] = line.split(' ');
  if (verb === 'stream') {
    if (writer === undefined) {
      const stream = client.connection.newStream();
      read(stream).catch(() => {});
      writer = stream.writable.getWriter();
    }
    await writer.write(Buffer.from(digits, 'hex')).catch(() => {});
  } else {
    break;
  }
}
await client.destroy({ force: true, isApp: true, errorCode: 1000 }).catch(() => {});
process.exit(0);
