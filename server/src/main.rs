//! The `ringwire` binary.

#![forbid(unsafe_code)]

#[cfg(feature = "planted-bugs")]
compile_error!("planted bugs are for the simulation; the binary is built without them");

use std::process::ExitCode;

/// Frees across threads are cheap in it, and small objects are packed: connections are small objects.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ringwire::command::run()
}
