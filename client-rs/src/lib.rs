//! The Rust client of Ringwire.

pub mod core;
pub mod error;
pub mod limits;
pub mod ws;

pub use error::{Error, Result};
