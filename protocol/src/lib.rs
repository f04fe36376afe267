//! The wire: frames, FlatBuffers messages and the WebSocket codec, for both roles.
//!
//! Bytes come in as slices and leave as slices or appended to a `Vec<u8>`:
//!
//! ```text
//! socket bytes -> ws::Decoder -> frame::split -> message::{ClientFrame, ServerFrame}::decode -> plain struct
//! QUIC stream  -> frame::FrameReader ---------^
//! plain struct -> encode -> header + FlatBuffers root -> ws::write_message -> socket bytes
//! ```
//!
//! Invariants:
//! - every frame is verified before a field of it is read;
//! - whatever a peer sends ends in a value or in a [`Fault`], never in a panic;
//! - decoding allocates nothing; what is partial is the only thing a decoder ever owns, and it is bounded;
//! - `docs/wire.md` is the contract; comments cite its rules as W-n.
//!
//! Deliberately absent: clocks, sockets, randomness, policy (who may do what), and any global state.

pub mod code;
pub mod fault;
pub mod frame;
mod generated;
pub mod id;
pub mod limits;
pub mod message;
pub mod ws;

pub use code::Code;
pub use fault::Fault;
pub use id::{ConversationId, DeviceId, UserId};
