//! What measures Ringwire, and what stands in for it where only a part is to be measured or checked.
//!
//! Deliberately absent: anything that the server needs; nothing depends on this crate.

#![forbid(unsafe_code)]

pub mod echo;
