//! Media sharing of the real binary: uploads that break and go on, downloads in ranges, and everything that is
//! refused.

#![allow(clippy::disallowed_methods, reason = "tests use sockets, files and processes")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod client;
mod http;
mod program;
mod refused;
mod s3;
#[path = "../support/mod.rs"]
mod support;
mod transfer;
