//! What the io_uring driver knows of one connection, and the life of it.
//!
//! ```text
//!   Accept done --> receiving <--> queued (found no buffer, waits for its turn)
//!                       |
//!      end or error     |  Close: cancel what is armed
//!   Disconnected <------+------> closing --> nothing armed: close sent --> Closed, slot free
//! ```

/// One slot of the table.
#[derive(Debug)]
pub(super) struct Connection {
    /// Index of the direct descriptor.
    pub(super) file: u32,
    /// A receive is armed.
    pub(super) is_receiving: bool,
    /// It waits in the starved list to have its receive armed.
    pub(super) is_queued: bool,
    /// A send was cut short, and a poll for writability is armed.
    pub(super) is_stalled: bool,
    /// `Disconnected` was reported: nothing more is received, and it is not reported again. A peer that
    /// only ended its own side may still be sent to.
    pub(super) is_disconnected: bool,
    /// A send failed: bytes are missing, so no others may follow.
    pub(super) is_broken: bool,
    /// The shard closed it: nothing but `Closed` is reported.
    pub(super) is_closing: bool,
}

/// An idle connection costs this much, and the kernel's part.
const _: () = assert!(size_of::<Connection>() <= 12);

impl Connection {
    pub(super) fn new(file: u32) -> Self {
        Self {
            file,
            is_receiving: false,
            is_queued: false,
            is_stalled: false,
            is_disconnected: false,
            is_broken: false,
            is_closing: false,
        }
    }

    /// No request names its descriptor, so closing it closes the socket. Closing under an armed receive
    /// would not: the request keeps the socket open, and the peer hears nothing.
    pub(super) fn has_nothing_armed(&self) -> bool {
        !self.is_receiving && !self.is_stalled
    }
}
