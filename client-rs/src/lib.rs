//! The Rust client of Ringwire, a real-time messaging server.
//!
//! ```no_run
//! use ringwire_client::{Client, Start};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), ringwire_client::Error> {
//! let client = Client::builder("ws://127.0.0.1:7400/v1/ws").token("dev:ada").connect().await?;
//! let mut room = client.join_from("lobby", Start::Last(50)).await?;
//!
//! let published = room.publish("hello").await?;
//! println!("accepted as number {}", published.sequence);
//!
//! while let Some(message) = room.next_message().await {
//!     let name = room.name_of(message.sender).unwrap_or_default();
//!     println!("{} {name}: {}", message.sequence, message.text().unwrap_or("(no text)"));
//! }
//! client.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! What is promised, whatever happens to the connection:
//!
//! - a publish that is acknowledged is stored, once, at the sequence that the acknowledgement says;
//! - publishes of a conversation are accepted in the order of the calls;
//! - a conversation's messages arrive in order, without holes and without doubles; what is missing for good is said;
//! - every queue is bounded, and what happens when it is full is said at its number in [`limits`].
//!
//! Two layers: [`Client`] and its handles for programs on tokio; below them [`mod@core`] and [`ws`], the same thing without
//! I/O, for other runtimes and for simulation.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod client;
pub mod core;
pub mod error;
pub mod limits;
#[cfg(feature = "media")]
pub mod media;
pub mod timeline;
pub mod ws;

pub use client::{
    Builder, Client, ClientEvent, Conversation, Publisher, Receipt, Shutdown, Update, pinned_tls,
};
pub use core::{
    Change, Counts, Draft, Gap, History, InboxEntry, Member, MemberPage, Membership, Message, Missing,
    Published, Registration, Session, Settings, Start, State,
};
pub use error::{Error, Party, Refusal, Result};
pub use ringwire_protocol::code::Code;
pub use ringwire_protocol::message::{
    Action, ConversationKind, Direction, Durability, GapCause, Kind, PresenceState, Provider, ReceiptKind,
    Role, View,
};
pub use ringwire_protocol::{ConversationId, DeviceId, UserId};

pub use timeline::Timeline;

/// The examples of the README are compiled as well.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
