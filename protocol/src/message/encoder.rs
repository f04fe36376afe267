//! From a plain struct to the bytes of a frame, two ways.
//!
//! - Fixed fields with at most one byte string (everything there are millions of: Message, Publish, Ack,
//!   Head, Page) go straight into the caller's buffer, as [`super::layout`] says.
//! - What has strings and lists goes through flatc's builder, whose memory is reused, and is copied from
//!   there.
//!
//! Both are ordinary FlatBuffers: the verifier and every other language read them alike. Frames are padded to
//! a multiple of eight bytes, so that frames behind each other keep the alignment their fields were laid out
//! with (W-9).

use flatbuffers::{FlatBufferBuilder, WIPOffset};

use super::Member;
use crate::frame::{self, FrameType, HEADER_BYTES};
use crate::generated as wire;

/// Reusable memory for encoding; one per shard or client. Grows to the largest list ever encoded and stays
/// there.
#[derive(Default)]
pub struct Encoder {
    pub(crate) builder: FlatBufferBuilder<'static>,
    members: Vec<WIPOffset<wire::Member<'static>>>,
    inbox: Vec<WIPOffset<wire::InboxEntry<'static>>>,
}

impl core::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Encoder").finish_non_exhaustive()
    }
}

impl Encoder {
    /// An encoder that has allocated nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Finishes the builder's root and appends it to `out` as a frame.
    pub(crate) fn frame<T>(&mut self, kind: FrameType, root: WIPOffset<T>, out: &mut Vec<u8>) {
        self.builder.finish_minimal(root);
        let body = self.builder.finished_data();
        let padding = padding(body.len());
        out.reserve(HEADER_BYTES + body.len() + padding);
        out.extend_from_slice(&frame::header(kind, (body.len() + padding) as u32));
        out.extend_from_slice(body);
        out.extend_from_slice(&[0; 8][..padding]);
        self.builder.reset();
    }

    /// Appends the builder's root to `out` without a header.
    pub(crate) fn bare<T>(&mut self, root: WIPOffset<T>, out: &mut Vec<u8>) {
        self.builder.finish_minimal(root);
        out.extend_from_slice(self.builder.finished_data());
        self.builder.reset();
    }

    pub(crate) fn members(
        &mut self,
        members: super::MemberList<'_>,
    ) -> WIPOffset<flatbuffers::Vector<'static, flatbuffers::ForwardsUOffset<wire::Member<'static>>>> {
        self.members.clear();
        for Member { user, name, role } in members {
            let name = Some(self.builder.create_string(name));
            let fixed = wire::MemberFixed::new(&user.wire(), role.wire());
            let args = wire::MemberArgs { fixed: Some(&fixed), name };
            self.members.push(wire::Member::create(&mut self.builder, &args));
        }
        self.builder.create_vector(&self.members)
    }

    pub(crate) fn inbox(
        &mut self,
        entries: super::InboxList<'_>,
    ) -> WIPOffset<flatbuffers::Vector<'static, flatbuffers::ForwardsUOffset<wire::InboxEntry<'static>>>>
    {
        self.inbox.clear();
        for entry in entries {
            let name = Some(self.builder.create_string(entry.name));
            let fixed = wire::InboxEntryFixed::new(
                &entry.conversation.wire(),
                entry.head,
                entry.read,
                entry.time_ms,
                entry.role.wire(),
            );
            let args = wire::InboxEntryArgs {
                fixed: Some(&fixed),
                name,
                delivered: entry.delivered,
                muted_until_ms: entry.muted_until_ms,
                kind: entry.kind.wire(),
                unread: entry.unread,
            };
            self.inbox.push(wire::InboxEntry::create(&mut self.builder, &args));
        }
        self.builder.create_vector(&self.inbox)
    }
}

pub(super) const fn padding(bytes: usize) -> usize {
    bytes.wrapping_neg() % 8
}
