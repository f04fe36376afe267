//! The program in `perf/comparators`: other runtimes and other stores, built apart from the workspace.

use std::path::PathBuf;
use std::process::Command;

use crate::fault::{Fault, Result};
use crate::system::server::workspace;

/// Runtimes that do the bare loop's work.
pub const RUNTIMES: [&str; 4] = ["monoio", "tokio-uring", "tokio", "compio"];

/// Stores that do the journal's work.
pub const STORES: [&str; 3] = ["sled", "fjall", "redb"];

/// Where it is built; ignored by git.
fn target() -> PathBuf {
    workspace().join("target/comparators")
}

/// Where it is; else what would bring it.
///
/// # Errors
/// It was not built.
pub fn find() -> std::result::Result<PathBuf, String> {
    let program = target().join("release/ringwire-comparators");
    if program.is_file() {
        Ok(program)
    } else {
        Err("it is not built (cargo xtask bench comparators)".to_owned())
    }
}

/// Builds it, with its lock file as it is.
///
/// # Errors
/// It does not build, or its dependencies cannot be had.
pub fn build() -> Result<PathBuf> {
    println!("building perf/comparators: {}, {}", RUNTIMES.join(", "), STORES.join(", "));
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args([
            "build",
            "--release",
            "--locked",
            "--manifest-path",
            "perf/comparators/Cargo.toml",
            "--target-dir",
        ])
        .arg(target())
        .current_dir(workspace())
        .status()
        .map_err(Fault::system("starting cargo"))?;
    if !status.success() {
        return Err(Fault::Machine("perf/comparators does not build".to_owned()));
    }
    find().map_err(Fault::Machine)
}
