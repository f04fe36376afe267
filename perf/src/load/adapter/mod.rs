//! What differs between protocols: how one connects and subscribes, how a publish looks, how a delivery is
//! known. One file each.

pub mod bare;
pub mod ringwire;
pub mod websocket;

/// What a connection is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// Signs in and says nothing more.
    Idle,
    /// Receives the messages of these rooms.
    Subscriber(Vec<u32>),
    /// Publishes to these rooms and receives nothing but acknowledgements.
    Publisher(Vec<u32>),
    /// Receives what this room has after the sequence, then what comes.
    Resumer {
        /// Which room.
        room: u32,
        /// The last sequence it has (the server's).
        after: u64,
        /// How many it misses: it has to get exactly these.
        missed: u32,
    },
}

/// Who connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// Dense from 0 within one run: names the device.
    pub index: u32,
    /// Names the user; several connections may be of one.
    pub user: u32,
    /// What for.
    pub role: Role,
}

/// Something a server said that is no part of setting up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// A message: the bytes that every subscriber receives alike.
    Message(&'a [u8]),
    /// A publish was accepted.
    Ack,
    /// An echo came back.
    Echo(&'a [u8]),
    /// A page of history: how many messages it had, and whether it was the last.
    Page(u32, bool),
    /// Nothing that counts.
    Other,
    /// A refusal: nothing that follows can be trusted.
    Refused(&'a str),
}

/// Where setting up a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// More is to come.
    Waits,
    /// The connection is what it was to be.
    Ready,
}

/// One protocol.
pub trait Adapter {
    /// What a connection says first.
    fn begin(&self, who: &Who, out: &mut Vec<u8>);

    /// Takes the next whole unit off the stream; `None`: there is only part of one. `step` is 0 until the
    /// first unit was handed to [`Adapter::set_up`].
    ///
    /// # Errors
    /// What the server sent is not its protocol.
    fn unit<'a>(&self, step: u8, input: &mut &'a [u8]) -> Result<Option<&'a [u8]>, String>;

    /// Goes on with setting up after one unit. `step` is the connection's own, from 0.
    ///
    /// # Errors
    /// The server refused.
    fn set_up(&self, who: &Who, step: &mut u8, unit: &[u8], out: &mut Vec<u8>) -> Result<Step, String>;

    /// Says each item of a unit.
    ///
    /// # Errors
    /// What the server sent is not its protocol.
    fn items<'a>(&self, unit: &'a [u8], each: &mut dyn FnMut(Item<'a>)) -> Result<(), String>;

    /// The body of a message, as it was published; `None` where it is not one of ours.
    ///
    /// # Errors
    /// The message is not valid.
    fn body<'a>(&self, message: &'a [u8]) -> Result<Option<&'a [u8]>, String>;

    /// The server's own sequence of a message, where its protocol has one.
    fn sequence(&self, _message: &[u8]) -> Option<u64> {
        None
    }

    /// Appends a publish. `nth` counts the publishes of this publisher to this room, from 1.
    fn publish(&self, publisher: u32, room: u32, nth: u64, body: &[u8], out: &mut Vec<u8>);

    /// Appends something that comes back to the sender alone.
    fn echo(&self, token: u64, out: &mut Vec<u8>);
}
