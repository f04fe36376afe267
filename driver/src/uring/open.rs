//! Opening the driver: what the kernel may refuse first, what is ours after that.

use std::collections::VecDeque;
use std::io;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;

use io_uring::IoUring;

use super::accept::{Acceptor, PLACES};
use super::buffers::Buffers;
use super::ring::{Purpose, Ring};
use super::{UringDriver, setup};
use crate::datagrams::Datagrams;
use crate::files::Files;
use crate::slots::Slots;
use crate::{Bell, Config, Counters, OpenError, sys};

/// Why there is no io_uring driver.
pub(crate) enum Refused {
    /// This kernel or container does not give it; why, as a sentence without its full stop.
    Kernel(String),
    /// Nothing to do with io_uring.
    Other(OpenError),
}

impl UringDriver {
    /// Opens the driver on the calling thread; gives the configuration back where io_uring is refused, so
    /// that another driver may be opened with it.
    pub(crate) fn open(config: Config) -> Result<Self, (Refused, Option<Config>)> {
        let completions = match config.completions {
            0 => setup::completions_for(config.connections_max),
            wanted => wanted,
        };
        let prepared =
            setup::open(completions).map_err(Refused::Kernel).and_then(|io| Self::prepare(io, &config));
        let (ring, buffers) = match prepared {
            Ok(prepared) => prepared,
            Err(refused) => return Err((refused, Some(config))),
        };
        Self::assemble(ring, buffers, config).map_err(|error| (Refused::Other(error), None))
    }

    /// All that the kernel may refuse once it has given a ring.
    pub(super) fn prepare(io: IoUring, config: &Config) -> Result<(Ring, Buffers), Refused> {
        let files = config.connections_max + PLACES;
        let needed = u64::from(files);
        let limit = sys::raise_descriptors()
            .map_err(|error| Refused::Other(OpenError::io("reading the descriptor limit")(error)))?;
        if limit < needed {
            let connections_max = config.connections_max;
            return Err(Refused::Other(OpenError::Descriptors { connections_max, needed, limit }));
        }
        let refused = |error: io::Error| Refused::Kernel(setup::explain(&error));
        io.submitter().register_files_sparse(files).map_err(refused)?;
        let buffers = Buffers::new(config.receive_buffers, config.receive_buffer_bytes)
            .map_err(|error| Refused::Other(OpenError::io("mapping receive buffers")(error)))?;
        buffers.register(&io).map_err(refused)?;
        // A policy may allow setting up and refuse entering.
        io.submit().map_err(refused)?;
        Ok((Ring::new(io), buffers))
    }

    pub(super) fn assemble(ring: Ring, buffers: Buffers, config: Config) -> Result<Self, OpenError> {
        let bell = Bell::new().map_err(OpenError::io("opening the doorbell's eventfd"))?;
        let acceptor = Acceptor::new(config.listener, config.send_buffer_bytes)?;
        let datagrams = config.datagrams.map(Datagrams::new).transpose()?;
        bell.set_ring(ring.fd());
        let mut driver = Self {
            ring,
            buffers: ManuallyDrop::new(buffers),
            acceptor: ManuallyDrop::new(acceptor),
            in_flight: ManuallyDrop::default(),
            payloads: ManuallyDrop::default(),
            slots: Slots::new(config.connections_max),
            datagrams,
            is_watching_datagrams_out: false,
            starved: VecDeque::new(),
            stash: VecDeque::new(),
            failed: None,
            files: Files::new(config.shard, bell.clone()),
            bell,
            bells: Vec::new(),
            spin: config.spin,
            counters: Counters::default(),
            _not_send: PhantomData,
        };
        driver.watch_bell();
        driver.watch_datagrams_in();
        driver.arm_accepts();
        driver.enter(Purpose::Submit);
        match driver.failed.take() {
            None => Ok(driver),
            Some(error) => Err(OpenError::io("entering io_uring")(error)),
        }
    }
}
