//! Push against services of its own making: real sockets, TLS and HTTP/2, and everything that is sent is checked
//! as the service would.

#![allow(clippy::disallowed_methods, reason = "tests use sockets, files and clocks")]

mod carriers;
mod engine;
mod service;
mod trouble;
