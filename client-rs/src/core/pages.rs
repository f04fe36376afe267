//! Pages of history: those that close a hole, and those that a caller has asked for.

use std::time::Duration;

use ringwire_protocol::Fault;
use ringwire_protocol::frame;
use ringwire_protocol::message::{self, Page, ServerFrame};

use super::Core;
use super::content::{History, Message};
use super::event::{Event, RequestId};
use super::feed::Fill;
use super::requests::Ask;
use crate::error::Error;

impl Core {
    pub(super) fn on_page(&mut self, now: Duration, page: &Page<'_>) {
        let Some(request) = self.answer(page.request) else { return };
        match request.ask {
            Ask::Fill { conversation, from, .. } if conversation == page.conversation => {
                self.on_fill_page(now, page, from)
            }
            Ask::History { conversation, .. } if conversation == page.conversation => {
                match messages(page).and_then(|messages| Ok((messages, amendments(page)?))) {
                    Ok((messages, amendments)) => self.events.push_back(Event::History {
                        request: RequestId(page.request),
                        conversation,
                        history: History {
                            messages,
                            amendments,
                            from: page.from,
                            to: page.to,
                            head: page.head,
                            complete: page.complete,
                        },
                    }),
                    Err(error) => {
                        let request = RequestId(page.request);
                        self.events.push_back(Event::RequestFailed { request, error: error.clone() });
                        self.on_fault(error);
                    }
                }
                self.check_shutdown();
            }
            _ => self.on_fault(Error::Contradiction("a Page for something else than was asked")),
        }
    }

    /// `asked_from`: what came next when the page was asked for. A gap told before the page is progress, too.
    fn on_fill_page(&mut self, now: Duration, page: &Page<'_>, asked_from: u64) {
        let id = page.conversation;
        let Some(conversation) = self.conversations.get_mut(&id) else { return };
        let mut fault = None;
        let result = each_message(page, |message| {
            conversation.feed.on_paged(message, &self.config.limits, &mut self.events);
        });
        match result {
            // A page that answers for a stretch and does not have its end says that the end is not kept.
            Ok(()) if page.from <= page.to => {
                conversation.feed.on_not_kept(page.to + 1, &mut self.events);
            }
            Ok(()) => {}
            Err(error) => fault = Some(error),
        }
        conversation.feed.on_head(page.head);
        conversation.feed.set_fill(Fill::Idle);
        conversation.feed.on_page_end(asked_from);
        if let Some(error) = fault {
            return self.on_fault(error);
        }
        if conversation.feed.fruitless() > 0 {
            self.rest(now, id, Duration::ZERO);
        }
        self.fed(now, id);
        self.pump_fills(now);
    }
}

/// Calls `take` with each of the frames, which are messages of the page's conversation in ascending order.
fn each(
    page: &Page<'_>,
    mut frames: &[u8],
    mut take: impl FnMut(&message::Message<'_>) -> bool,
) -> Result<(), Error> {
    let mut last = 0;
    let bytes = frames.len();
    while let Some(frame) = frame::split(&mut frames, bytes).map_err(Error::Peer)? {
        let ServerFrame::Message(message) = ServerFrame::decode(frame).map_err(Error::Peer)? else {
            return Err(Error::Peer(Fault::UnexpectedFrame { kind: frame.kind }));
        };
        let placed = message.conversation == page.conversation && message.sequence > last;
        if !placed || !take(&message) {
            return Err(Error::Contradiction("a Page whose messages are out of place"));
        }
        last = message.sequence;
    }
    Ok(())
}

fn each_message(page: &Page<'_>, mut take: impl FnMut(&message::Message<'_>)) -> Result<(), Error> {
    each(page, page.frames, |message| {
        let inside = (page.from..=page.to).contains(&message.sequence);
        if inside {
            take(message);
        }
        inside
    })
}

fn messages(page: &Page<'_>) -> Result<Vec<Message>, Error> {
    let mut messages = Vec::new();
    each_message(page, |message| messages.push(Message::from_wire(message)))?;
    Ok(messages)
}

/// What was said about the page's messages, wherever that stands itself (W-54).
fn amendments(page: &Page<'_>) -> Result<Vec<Message>, Error> {
    let mut amendments = Vec::new();
    each(page, page.amendments, |message| {
        let about = message.kind.refers() && (page.from..=page.to).contains(&message.reference);
        if about {
            amendments.push(Message::from_wire(message));
        }
        about
    })?;
    Ok(amendments)
}
