//! What the server sends. Numbers that are newer than this library are read as the least they can mean (W-8):
//! a client must survive a newer server and entries that newer clients wrote.

use super::answer::{Ack, Done, Joined, MemberPage, Page, Pong, Reject, Welcome};
use super::direction;
use super::event::{Counts, Gap, GoAway, Head, Inbox, Message, Presence, Receipt, TypingNotice};

direction! {
    /// Every frame that travels to the client.
    ServerFrame<'a> {
        Welcome(Welcome<'a>),
        Ack(Ack),
        Done(Done),
        Reject(Reject<'a>),
        Message(Message<'a>),
        Joined(Joined<'a>),
        MemberPage(MemberPage<'a>),
        Head(Head),
        Page(Page<'a>),
        Presence(Presence<'a>),
        TypingNotice(TypingNotice),
        Receipt(Receipt),
        Gap(Gap),
        GoAway(GoAway<'a>),
        Pong(Pong),
        Inbox(Inbox<'a>),
        Counts(Counts),
    }
}
