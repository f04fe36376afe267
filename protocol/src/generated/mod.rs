//! What flatc made of `schema/*.fbs`; committed, so that a build needs no generator, and never edited by
//! hand: `cargo xtask codegen` writes it and `cargo xtask codegen --check` compares it.
//!
//! The lints of the workspace are lifted here and nowhere else in this crate, `unsafe_code` included.

#![allow(
    unsafe_code,
    unsafe_op_in_unsafe_fn,
    missing_docs,
    unreachable_pub,
    unused_lifetimes,
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    clippy::unwrap_used,
    reason = "generated code"
)]

#[rustfmt::skip]
mod wire_generated;

pub(crate) use wire_generated::ringwire::wire::*;
