//! A server played by hand over a real socket, one frame at a time.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::net::SocketAddr;
use std::time::Duration;

use ringwire_client::ConversationId;
use ringwire_protocol::UserId;
use ringwire_protocol::frame;
use ringwire_protocol::limits::FRAME_BYTES_MAX;
use ringwire_protocol::message::{
    Ack, ClientFrame, ConversationKind, Durability, Encoder, Joined, Kind, Member, Message, Page, Role,
    ServerFrame, Welcome,
};
use ringwire_protocol::ws::handshake::{parse_request, response};
use ringwire_protocol::ws::{self, Decoder, Event, Opcode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Long enough for the slowest machine; only a failing test waits so long.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Listener(TcpListener);

impl Listener {
    pub async fn bind() -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address: SocketAddr = listener.local_addr().expect("bound");
        (Self(listener), format!("ws://{address}/v1/ws"))
    }

    /// The next connection, after the handshake.
    pub async fn accept(&self) -> Peer {
        let (mut stream, _) = tokio::time::timeout(PATIENCE, self.0.accept())
            .await
            .expect("a connection in time")
            .expect("accept");
        let mut input = Vec::new();
        let (upgrade, consumed) = loop {
            if let Some(whole) = parse_request(&input).expect("a proper request") {
                break whole;
            }
            assert_ne!(stream.read_buf(&mut input).await.expect("read"), 0, "closed within the handshake");
        };
        assert_eq!(upgrade.path, ws::PATH);
        stream.write_all(&response(&upgrade)).await.expect("write");
        input.drain(..consumed);
        Peer {
            stream,
            input,
            decoder: Decoder::new(ws::Role::Server, FRAME_BYTES_MAX),
            frames: Vec::new(),
            messages: 0,
            pongs: 0,
            encoder: Encoder::new(),
        }
    }

    /// The next connection, greeted.
    pub async fn greet(&self) -> (Peer, Vec<(ConversationId, u64)>, String) {
        let mut peer = self.accept().await;
        let Sent::Hello { token, cursors } = peer.next().await else { panic!("Hello comes first") };
        peer.send(&[ServerFrame::Welcome(welcome())]).await;
        (peer, cursors, token)
    }
}

pub fn welcome() -> Welcome<'static> {
    Welcome {
        version: 1,
        session: 1,
        user: UserId::from_name("me"),
        name: "me",
        heartbeat_ms: 20_000,
        frame_bytes_max: FRAME_BYTES_MAX as u32,
        body_bytes_max: 32 * 1024,
        publish_window: 64,
        server_time_ms: 1,
        heads: Default::default(),
    }
}

/// What the client sent, as far as these tests care.
#[derive(Clone, PartialEq, Debug)]
pub enum Sent {
    Hello {
        token: String,
        cursors: Vec<(ConversationId, u64)>,
    },
    Join {
        request: u32,
        name: String,
    },
    Publish {
        conversation: ConversationId,
        number: u64,
        body: Vec<u8>,
    },
    Fetch {
        request: u32,
        from: u64,
        limit: u16,
    },
    /// The answer to [`Peer::ping`].
    Pong,
    Other(String),
}

pub struct Peer {
    stream: TcpStream,
    input: Vec<u8>,
    decoder: Decoder,
    frames: Vec<Sent>,
    /// WebSocket messages received.
    pub messages: usize,
    pongs: usize,
    encoder: Encoder,
}

impl Peer {
    /// The next frame; panics when the client closes instead.
    pub async fn next(&mut self) -> Sent {
        self.try_next().await.expect("a frame and not the end")
    }

    /// The next frame, or `None` if the client has closed.
    pub async fn try_next(&mut self) -> Option<Sent> {
        loop {
            if !self.frames.is_empty() {
                return Some(self.frames.remove(0));
            }
            let mut input = std::mem::take(&mut self.input);
            let mut rest = &mut input[..];
            while let Some(event) = self.decoder.next(&mut rest).expect("proper framing") {
                match event {
                    Event::Message { data, .. } => {
                        self.messages += 1;
                        let mut data = data;
                        while let Some(frame) =
                            frame::split(&mut data, FRAME_BYTES_MAX).expect("whole frames")
                        {
                            let frame = ClientFrame::decode(frame).expect("a valid frame");
                            // Told by every client of its own accord, about once a second.
                            if !matches!(frame, ClientFrame::Delivered(_)) {
                                self.frames.push(read(&frame));
                            }
                        }
                    }
                    Event::Close { .. } => return None,
                    Event::Pong(_) => self.pongs += 1,
                    Event::Ping(_) => {}
                }
            }
            if self.frames.is_empty() {
                if std::mem::take(&mut self.pongs) > 0 {
                    return Some(Sent::Pong);
                }
                let read = tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.input));
                match read.await.expect("something in time") {
                    Ok(0) | Err(_) => return None,
                    Ok(_) => {}
                }
            }
        }
    }

    pub async fn send(&mut self, frames: &[ServerFrame<'_>]) {
        let mut bytes = Vec::new();
        for frame in frames {
            frame.encode(&mut self.encoder, &mut bytes);
        }
        let mut out = Vec::new();
        ws::write_message(&mut out, Opcode::Binary, &bytes, None);
        self.stream.write_all(&out).await.expect("write");
    }

    /// Sends a WebSocket ping; its answer comes when the client has read everything before it.
    pub async fn ping(&mut self) {
        let mut out = Vec::new();
        ws::write_message(&mut out, Opcode::Ping, b"", None);
        self.stream.write_all(&out).await.expect("write");
    }

    pub async fn close(mut self, code: u16, reason: &str) {
        let mut out = Vec::new();
        ws::write_close(&mut out, code, reason, None);
        self.stream.write_all(&out).await.expect("write");
        while self.try_next().await.is_some() {}
    }

    pub async fn joined(&mut self, request: u32, name: &str, head: u64, client_sequence: u64) {
        let members = [Member { user: UserId::from_name("ada"), name: "ada", role: Role::Member }];
        self.send(&[ServerFrame::Joined(joined(request, name, head, client_sequence, &members))]).await;
    }

    /// Waits for the join of that room and answers it.
    pub async fn expect_join(&mut self, name: &str, head: u64) {
        match self.next().await {
            Sent::Join { request, name: asked } if asked == name => self.joined(request, name, head, 0).await,
            other => panic!("expected a join of {name}, got {other:?}"),
        }
    }

    pub async fn expect_publish(&mut self) -> (u64, String) {
        match self.next().await {
            Sent::Publish { number, body, .. } => (number, String::from_utf8(body).expect("text")),
            other => panic!("expected a publish, got {other:?}"),
        }
    }

    pub async fn ack(&mut self, name: &str, client_sequence: u64, sequence: u64) {
        let ack = Ack {
            conversation: ConversationId::from_name(name),
            client_sequence,
            sequence,
            server_time_ms: 1,
            durability: Durability::Synced,
            duplicate: false,
        };
        self.send(&[ServerFrame::Ack(ack)]).await;
    }

    pub async fn message(&mut self, name: &str, sequence: u64) {
        let body = format!("m{sequence}");
        let message = message(name, sequence, body.as_bytes());
        self.send(&[ServerFrame::Message(message)]).await;
    }

    pub async fn page(&mut self, request: u32, name: &str, from: u64, to: u64, head: u64) {
        let mut frames = Vec::new();
        for sequence in from..=to {
            message(name, sequence, format!("m{sequence}").as_bytes()).encode(&mut self.encoder, &mut frames);
        }
        let conversation = ConversationId::from_name(name);
        let page = Page {
            request,
            conversation,
            from,
            to,
            head,
            complete: to == head,
            frames: &frames,
            amendments: &[],
        };
        self.send(&[ServerFrame::Page(page)]).await;
    }
}

pub fn joined<'a>(
    request: u32,
    name: &'a str,
    head: u64,
    client_sequence: u64,
    members: &'a [Member<'a>],
) -> Joined<'a> {
    Joined {
        request,
        conversation: ConversationId::from_name(name),
        name,
        role: Role::Member,
        head,
        first: 1,
        client_sequence,
        members_count: 1,
        members: members.into(),
        kind: ConversationKind::Group,
        read: 0,
        delivered: 0,
        muted_until_ms: 0,
    }
}

pub fn message<'a>(name: &str, sequence: u64, body: &'a [u8]) -> Message<'a> {
    Message {
        conversation: ConversationId::from_name(name),
        sequence,
        time_ms: 1,
        sender: UserId::from_name("ada"),
        origin: 1,
        client_sequence: sequence,
        reference: 0,
        kind: Kind::Text,
        body,
    }
}

pub fn read(frame: &ClientFrame<'_>) -> Sent {
    match frame {
        ClientFrame::Hello(hello) => Sent::Hello {
            token: hello.token.to_owned(),
            cursors: hello.cursors.iter().map(|cursor| (cursor.conversation, cursor.sequence)).collect(),
        },
        ClientFrame::Join(join) => Sent::Join { request: join.request, name: join.name.to_owned() },
        ClientFrame::Publish(publish) => Sent::Publish {
            conversation: publish.conversation,
            number: publish.client_sequence,
            body: publish.body.to_vec(),
        },
        ClientFrame::Fetch(fetch) => {
            Sent::Fetch { request: fetch.request, from: fetch.from, limit: fetch.limit }
        }
        other => Sent::Other(format!("{other:?}")),
    }
}
