//! The `ringwire` binary.

#![forbid(unsafe_code)]

#[cfg(feature = "planted-bugs")]
compile_error!("planted bugs are for the simulation; the binary is built without them");

use std::process::ExitCode;

/// Frees across threads are cheap in it, and small objects are packed: connections are small objects.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    keep_pages_small();
    ringwire::command::run()
}

/// The allocator asks for huge pages, and each that is touched at one byte is 2 MiB resident: 650 to 880 bytes per
/// idle connection where what they use is 360 (docs/decisions/0017). Refused, memory is larger and all else is well.
fn keep_pages_small() {
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}
