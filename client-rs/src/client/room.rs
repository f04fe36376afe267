//! What the handles of one conversation share: its queue of updates, its names, whether it still stands.
//!
//! Owner: `Shared`, under its lock, from the answered join until the conversation ends or is detached. The queue is bounded
//! by the credit the core has been given; typing, receipts and counts, which no credit bounds, are let go while it is full.

use std::collections::{BTreeMap, VecDeque};
use std::task::Waker;

use ringwire_protocol::message::{Action, Kind};
use ringwire_protocol::{ConversationId, UserId};

use super::conversation::Update;
use crate::core::{Member, Membership, Message};
use crate::error::Error;
use crate::limits::{NAMES_MAX, READER_MESSAGES_MAX};

/// Which room a handle belongs to: a conversation may be left and joined again while old handles are still there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct RoomKey {
    pub(super) id: ConversationId,
    serial: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) key: RoomKey,
    pub(super) queue: VecDeque<Update>,
    pub(super) reader: Option<Waker>,
    pub(super) membership: Membership,
    names: BTreeMap<UserId, String>,
    /// Handles: readers and publishers.
    pub(super) handles: usize,
    /// The reader is gone; publishers may be there.
    pub(super) unread: bool,
    /// Nothing more comes.
    pub(super) ended: Option<Error>,
}

impl Room {
    pub(super) fn new(membership: Membership, serial: u64) -> Self {
        let members = membership.members.clone();
        let mut room = Self {
            key: RoomKey { id: membership.conversation, serial },
            queue: VecDeque::new(),
            reader: None,
            names: BTreeMap::new(),
            handles: 0,
            unread: false,
            ended: None,
            membership,
        };
        room.learn(&members);
        room
    }

    /// Takes an update in; the reader to wake, if it waits.
    pub(super) fn push(&mut self, update: Update) -> Option<Waker> {
        if let Update::Message(message) = &update {
            self.learn_from(message);
        }
        let passing = matches!(update, Update::Typing { .. } | Update::Receipt { .. } | Update::Counts(_));
        if self.unread || (passing && self.queue.len() >= READER_MESSAGES_MAX as usize) {
            return None;
        }
        self.queue.push_back(update);
        self.reader.take()
    }

    /// The conversation is over.
    pub(super) fn end(&mut self, error: Error) -> Option<Waker> {
        self.ended = Some(error);
        self.reader.take()
    }

    /// Notes who is called what.
    pub(super) fn learn(&mut self, members: &[Member]) {
        for member in members {
            self.name(member.user, &member.name);
        }
    }

    fn learn_from(&mut self, message: &Message) {
        if message.kind == Kind::Membership
            && let Some(membership) = message.membership()
        {
            self.name(membership.user, membership.name);
            match membership.action {
                Action::Joined | Action::Added => self.membership.members_count += 1,
                Action::Left | Action::Removed => {
                    self.membership.members_count = self.membership.members_count.saturating_sub(1);
                }
                Action::Created | Action::RoleChanged => {}
            }
        }
    }

    fn name(&mut self, user: UserId, name: &str) {
        if let Some(known) = self.names.get_mut(&user) {
            name.clone_into(known);
        } else if self.names.len() < NAMES_MAX {
            self.names.insert(user, name.to_owned());
        }
    }

    /// Who is called so; nobody if several are.
    pub(super) fn user_of(&self, name: &str) -> Option<UserId> {
        let mut fits = self.names.iter().filter(|(_, known)| *known == name).map(|(user, _)| *user);
        fits.next().filter(|_| fits.next().is_none())
    }

    pub(super) fn name_of(&self, user: UserId) -> Option<&str> {
        self.names.get(&user).map(String::as_str)
    }
}
