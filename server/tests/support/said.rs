//! Messages as tests compare them.

use ringwire_protocol::frame;
use ringwire_protocol::message::{Kind, Message, ServerFrame};

/// A message: its sequence, its kind, what it refers to, and its body.
pub type Said = (u64, Kind, u64, Vec<u8>);

/// All that a page holds.
pub fn said(mut frames: &[u8]) -> Vec<Said> {
    let mut all = Vec::new();
    while let Some(frame) = frame::split(&mut frames, 1 << 24).expect("whole frames") {
        let Ok(ServerFrame::Message(message)) = ServerFrame::decode(frame) else {
            panic!("a page holds messages")
        };
        all.push((message.sequence, message.kind, message.reference, message.body.to_vec()));
    }
    all
}

/// The message in a frame, if it is one.
pub fn message<'a>(frame: &'a ServerFrame<'a>) -> Option<&'a Message<'a>> {
    match frame {
        ServerFrame::Message(message) => Some(message),
        _ => None,
    }
}
