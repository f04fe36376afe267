//! Up to where the user has read a conversation, and this device has it: what there is to say, what the server knows, and
//! when it may be told more.
//!
//! Owner: one conversation of the core; lives across connections. Both only grow, except where the server has lost what they
//! pointed at. What is read is delivered, so a read cursor that is ahead makes the other one superfluous.

use std::time::Duration;

use crate::limits::DELIVERED_EVERY;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Cursors {
    read: u64,
    read_known: u64,
    delivered: u64,
    delivered_known: u64,
    /// When the server was last told what was delivered.
    delivered_at: Option<Duration>,
}

impl Cursors {
    /// The user has read everything up to here. Whether that is news.
    pub(crate) fn on_read(&mut self, sequence: u64) -> bool {
        let news = sequence > self.read;
        self.read = self.read.max(sequence);
        news
    }

    /// The reader was given everything up to here.
    pub(crate) fn on_delivered(&mut self, sequence: u64) {
        self.delivered = self.delivered.max(sequence);
    }

    /// The server has confirmed the conversation on a new connection, and knows so much. What was told on the one before may
    /// not have arrived.
    pub(crate) fn on_attached(&mut self, read: u64, delivered: u64) {
        self.read_known = read;
        self.delivered_known = delivered;
    }

    /// The server has lost what was behind `head`, and will give those numbers again.
    pub(crate) fn on_rewound(&mut self, head: u64) {
        for cursor in [&mut self.read, &mut self.read_known, &mut self.delivered, &mut self.delivered_known] {
            *cursor = (*cursor).min(head);
        }
    }

    /// The read cursor to send now, if any; it counts as sent.
    pub(crate) fn take_read(&mut self) -> Option<u64> {
        (self.read > self.read_known).then(|| {
            self.read_known = self.read;
            self.read
        })
    }

    /// When the server is to be told what was delivered, if there is anything to tell.
    pub(crate) fn delivered_due(&self) -> Option<Duration> {
        let news = self.delivered > self.delivered_known.max(self.read_known).max(self.read);
        news.then(|| self.delivered_at.map_or(Duration::ZERO, |at| at + DELIVERED_EVERY))
    }

    /// The delivered cursor to send now, if any; it counts as sent.
    pub(crate) fn take_delivered(&mut self, now: Duration) -> Option<u64> {
        self.delivered_due().filter(|&due| due <= now)?;
        self.delivered_known = self.delivered;
        self.delivered_at = Some(now);
        Some(self.delivered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn what_was_said_is_not_said_again_and_never_twice_within_a_second() {
        let mut cursors = Cursors::default();
        assert_eq!(cursors.take_delivered(ms(0)), None);
        cursors.on_delivered(3);
        assert_eq!(cursors.take_delivered(ms(0)), Some(3));
        cursors.on_delivered(3);
        assert_eq!(cursors.take_delivered(ms(5_000)), None);
        cursors.on_delivered(4);
        assert_eq!(cursors.take_delivered(ms(5_000)), Some(4));
        cursors.on_delivered(5);
        cursors.on_delivered(9);
        assert_eq!((cursors.take_delivered(ms(5_999)), cursors.delivered_due()), (None, Some(ms(6_000))));
        assert_eq!(cursors.take_delivered(ms(6_000)), Some(9));
    }

    #[test]
    fn what_is_read_is_delivered() {
        let mut cursors = Cursors::default();
        cursors.on_delivered(7);
        assert!(cursors.on_read(8) && !cursors.on_read(8));
        assert_eq!((cursors.take_read(), cursors.take_read()), (Some(8), None));
        assert_eq!(cursors.delivered_due(), None);
    }

    #[test]
    fn after_a_reconnect_only_what_the_server_does_not_know_is_said() {
        let mut cursors = Cursors::default();
        cursors.on_delivered(7);
        cursors.on_read(5);
        cursors.on_attached(5, 6);
        assert_eq!((cursors.take_read(), cursors.take_delivered(ms(0))), (None, Some(7)));
        cursors.on_attached(3, 7);
        assert_eq!((cursors.take_read(), cursors.take_delivered(ms(9_000))), (Some(5), None));
        // Other devices of the user are further.
        cursors.on_attached(90, 90);
        cursors.on_delivered(80);
        assert_eq!((cursors.take_read(), cursors.take_delivered(ms(9_000))), (None, None));
    }

    #[test]
    fn after_a_rewind_no_cursor_is_beyond_the_head() {
        let mut cursors = Cursors::default();
        cursors.on_delivered(9);
        cursors.on_read(9);
        cursors.on_rewound(4);
        cursors.on_attached(0, 0);
        assert_eq!(cursors.take_read(), Some(4));
        cursors.on_delivered(5);
        assert_eq!(cursors.take_delivered(ms(0)), Some(5));
    }
}
