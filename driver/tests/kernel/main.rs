//! What both drivers promise, checked against the real kernel: every claim runs once per driver.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
#![allow(clippy::disallowed_methods, reason = "a test has threads, files and clocks of its own")]

mod harness;

mod accepting;
mod chaos;
mod closing;
mod datagrams;
mod files;
mod refused;
mod traffic;
mod waking;
