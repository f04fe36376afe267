//! The bare loop's protocol: WebSocket, rooms by path, and payloads as long as our own server's frames, so
//! that the same number of bytes goes to the same number of sockets.

use super::websocket;
use super::{Adapter, Item, Role, Step, Who};

/// How the bare loop is spoken to.
#[derive(Clone, Debug)]
pub struct Bare {
    /// Bytes that our own server's frame has around a body: the payload is padded by so much in front.
    pub around_body: usize,
    /// Bytes of an echo.
    pub echo_bytes: usize,
}

impl Adapter for Bare {
    fn begin(&self, who: &Who, out: &mut Vec<u8>) {
        let path = match &who.role {
            Role::Idle | Role::Resumer { .. } => "/echo".to_owned(),
            Role::Publisher(_) => "/publish".to_owned(),
            Role::Subscriber(rooms) => {
                let rooms: Vec<String> = rooms.iter().map(u32::to_string).collect();
                format!("/subscribe/{}", rooms.join(","))
            }
        };
        websocket::upgrade(&path, None, out);
    }

    #[inline]
    fn unit<'a>(&self, step: u8, input: &mut &'a [u8]) -> Result<Option<&'a [u8]>, String> {
        websocket::unit(step > 0, input)
    }

    fn set_up(&self, _: &Who, step: &mut u8, _: &[u8], _: &mut Vec<u8>) -> Result<Step, String> {
        *step = 1;
        Ok(Step::Ready)
    }

    #[inline]
    fn items<'a>(&self, unit: &'a [u8], each: &mut dyn FnMut(Item<'a>)) -> Result<(), String> {
        let (opcode, payload) = websocket::payload(unit);
        match (opcode, payload.first()) {
            (websocket::BINARY, Some(b'm')) => each(Item::Message(payload)),
            (websocket::BINARY, Some(b'a')) => each(Item::Ack),
            (websocket::BINARY, Some(b'e')) => each(Item::Echo(payload)),
            _ => return Err(format!("a frame of opcode {opcode} came")),
        }
        Ok(())
    }

    fn body<'a>(&self, message: &'a [u8]) -> Result<Option<&'a [u8]>, String> {
        message.get(self.around_body..).map(Some).ok_or_else(|| "a message is cut short".to_owned())
    }

    fn publish(&self, _: u32, room: u32, _: u64, body: &[u8], out: &mut Vec<u8>) {
        websocket::open_frame(websocket::BINARY, self.around_body + body.len(), out);
        let start = out.len();
        out.extend_from_slice(&[b'm', 0, 0, 0]);
        out.extend_from_slice(&room.to_le_bytes());
        out.resize(start + self.around_body, 0);
        out.extend_from_slice(body);
    }

    fn echo(&self, token: u64, out: &mut Vec<u8>) {
        websocket::open_frame(websocket::BINARY, self.echo_bytes, out);
        let start = out.len();
        out.extend_from_slice(&[b'e', 0, 0, 0, 0, 0, 0, 0]);
        out.extend_from_slice(&token.to_le_bytes());
        out.resize(start + self.echo_bytes.max(16), 0);
    }
}
