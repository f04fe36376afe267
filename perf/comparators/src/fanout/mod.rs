//! The bare loop's fan-out, with a runtime's tasks where the bare loop has its loop.
//!
//! ```text
//!   reader task (one per socket) -> Reader -> Outbox of every subscriber -> writer task (one per socket)
//! ```
//!
//! All messages of one read for one room are one piece of memory that every outbox refers to, as in the bare
//! loop that coalesces; what waits in an outbox leaves in one send. One thread, nothing shared with others, no
//! bound on an outbox: nobody stops reading in what is compared here.
//!
//! Deliberately absent: protocol, order, users, limits.

mod compio;
mod monoio;
mod tokio;
mod tokio_uring;

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::task::{Poll, Waker};

use bytes::Bytes;

use crate::wire;

/// Submission queue entries of those on io_uring: a fan-out to 1,000 in few submits.
const RING_ENTRIES: u32 = 4096;

/// Bytes of a read before it is known that somebody publishes, and of everybody's who only receives: a read
/// under way owns its buffer on a completion-based runtime.
const READ_BYTES_FIRST: usize = 1024;

/// Bytes of a publisher's read, as the bare loop has it.
const READ_BYTES: usize = 64 * 1024;

/// Serves on the runtime of a name until killed.
pub(crate) fn serve(runtime: &str, address: SocketAddr, ack_bytes: usize) -> Result<(), String> {
    let serve = match runtime {
        "monoio" => monoio::serve,
        "tokio-uring" => tokio_uring::serve,
        "tokio" => tokio::serve,
        "compio" => compio::serve,
        other => {
            return Err(format!(
                "there is no runtime {other}; there are monoio, tokio-uring, tokio and compio"
            ));
        }
    };
    let listener = TcpListener::bind(address).map_err(|error| format!("listening at {address}: {error}"))?;
    println!("listening on {}", listener.local_addr().map_err(|error| error.to_string())?);
    let hub = Rc::new(Hub { rooms: RefCell::default(), ack_bytes });
    serve(listener, hub).map_err(|error| format!("{runtime}: {error}"))
}

/// What all connections share.
struct Hub {
    rooms: RefCell<HashMap<u32, Vec<Rc<Outbox>>>>,
    ack_bytes: usize,
}

impl Hub {
    /// The two ends of a new connection.
    fn connect(self: &Rc<Self>) -> (Reader, Rc<Outbox>) {
        self.connect_through(None)
    }

    fn connect_through(self: &Rc<Self>, direct: Option<Direct>) -> (Reader, Rc<Outbox>) {
        let outbox = Rc::new(Outbox { direct, ..Outbox::default() });
        let reader = Reader {
            hub: Rc::clone(self),
            own: Rc::clone(&outbox),
            is_upgraded: false,
            publishes: false,
            rooms: Vec::new(),
            rest: Vec::new(),
        };
        (reader, outbox)
    }
}

/// Sends at once what the kernel takes at once, where a runtime can; how many bytes that were.
type Direct = Box<dyn Fn(&[u8]) -> usize>;

/// What is due to one socket.
#[derive(Default)]
struct Outbox {
    queue: RefCell<VecDeque<Bytes>>,
    writer: RefCell<Option<Waker>>,
    is_closed: Cell<bool>,
    direct: Option<Direct>,
}

impl Outbox {
    fn push(&self, mut bytes: Bytes) {
        let mut queue = self.queue.borrow_mut();
        if let Some(direct) = self.direct.as_ref().filter(|_| queue.is_empty()) {
            let sent = direct(&bytes);
            if sent == bytes.len() {
                return;
            }
            bytes = bytes.slice(sent..);
        }
        queue.push_back(bytes);
        drop(queue);
        self.wake();
    }

    fn close(&self) {
        self.is_closed.set(true);
        self.wake();
    }

    fn wake(&self) {
        if let Some(writer) = self.writer.borrow_mut().take() {
            writer.wake();
        }
    }

    /// All that waits, in one piece; `None` when the socket is closed.
    async fn next(&self) -> Option<Bytes> {
        poll_fn(|context| {
            let mut queue = self.queue.borrow_mut();
            match (queue.pop_front(), queue.is_empty()) {
                (Some(only), true) => Poll::Ready(Some(only)),
                (Some(first), false) => {
                    let mut joined = first.to_vec();
                    queue.drain(..).for_each(|more| joined.extend_from_slice(&more));
                    Poll::Ready(Some(joined.into()))
                }
                (None, _) if self.is_closed.get() => Poll::Ready(None),
                (None, _) => {
                    *self.writer.borrow_mut() = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

/// The receiving end of a connection; dropping it closes the other.
struct Reader {
    hub: Rc<Hub>,
    own: Rc<Outbox>,
    is_upgraded: bool,
    publishes: bool,
    rooms: Vec<u32>,
    /// A frame that is not whole yet.
    rest: Vec<u8>,
}

impl Reader {
    /// How large the next read's buffer should be.
    fn read_bytes(&self) -> usize {
        if self.publishes { READ_BYTES } else { READ_BYTES_FIRST }
    }

    fn received(&mut self, bytes: &[u8]) {
        if !self.is_upgraded {
            self.is_upgraded = true;
            self.publishes = wire::publishes(bytes);
            self.rooms = wire::rooms(bytes);
            let mut rooms = self.hub.rooms.borrow_mut();
            for room in &self.rooms {
                rooms.entry(*room).or_default().push(Rc::clone(&self.own));
            }
            drop(rooms);
            self.own.push(Bytes::from_static(wire::SWITCH.as_bytes()));
            return;
        }
        let mut joined = std::mem::take(&mut self.rest);
        let mut input = bytes;
        if !joined.is_empty() {
            joined.extend_from_slice(bytes);
            input = &joined;
        }
        let (mut out, mut answers, mut room_of_out) = (Vec::new(), Vec::new(), None);
        while let Some((payload, rest)) = wire::take_frame(input) {
            input = rest;
            let Some(room) = wire::room(payload) else {
                wire::put_frame(payload, &mut answers);
                continue;
            };
            if room_of_out.is_some_and(|other| other != room) {
                self.fan_out(room_of_out, std::mem::take(&mut out));
            }
            room_of_out = Some(room);
            wire::put_frame(payload, &mut out);
            if self.hub.ack_bytes > 0 {
                wire::put_ack(self.hub.ack_bytes, &mut answers);
            }
        }
        self.fan_out(room_of_out, out);
        if !answers.is_empty() {
            self.own.push(answers.into());
        }
        self.rest = input.to_vec();
    }

    fn fan_out(&self, room: Option<u32>, out: Vec<u8>) {
        let Some(room) = room else { return };
        let bytes = Bytes::from(out);
        for outbox in self.hub.rooms.borrow().get(&room).into_iter().flatten() {
            outbox.push(bytes.clone());
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut rooms = self.hub.rooms.borrow_mut();
        for room in &self.rooms {
            if let Some(of) = rooms.get_mut(room) {
                of.retain(|other| !Rc::ptr_eq(other, &self.own));
            }
        }
        self.own.close();
    }
}
