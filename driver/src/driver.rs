//! The seam: what a shard sees of the kernel, and the choice between the two drivers.

use std::io;
use std::time::Duration;

use crate::config::{Config, Kind, OpenError};
use crate::uring::Refused;
use crate::{Bell, Completion, EpollDriver, Operations, UringDriver};

/// One shard's way to the kernel.
pub trait Driver {
    /// Takes this turn's operations. The vectors are left empty, with capacity for the next turn.
    ///
    /// # Panics
    /// If the shard breaks the contract of [`Send`](crate::Send): a send to a connection that it was told
    /// is stalled, or a payload of another turn.
    fn submit(&mut self, operations: &mut Operations);

    /// Hands every completion to `sink`. Blocks at most `timeout` (`None`: for ever), and only if nothing
    /// is pending and `idle()` stays true ("my rings are empty"): it spins briefly on `idle()`, then says
    /// that it sleeps, looks at `idle()` once more, then blocks. May return without a completion.
    ///
    /// Every [`Completion::Stalled`] of the submit before it is handed over, so what a shard sends next
    /// never overtakes what fell short.
    ///
    /// # Errors
    /// The ring or the epoll instance itself failed; the shard cannot go on.
    fn wait(
        &mut self,
        timeout: Option<Duration>,
        idle: &mut dyn FnMut() -> bool,
        sink: &mut dyn FnMut(Completion<'_>),
    ) -> io::Result<()>;

    /// The handle by which others wake this driver.
    fn bell(&self) -> Bell;

    /// Says who is woken by [`Operation::Ring`](crate::Operation::Ring); index = shard.
    fn connect(&mut self, bells: Vec<Bell>);

    /// What was counted since the driver was opened.
    fn counters(&self) -> Counters {
        Counters::default()
    }
}

/// What a driver counts, for metrics; all since it was opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Connections taken.
    pub accepted: u64,
    /// Connections closed at once because `connections_max` was reached.
    pub refused: u64,
    /// Times that accepting paused because descriptors or memory ran out.
    pub accept_pauses: u64,
    /// Sends cut short because the peer did not read.
    pub stalls: u64,
    /// Operations or completions for a former occupant of a slot, dropped.
    pub stale: u64,
    /// io_uring: receives that found no buffer.
    pub starved: u64,
    /// io_uring: times that the completion queue was found overflown.
    pub overflows: u64,
    /// Datagrams that arrived.
    pub datagrams_received: u64,
    /// Datagrams that arrived and were thrown away by the kernel, because the socket's buffer was full.
    pub datagrams_overflown: u64,
    /// Datagrams asked to be sent.
    pub datagrams_sent: u64,
    /// Of those, dropped: too many waited, or the kernel refused them.
    pub datagrams_dropped: u64,
    /// Present connections, closing ones included.
    pub connections: u32,
    /// User memory of the connection table, bytes.
    pub table_bytes: u64,
}

/// An opened driver, and how the choice was made.
#[derive(Debug)]
pub struct Opened {
    /// Ready for `submit` and `wait`.
    pub driver: AnyDriver,
    /// Which one it is, never [`Kind::Auto`].
    pub kind: Kind,
    /// Why io_uring was refused where it was wanted: one sentence with a hint.
    pub fallback: Option<String>,
}

/// Either driver.
#[derive(Debug)]
pub enum AnyDriver {
    /// io_uring: one ring, direct descriptors, shared receive buffers.
    Uring(Box<UringDriver>),
    /// epoll, `send` and `recv`, two file threads.
    Epoll(Box<EpollDriver>),
}

/// Opens a driver. To be called on the shard's own thread, which must be the only one to use it.
///
/// # Errors
/// See [`OpenError`]; with [`Kind::Auto`] never because of io_uring.
pub fn open(kind: Kind, config: Config) -> Result<Opened, OpenError> {
    config.check()?;
    if kind == Kind::Epoll {
        return open_epoll(config, None);
    }
    match UringDriver::open(config) {
        Ok(driver) => {
            Ok(Opened { driver: AnyDriver::Uring(Box::new(driver)), kind: Kind::Uring, fallback: None })
        }
        Err((Refused::Kernel(reason), Some(config))) if kind == Kind::Auto => {
            open_epoll(config, Some(reason))
        }
        Err((Refused::Kernel(reason), _)) => Err(OpenError::Uring(reason)),
        Err((Refused::Other(error), _)) => Err(error),
    }
}

fn open_epoll(config: Config, fallback: Option<String>) -> Result<Opened, OpenError> {
    let driver = AnyDriver::Epoll(Box::new(EpollDriver::open(config)?));
    Ok(Opened { driver, kind: Kind::Epoll, fallback })
}

impl AnyDriver {
    fn inner(&self) -> &dyn Driver {
        match self {
            Self::Uring(driver) => &**driver,
            Self::Epoll(driver) => &**driver,
        }
    }

    fn inner_mut(&mut self) -> &mut dyn Driver {
        match self {
            Self::Uring(driver) => &mut **driver,
            Self::Epoll(driver) => &mut **driver,
        }
    }
}

impl Driver for AnyDriver {
    fn submit(&mut self, operations: &mut Operations) {
        self.inner_mut().submit(operations);
    }

    fn wait(
        &mut self,
        timeout: Option<Duration>,
        idle: &mut dyn FnMut() -> bool,
        sink: &mut dyn FnMut(Completion<'_>),
    ) -> io::Result<()> {
        self.inner_mut().wait(timeout, idle, sink)
    }

    fn bell(&self) -> Bell {
        self.inner().bell()
    }

    fn connect(&mut self, bells: Vec<Bell>) {
        self.inner_mut().connect(bells);
    }

    fn counters(&self) -> Counters {
        self.inner().counters()
    }
}
