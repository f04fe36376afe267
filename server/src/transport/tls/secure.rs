//! One connection's TLS: ciphertext in, plaintext out, and the other way round.
//!
//! Records that rustls has to say by itself (its part of the handshake, tickets, answers to a change of keys,
//! alerts) wait in `outgoing` until the end of the turn, and leave in front of what is sealed then: records are
//! numbered, so the order of sealing is the order of sending.
//!
//! Owner: its connection. Lifetime: from accepting to closing. Between turns it holds the bytes of one record that
//! is not whole, at most, and nothing where there is none.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use ringwire_protocol::ws::Decoder;
use rustls::ServerConfig;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus, WriteTraffic};

use crate::limits::{HANDSHAKE_BYTES_MAX, TLS_ARENA_BYTES, TLS_RECORD_BYTES_MAX};

/// What a record adds to its content: header, nonce (TLS 1.2), kind and tag. Where it is not enough, rustls says
/// what is.
const RECORD_OVERHEAD: usize = 5 + 8 + 1 + 16;

/// Most content of one record.
const RECORD_CONTENT_MAX: usize = 16 * 1024;

/// Longest close_notify, sealed.
const CLOSE_NOTIFY_MAX: usize = 2 + RECORD_OVERHEAD;

/// What the peer did against TLS.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TlsFault {
    /// It speaks HTTP without TLS.
    #[error("HTTP without TLS on a port that speaks TLS")]
    Cleartext,
    /// A record or a greeting that no honest client sends.
    #[error(
        "a TLS record longer than {TLS_RECORD_BYTES_MAX} bytes, or a greeting longer than {HANDSHAKE_BYTES_MAX}"
    )]
    TooLong,
    /// What rustls says; the alert that tells the peer waits to be sent.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
}

/// How things stand after bytes came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// More may come.
    Open,
    /// The peer has said that nothing more comes.
    PeerClosed,
}

/// What happened to whom since the connection began, for counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handshake {
    /// Certificate and signature.
    Full,
    /// By a ticket.
    Resumed,
}

/// TLS of one connection, and what takes WebSocket frames apart behind it.
pub struct Secure {
    tls: UnbufferedServerConnection,
    /// See [`Decoder`].
    pub decoder: Decoder,
    /// Ciphertext of a record that is not whole.
    partial: Vec<u8>,
    /// Records that are ready to leave.
    outgoing: Vec<u8>,
    begun: bool,
    is_shaken: bool,
    /// Nothing may be sealed any more: our close_notify or an alert is the last word.
    closed: bool,
}

impl Secure {
    /// A connection that was just accepted.
    ///
    /// # Panics
    /// Where rustls refuses the configuration; the start has tried it.
    pub fn new(config: Arc<ServerConfig>, decoder: Decoder) -> Self {
        Secure {
            tls: UnbufferedServerConnection::new(config).expect("a configuration that the start has tried"),
            decoder,
            partial: Vec::new(),
            outgoing: Vec::new(),
            begun: false,
            is_shaken: false,
            closed: false,
        }
    }

    /// Takes ciphertext and appends what it says to `plain`.
    ///
    /// # Errors
    /// What the peer did against TLS. Nothing of it is to be read any more; [`Secure::has_outgoing`] says whether
    /// there is a last word for it.
    pub fn on_received(&mut self, data: &mut [u8], plain: &mut Vec<u8>) -> Result<Outcome, TlsFault> {
        if !self.begun {
            match data.first() {
                // The first byte of TLS is 22, that of an HTTP request a capital letter.
                Some(byte) if byte.is_ascii_uppercase() => {
                    self.closed = true;
                    return Err(TlsFault::Cleartext);
                }
                _ => self.begun = true,
            }
        }
        if self.partial.is_empty() {
            // The usual case: whole records, nothing kept.
            let (consumed, outcome) = self.process(data, plain)?;
            return self.keep(&data[consumed..]).map(|()| outcome);
        }
        let mut whole = std::mem::take(&mut self.partial);
        whole.extend_from_slice(data);
        let (consumed, outcome) = self.process(&mut whole, plain)?;
        if consumed == 0 {
            // One more piece of the same record: its memory is kept.
            return self.check(whole.len()).map(|()| {
                self.partial = whole;
                outcome
            });
        }
        self.keep(&whole[consumed..]).map(|()| outcome)
    }

    fn keep(&mut self, rest: &[u8]) -> Result<(), TlsFault> {
        self.check(rest.len())?;
        self.partial = rest.to_vec();
        Ok(())
    }

    /// Whether so much may wait for more. Of who has not proven anything yet, no more than of an HTTP head.
    fn check(&mut self, bytes: usize) -> Result<(), TlsFault> {
        let bytes_max = if self.tls.is_handshaking() { HANDSHAKE_BYTES_MAX } else { TLS_RECORD_BYTES_MAX };
        if bytes <= bytes_max {
            return Ok(());
        }
        self.closed = true;
        Err(TlsFault::TooLong)
    }

    /// Runs rustls over `input`; says how much of it is done with.
    fn process(&mut self, input: &mut [u8], plain: &mut Vec<u8>) -> Result<(usize, Outcome), TlsFault> {
        let (mut consumed, mut outcome) = (0, Outcome::Open);
        loop {
            let status = self.tls.process_tls_records(&mut input[consumed..]);
            let UnbufferedStatus { mut discard, state, .. } = status;
            let is_done = match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        discard += record.discard;
                        plain.extend_from_slice(record.payload);
                    }
                    false
                }
                Ok(ConnectionState::EncodeTlsData(mut record)) => {
                    encode(&mut self.outgoing, |room| record.encode(room));
                    false
                }
                Ok(ConnectionState::TransmitTlsData(sent)) => {
                    sent.done();
                    false
                }
                Ok(ConnectionState::PeerClosed) => {
                    outcome = Outcome::PeerClosed;
                    false
                }
                // Early data is off, and what a later rustls may add is nothing that we asked for.
                Ok(_) => true,
                Err(error) => {
                    self.last_word();
                    return Err(error.into());
                }
            };
            consumed += discard;
            if is_done {
                return Ok((consumed, outcome));
            }
        }
    }

    /// Takes the alert that rustls has for the peer, after an error.
    fn last_word(&mut self) {
        self.closed = true;
        loop {
            match self.tls.process_tls_records(&mut []).state {
                Ok(ConnectionState::EncodeTlsData(mut record)) => {
                    encode(&mut self.outgoing, |room| record.encode(room));
                }
                Ok(ConnectionState::TransmitTlsData(sent)) => sent.done(),
                _ => return,
            }
        }
    }

    /// How the handshake went, once, when it has just ended.
    pub fn take_handshake(&mut self) -> Option<Handshake> {
        if self.is_shaken || self.tls.is_handshaking() {
            return None;
        }
        self.is_shaken = true;
        match self.tls.handshake_kind()? {
            rustls::HandshakeKind::Resumed => Some(Handshake::Resumed),
            _ => Some(Handshake::Full),
        }
    }

    /// Whether the handshake is over.
    pub fn is_shaken(&self) -> bool {
        self.is_shaken
    }

    /// Bytes kept of a record that is not whole.
    pub fn partial_bytes(&self) -> usize {
        self.partial.len()
    }

    /// Whether there is something to send that nobody has to seal.
    pub fn has_outgoing(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Whether TLS itself has something to say; where this is the last word, a close_notify.
    pub fn wants_to_say(&self, is_last: bool) -> bool {
        self.has_outgoing() || (is_last && !self.closed && self.is_shaken)
    }

    /// Puts bytes in front of everything else as they are: the answer to somebody who does not speak TLS.
    pub fn say_in_the_clear(&mut self, bytes: &[u8]) {
        self.outgoing.extend_from_slice(bytes);
    }

    /// Takes what is ready to leave, with `plain` sealed behind it, and with a close_notify behind that where this
    /// is the last word. Nothing of `plain` is left where nothing can be sealed any more.
    pub fn seal(&mut self, plain: &[u8], is_last: bool, arena: &mut Arena) -> Bytes {
        let outgoing = std::mem::take(&mut self.outgoing);
        let records = plain.len() / RECORD_CONTENT_MAX + 1;
        let room = outgoing.len() + plain.len() + records * RECORD_OVERHEAD + CLOSE_NOTIFY_MAX;
        let out = arena.room(room);
        out.extend_from_slice(&outgoing);
        if !self.closed {
            let state = self.tls.process_tls_records(&mut []).state;
            if let Ok(ConnectionState::WriteTraffic(mut traffic)) = state {
                let is_sealed = plain.is_empty() || append(&mut traffic, plain, out);
                if is_last || !is_sealed {
                    self.closed = true;
                    let start = out.len();
                    out.resize(start + CLOSE_NOTIFY_MAX, 0);
                    let written = traffic.queue_close_notify(&mut out[start..]).unwrap_or(0);
                    out.truncate(start + written);
                }
            }
        }
        out.split().freeze()
    }
}

/// Seals `plain` at the end of `out`; whether that went well. It does not where the keys are used up and cannot be
/// changed (TLS 1.2, after 2^24 records).
fn append<Data>(traffic: &mut WriteTraffic<'_, Data>, plain: &[u8], out: &mut BytesMut) -> bool {
    let start = out.len();
    let mut room = plain.len() + (plain.len() / RECORD_CONTENT_MAX + 1) * RECORD_OVERHEAD;
    loop {
        out.resize(start + room, 0);
        match traffic.encrypt(plain, &mut out[start..]) {
            Ok(written) => {
                out.truncate(start + written);
                return true;
            }
            // A change of keys goes in front.
            Err(EncryptError::InsufficientSize(need)) if need.required_size > room => {
                room = need.required_size
            }
            Err(_) => {
                out.truncate(start);
                return false;
            }
        }
    }
}

/// Appends a record that says itself how long it is.
fn encode(out: &mut Vec<u8>, mut encode: impl FnMut(&mut [u8]) -> Result<usize, EncodeError>) {
    let start = out.len();
    let mut room = 0;
    loop {
        out.resize(start + room, 0);
        match encode(&mut out[start..]) {
            Ok(written) => return out.truncate(start + written),
            Err(EncodeError::InsufficientSize(need)) if need.required_size > room => {
                room = need.required_size
            }
            Err(_) => return out.truncate(start),
        }
    }
}

/// Where the payloads of a turn are sealed: in few pieces of memory, that leave with their last payload.
#[derive(Default)]
pub struct Arena(BytesMut);

impl Arena {
    fn room(&mut self, bytes: usize) -> &mut BytesMut {
        if self.0.capacity() < bytes {
            self.0 = BytesMut::with_capacity(bytes.max(TLS_ARENA_BYTES));
        }
        &mut self.0
    }

    /// Between turns nothing is kept.
    pub fn end_turn(&mut self) {
        self.0 = BytesMut::new();
    }
}
