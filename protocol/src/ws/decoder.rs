//! From bytes that are cut anywhere to events.
//!
//! Two ways through, chosen per call:
//! - nothing is partial and a whole unfragmented frame lies in the input: it is unmasked there and lent from
//!   there;
//! - everything else goes through [`Partial`], a byte-wise state machine in a box, which is given back as
//!   soon as no message and no frame is unfinished. What it owns is bounded by `message_bytes_max` and by
//!   twice what really came.
//!
//! Order of checks: a header is judged when it is whole, before its payload is waited for; text is judged as
//! it arrives.

use super::header::{CONTROL_BYTES_MAX, HEADER_BYTES_MAX, Header, may_travel};
use super::mask::mask;
use super::utf8::{self, Utf8};
use super::{Event, Opcode, Role};
use crate::fault::{Fault, WebSocketFault};

/// First allocation for a message that is cut; most fit.
const MESSAGE_BYTES_MIN: usize = 512;

/// WebSocket decoder of one connection; see the module's documentation.
#[derive(Debug)]
pub struct Decoder {
    partial: Option<Box<Partial>>,
    message_bytes_max: u32,
    role: Role,
    closed: bool,
}

const _: () = assert!(size_of::<Decoder>() <= 16, "every idle connection has one");

impl Decoder {
    /// A decoder at the first byte after the handshake. `role` is this end's. `message_bytes_max` bounds a
    /// message, over all its fragments.
    pub fn new(role: Role, message_bytes_max: usize) -> Self {
        let message_bytes_max = u32::try_from(message_bytes_max).unwrap_or(u32::MAX);
        Self { partial: None, message_bytes_max, role, closed: false }
    }

    /// Next event. `input` advances past what was consumed; `None`: all of it was, and what is partial is
    /// kept inside. The input is unmasked in place, so it is of no use afterwards. Call until `None`: the
    /// memory of an event that was cut is given back by the call after it.
    ///
    /// # Errors
    /// What the peer did against RFC 6455: close with [`Fault::code`], and feed no more.
    #[inline]
    pub fn next<'a, 'i: 'a>(&'a mut self, input: &mut &'i mut [u8]) -> Result<Option<Event<'a>>, Fault> {
        if self.partial.is_none() && !self.closed {
            if let Some((opcode, data)) = self.take_whole(input)? {
                return self.event(opcode, data).map(Some);
            }
            if input.is_empty() {
                return Ok(None);
            }
        }
        self.next_partial(input)
    }

    /// Bytes owned at the moment, beyond `size_of::<Decoder>()`.
    pub fn memory_bytes(&self) -> usize {
        self.partial.as_ref().map_or(0, |partial| size_of::<Partial>() + partial.message.capacity())
    }

    /// Whether a message or a frame is unfinished.
    pub fn is_partial(&self) -> bool {
        self.partial.as_ref().is_some_and(|partial| !partial.is_idle())
    }

    /// A frame that is a whole event and lies whole in the input.
    #[inline]
    fn take_whole<'i>(&self, input: &mut &'i mut [u8]) -> Result<Option<(Opcode, &'i [u8])>, Fault> {
        let Some(header) = Header::parse(input, self.role)? else { return Ok(None) };
        if header.opcode == Opcode::Continuation {
            return Err(WebSocketFault::UnexpectedContinuation.into());
        }
        if !header.opcode.is_control() {
            check_size(header.payload_bytes, 0, self.message_bytes_max)?;
        }
        let end = header.bytes + header.payload_bytes as usize;
        if !header.fin || input.len() < end {
            return Ok(None);
        }
        let (frame, rest) = core::mem::take(input).split_at_mut(end);
        *input = rest;
        let payload = &mut frame[header.bytes..];
        if self.role == Role::Server {
            mask(payload, header.key, 0);
        }
        if header.opcode == Opcode::Text {
            utf8::check_whole(payload)?;
        }
        Ok(Some((header.opcode, payload)))
    }

    fn next_partial<'a, 'i: 'a>(&'a mut self, input: &mut &'i mut [u8]) -> Result<Option<Event<'a>>, Fault> {
        if self.closed {
            self.partial = None;
            *input = &mut [];
            return Ok(None);
        }
        if self.partial.as_mut().is_some_and(|partial| partial.give_back()) {
            self.partial = None;
            return self.next(input);
        }
        let partial = self.partial.get_or_insert_default();
        let Some(opcode) = partial.feed(input, self.role, self.message_bytes_max)? else { return Ok(None) };
        partial.lent = Some(opcode);
        if opcode == Opcode::Close {
            self.closed = true;
        }
        let data = if opcode.is_control() { partial.control() } else { &partial.message };
        event(opcode, data).map(Some)
    }

    #[inline]
    fn event<'a>(&mut self, opcode: Opcode, data: &'a [u8]) -> Result<Event<'a>, Fault> {
        self.closed = opcode == Opcode::Close;
        event(opcode, data)
    }
}

#[inline]
fn check_size(payload_bytes: u64, before: usize, bytes_max: u32) -> Result<(), Fault> {
    if payload_bytes > u64::from(bytes_max).saturating_sub(before as u64) {
        return Err(WebSocketFault::MessageTooBig { bytes_max: bytes_max as usize }.into());
    }
    Ok(())
}

#[inline]
fn event(opcode: Opcode, data: &[u8]) -> Result<Event<'_>, Fault> {
    Ok(match opcode {
        Opcode::Text => Event::Message { text: true, data },
        Opcode::Binary | Opcode::Continuation => Event::Message { text: false, data },
        Opcode::Ping => Event::Ping(data),
        Opcode::Pong => Event::Pong(data),
        Opcode::Close => match data.split_first_chunk() {
            None if data.is_empty() => Event::Close { code: None, reason: "" },
            None => return Err(WebSocketFault::CloseLength.into()),
            Some((&code, reason)) => {
                let code = u16::from_be_bytes(code);
                if !may_travel(code) {
                    return Err(WebSocketFault::CloseCode { code }.into());
                }
                Event::Close { code: Some(code), reason: utf8::check_whole(reason)? }
            }
        },
    })
}

/// What is unfinished: a header, a frame, a message of several frames. Control frames come between the
/// fragments, hence a buffer of their own.
#[derive(Debug)]
struct Partial {
    /// All fragments of the message so far, unmasked.
    message: Vec<u8>,
    /// Text or binary, once a message has begun.
    begun: Option<Opcode>,
    utf8: Utf8,
    /// The frame whose payload is coming.
    frame: Option<Coming>,
    /// What came of a header.
    header: [u8; HEADER_BYTES_MAX],
    header_len: u8,
    control: [u8; CONTROL_BYTES_MAX],
    control_len: u8,
    /// What the last call lent out.
    lent: Option<Opcode>,
}

#[derive(Debug, Clone, Copy)]
struct Coming {
    fin: bool,
    opcode: Opcode,
    remaining: usize,
    /// Rotated to the next byte.
    key: [u8; 4],
}

impl Default for Partial {
    fn default() -> Self {
        Self {
            message: Vec::new(),
            begun: None,
            utf8: Utf8::default(),
            frame: None,
            header: [0; HEADER_BYTES_MAX],
            header_len: 0,
            control: [0; CONTROL_BYTES_MAX],
            control_len: 0,
            lent: None,
        }
    }
}

impl Partial {
    fn is_idle(&self) -> bool {
        self.begun.is_none() && self.frame.is_none() && self.header_len == 0
    }

    fn control(&self) -> &[u8] {
        &self.control[..usize::from(self.control_len)]
    }

    /// Forgets what was lent; true if nothing is unfinished any more.
    fn give_back(&mut self) -> bool {
        match self.lent.take() {
            None => {}
            Some(opcode) if opcode.is_control() => self.control_len = 0,
            Some(_) => {
                self.message = Vec::new();
                self.utf8 = Utf8::default();
            }
        }
        self.is_idle()
    }

    /// Consumes input until something is whole (its opcode; data or control is then ready) or the input is
    /// used up.
    fn feed(&mut self, input: &mut &mut [u8], role: Role, bytes_max: u32) -> Result<Option<Opcode>, Fault> {
        loop {
            if let Some(coming) = self.frame {
                let here = coming.remaining.min(input.len());
                let (piece, rest) = core::mem::take(input).split_at_mut(here);
                *input = rest;
                if let Some(opcode) = self.on_piece(coming, piece, role, bytes_max)? {
                    return Ok(Some(opcode));
                }
                if self.frame.is_some() {
                    return Ok(None);
                }
            } else {
                let Some(header) = self.take_header(input, role)? else { return Ok(None) };
                self.on_header(header, bytes_max)?;
            }
        }
    }

    /// Gathers a header byte by byte: it may be cut anywhere, and must not take payload along.
    fn take_header(&mut self, input: &mut &mut [u8], role: Role) -> Result<Option<Header>, Fault> {
        while let Some((byte, rest)) = core::mem::take(input).split_first_mut() {
            self.header[usize::from(self.header_len)] = *byte;
            self.header_len += 1;
            *input = rest;
            if let Some(header) = Header::parse(&self.header[..usize::from(self.header_len)], role)? {
                self.header_len = 0;
                return Ok(Some(header));
            }
        }
        Ok(None)
    }

    /// A header is whole: does the frame have its place here?
    fn on_header(&mut self, header: Header, bytes_max: u32) -> Result<(), Fault> {
        if !header.opcode.is_control() {
            match (header.opcode, self.begun) {
                (Opcode::Continuation, None) => return Err(WebSocketFault::UnexpectedContinuation.into()),
                (Opcode::Continuation, Some(_)) => {}
                (_, Some(_)) => return Err(WebSocketFault::ExpectedContinuation.into()),
                (opcode, None) => self.begun = Some(opcode),
            }
            check_size(header.payload_bytes, self.message.len(), bytes_max)?;
        }
        self.frame = Some(Coming {
            fin: header.fin,
            opcode: header.opcode,
            remaining: header.payload_bytes as usize,
            key: header.key,
        });
        Ok(())
    }

    /// Some payload of the coming frame.
    fn on_piece(
        &mut self,
        mut coming: Coming,
        piece: &mut [u8],
        role: Role,
        bytes_max: u32,
    ) -> Result<Option<Opcode>, Fault> {
        if role == Role::Server {
            mask(piece, coming.key, 0);
            coming.key.rotate_left(piece.len() % 4);
        }
        if coming.opcode.is_control() {
            let start = usize::from(self.control_len);
            self.control[start..start + piece.len()].copy_from_slice(piece);
            self.control_len += piece.len() as u8;
        } else {
            self.grow(&coming, piece.len(), bytes_max as usize);
            self.message.extend_from_slice(piece);
            if self.begun == Some(Opcode::Text) {
                self.utf8.push(piece)?;
            }
        }
        coming.remaining -= piece.len();
        if coming.remaining > 0 {
            self.frame = Some(coming);
            return Ok(None);
        }
        self.frame = None;
        if coming.opcode.is_control() {
            return Ok(Some(coming.opcode));
        }
        if !coming.fin {
            return Ok(None);
        }
        self.utf8.finish()?;
        Ok(self.begun.take())
    }

    /// Makes room for `more` bytes: doubling, so that many fragments cost linear time, but never more than is
    /// known to come and never more than twice what did come, so that a header alone reserves next to
    /// nothing.
    fn grow(&mut self, coming: &Coming, more: usize, bytes_max: usize) {
        let wanted = self.message.len() + more;
        if wanted <= self.message.capacity() {
            return;
        }
        let end = if coming.fin { self.message.len() + coming.remaining } else { bytes_max };
        let room = wanted.max((2 * self.message.capacity()).max(MESSAGE_BYTES_MIN).min(end));
        self.message.reserve_exact(room - self.message.len());
    }
}
