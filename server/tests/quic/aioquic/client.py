"""A client on aioquic, told what to do line by line.

    python client.py HOST PORT ALPN [TICKET_FILE]

Lines in:   stream HEX      bytes on the client's stream, which the first one opens
            datagram HEX    one datagram
            end             closes the connection
Lines out:  ready EARLY     the handshake is complete; EARLY: whether early data were taken
            stream ID HEX   bytes of a stream; with " end" behind them where it ends
            datagram HEX
            closed CODE REASON

With a ticket file, a ticket that is in it is used (what is said before the handshake is early data then), and one
that the server gives is written to it.
"""

import asyncio
import os
import pickle
import ssl
import sys

from aioquic.asyncio import QuicConnectionProtocol, connect
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import (
    ConnectionTerminated,
    DatagramFrameReceived,
    HandshakeCompleted,
    StreamDataReceived,
)


def say(*words):
    print(*words, flush=True)


class Client(QuicConnectionProtocol):
    stream = None

    def quic_event_received(self, event):
        if isinstance(event, HandshakeCompleted):
            say("ready", event.early_data_accepted)
        elif isinstance(event, StreamDataReceived):
            say("stream", event.stream_id, event.data.hex() or "-", "end" if event.end_stream else "")
        elif isinstance(event, DatagramFrameReceived):
            say("datagram", event.data.hex())
        elif isinstance(event, ConnectionTerminated):
            say("closed", event.error_code, event.reason_phrase)

    def obey(self, line):
        verb, _, rest = line.partition(" ")
        if verb == "stream":
            if self.stream is None:
                self.stream = self._quic.get_next_available_stream_id()
            self._quic.send_stream_data(self.stream, bytes.fromhex(rest))
        elif verb == "datagram":
            self._quic.send_datagram_frame(bytes.fromhex(rest))
        else:
            self.close()
        self.transmit()


async def main(host, port, alpn, ticket_file):
    configuration = QuicConfiguration(
        is_client=True,
        alpn_protocols=[alpn],
        verify_mode=ssl.CERT_NONE,
        server_name="localhost",
        max_datagram_frame_size=65536,
    )
    if ticket_file and os.path.exists(ticket_file):
        with open(ticket_file, "rb") as file:
            configuration.session_ticket = pickle.load(file)

    def keep(ticket):
        if ticket_file:
            with open(ticket_file + ".new", "wb") as file:
                pickle.dump(ticket, file)
            os.replace(ticket_file + ".new", ticket_file)

    lines = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    is_early = configuration.session_ticket is not None
    async with connect(
        host,
        port,
        configuration=configuration,
        create_protocol=Client,
        session_ticket_handler=keep,
        wait_connected=not is_early,
    ) as client:
        while line := await lines.readline():
            client.obey(line.decode().strip())
    await client.wait_closed()


try:
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3], (sys.argv + [None])[4]))
except ConnectionError:
    # It was said already.
    pass
