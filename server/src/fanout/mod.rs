//! From one message to everybody who is to have it.
//!
//! The owner shard encodes once ([`encoded`]) and writes one [`letter`] per target shard into the
//! [`mesh`]; there the [`subscribers`] of the conversation are found, and the message joins each
//! connection's queue of this turn ([`queues`]). Connections whose queues are equal share one buffer.
//!
//! Absent: policy (who may receive is decided by the owner), sockets, durability.

pub mod encoded;
pub mod letter;
pub mod mesh;
pub mod queues;
pub mod subscribers;
