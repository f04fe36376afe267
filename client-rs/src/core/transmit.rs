//! What goes to the server, in which order: the greeting and signs of life, then requests, then what the conversations
//! have, in turn. Everything that is due is written at once; the host sends it as one message.
//!
//! Nothing is encoded before the host asks: when its socket is full, wishes wait as wishes, in bounded places.

use std::ops::Range;
use std::time::Duration;

use ringwire_protocol::ConversationId;
use ringwire_protocol::limits::{CURSORS_MAX, MESSAGE_OVERHEAD_BYTES_MAX};
use ringwire_protocol::message::{
    self, CAPABILITY_INBOX, Cursor, Direction, Fetch, Hello, Join, Leave, Members, Ping, Publish, Refresh,
    VERSION, View, Watch,
};

use super::Core;
use super::connection::Control;
use super::content::{Member, Registration, Settings};
use super::conversation::Standing;
use super::requests::Ask;
use super::timers::Holder;

/// A request with a name, the largest that are sent often.
const REQUEST_BYTES_MAX: usize = 512;
/// Frames one conversation sends before the next one has its turn.
const TURN_FRAMES: usize = 16;

impl Core {
    /// Appends whole frames to `out`, as many as belong into one message; `false` if there is nothing to send. Call again
    /// until then.
    pub fn poll_frames(&mut self, now: Duration, out: &mut Vec<u8>) -> bool {
        if !self.connection.is_up() {
            return false;
        }
        let begin = out.len();
        // The request that fills the batch must not overfill the message, which is bounded like a frame (W-60).
        let room = self.connection.frame_bytes_max.saturating_sub(REQUEST_BYTES_MAX);
        let end = begin + self.config.limits.batch_bytes_max.min(room);
        self.write_control(out);
        if self.connection.is_live() {
            let room = begin..end;
            self.write_requests(out, &room);
            self.write_conversations(now, out, &room);
        } else {
            self.write_early(now, out, end);
        }
        let some = out.len() > begin;
        if some {
            self.connection.said(now);
        }
        some
    }

    fn write_control(&mut self, out: &mut Vec<u8>) {
        while let Some(control) = self.connection.control.pop_front() {
            match control {
                Control::Hello => self.write_hello(out),
                Control::Refresh => {
                    Refresh { token: &self.connection.token }.encode(&mut self.encoder, out);
                }
                Control::Ping => {
                    self.connection.pings += 1;
                    Ping { token: self.connection.pings }.encode(&mut self.encoder, out);
                }
            }
        }
    }

    fn write_hello(&mut self, out: &mut Vec<u8>) {
        let cursor = |(&conversation, known): (&ConversationId, &super::Conversation)| {
            (known.standing != Standing::Joining)
                .then(|| Cursor { conversation, sequence: known.feed.cursor() })
        };
        let cursors: Vec<Cursor> = self.conversations.iter().filter_map(cursor).take(CURSORS_MAX).collect();
        let hello = Hello {
            version_min: VERSION,
            version_max: VERSION,
            device: self.config.device,
            capabilities: if self.config.inbox { CAPABILITY_INBOX } else { 0 },
            token: &self.connection.token,
            agent: &self.config.agent,
            cursors: (&cursors).into(),
            attempt: self.connection.number,
        };
        hello.encode(&mut self.encoder, out);
    }

    /// Writes what was asked, from `room` on to behind its end.
    fn write_requests(&mut self, out: &mut Vec<u8>, room: &Range<usize>) {
        let first = room.start;
        while out.len() < room.end {
            let Some((request, ask)) = self.requests.next_to_send() else { return };
            let (encoder, begin) = (&mut self.encoder, out.len());
            match *ask {
                Ask::Join(id) => {
                    if let Some(conversation) = self.conversations.get(&id) {
                        Join { request, name: &conversation.name }.encode(encoder, out);
                    }
                }
                Ask::Create { conversation, ref members } => {
                    if let Some(known) = self.conversations.get(&conversation) {
                        let members: Vec<_> = members.iter().map(Member::to_wire).collect();
                        message::Create { request, name: &known.name, members: (&members).into() }
                            .encode(encoder, out);
                    }
                }
                Ask::Direct { user, ref name, .. } => {
                    message::Direct { request, user, name }.encode(encoder, out);
                }
                Ask::Change { conversation, ref change } => {
                    let (action, user, role, name) = change.parts();
                    message::Change { request, conversation, user, action, role, name }.encode(encoder, out);
                }
                Ask::Mute { conversation, until_ms } => {
                    message::Mute { request, conversation, until_ms }.encode(encoder, out);
                }
                Ask::Register(ref registration) => {
                    let Registration { provider, token, app, key, secret } = registration;
                    message::Register { request, provider: *provider, token, app, key, secret }
                        .encode(encoder, out);
                }
                Ask::Unregister => message::Unregister { request }.encode(encoder, out),
                Ask::Settings(Settings { share_last_seen, away }) => {
                    message::Settings { request, share_last_seen, away }.encode(encoder, out);
                }
                Ask::WatchCounts { conversation, active } => {
                    message::WatchCounts { request, conversation, active }.encode(encoder, out);
                }
                Ask::Leave(id) => match self.conversations.get(&id) {
                    // What was published before is to arrive before.
                    Some(known) if !known.outbox.is_empty() => self.requests.postpone(request),
                    _ => Leave { request, conversation: id }.encode(encoder, out),
                },
                Ask::Close(conversation) => message::Close { request, conversation }.encode(encoder, out),
                Ask::Open(conversation) | Ask::Enter(conversation) => {
                    let after = self.conversations.get(&conversation).map_or(0, |known| known.feed.cursor());
                    message::Open { request, conversation, after }.encode(encoder, out);
                }
                Ask::Fill { conversation, from, limit } => {
                    let direction = Direction::Forward;
                    Fetch { request, conversation, from, limit, direction, view: View::Raw }
                        .encode(encoder, out);
                }
                Ask::History { conversation, from, limit, direction, view } => {
                    Fetch { request, conversation, from, limit, direction, view }.encode(encoder, out);
                }
                Ask::Members { conversation, after, limit } => {
                    Members { request, conversation, after, limit }.encode(encoder, out);
                }
                Ask::Watch(ref users) => {
                    Watch { request, users: users.as_slice().into() }.encode(encoder, out);
                }
            }
            // A list can be long: one that overfills the message begins the next one.
            if begin > first && out.len() - first > self.connection.frame_bytes_max {
                out.truncate(begin);
                return self.requests.put_back(request);
            }
        }
    }

    /// Before `Welcome` there are publishes only: they are safe to repeat (W-40), and all else hangs on its answer.
    fn write_early(&mut self, now: Duration, out: &mut Vec<u8>, end: usize) {
        let begin = out.len();
        let end = end.min(begin + self.connection.early_bytes);
        self.write_conversations(now, out, &(begin..end));
        self.connection.early_bytes = end.saturating_sub(out.len());
    }

    fn write_conversations(&mut self, now: Duration, out: &mut Vec<u8>, room: &Range<usize>) {
        // Each one in the ring is looked at as long as the round before brought something.
        let mut fruitless = 0;
        while out.len() < room.end && fruitless < self.ready.len() {
            let Some(id) = self.ready.pop_front() else { return };
            let before = out.len();
            if self.write_conversation(now, id, out, room) {
                self.ready.push_back(id);
            } else if let Some(conversation) = self.conversations.get_mut(&id) {
                conversation.ready = false;
            }
            fruitless = if out.len() > before { 0 } else { fruitless + 1 };
        }
    }

    /// Writes one turn of this conversation; whether there is more.
    fn write_conversation(
        &mut self,
        now: Duration,
        id: ConversationId,
        out: &mut Vec<u8>,
        room: &Range<usize>,
    ) -> bool {
        let Some(known) = self.conversations.get_mut(&id) else { return false };
        // Who leaves has no cursors any more.
        if known.attached && known.standing == Standing::Member {
            if let Some(sequence) = known.cursors.take_read() {
                message::Read { conversation: id, sequence }.encode(&mut self.encoder, out);
            }
            if let Some(sequence) = known.cursors.take_delivered(now) {
                message::Delivered { conversation: id, sequence }.encode(&mut self.encoder, out);
            }
        }
        if let Some(active) = known.take_typing(now) {
            message::Typing { conversation: id, active }.encode(&mut self.encoder, out);
        }
        if now < known.not_before {
            return false;
        }
        for _ in 0..TURN_FRAMES {
            if !known.outbox.can_send(self.config.limits.flight_max) {
                // It becomes ready again by the answer that opens the window.
                return false;
            }
            if self.in_flight >= self.connection.publish_window {
                return true;
            }
            // One frame may be larger than a batch; it then goes alone, once the server has said what it takes.
            let alone = out.len() == room.start && self.connection.is_live();
            let Some((draft, client_sequence)) = known.outbox.peek(self.config.limits.flight_max) else {
                return false;
            };
            if !alone && out.len() + draft.body.len() + MESSAGE_OVERHEAD_BYTES_MAX > room.end {
                return true;
            }
            let publish = Publish {
                conversation: id,
                client_sequence,
                reference: draft.reference,
                kind: draft.kind,
                durability: draft.durability,
                body: &draft.body,
            };
            publish.encode(&mut self.encoder, out);
            if known.outbox.in_flight() == 0 {
                known.answered = now;
                self.timers.set(Holder::Outbox(id), now + self.config.publish_answer_timeout);
            }
            known.outbox.sent();
            self.in_flight += 1;
        }
        true
    }
}
