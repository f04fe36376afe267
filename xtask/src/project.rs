//! Where things are, and how cargo is called.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The checkout this tool works on.
pub(crate) struct Project {
    /// The workspace's folder.
    pub(crate) root: PathBuf,
    /// Where cargo builds.
    pub(crate) target: PathBuf,
    /// What was fetched; ignored by git, safe to delete.
    pub(crate) tools: PathBuf,
}

impl Project {
    /// From the environment that `cargo run` sets up.
    pub(crate) fn find() -> Result<Self, String> {
        let manifest = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        let manifest = manifest.ok_or("start this with `cargo xtask`, which says where the workspace is")?;
        let root = manifest.parent().ok_or("xtask is a folder of the workspace")?.to_owned();
        let target = match std::env::var_os("CARGO_TARGET_DIR") {
            Some(target) => root.join(target),
            None => root.join("target"),
        };
        let tools = root.join(".tools");
        Ok(Self { root, target, tools })
    }

    /// The cargo that started us, in the workspace's folder.
    pub(crate) fn cargo(&self) -> Command {
        let mut cargo = self.command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        // Set for us by `cargo run`; a build script that watches it would run again for nothing.
        for variable in ["CARGO_MANIFEST_DIR", "CARGO_PKG_NAME", "CARGO_PKG_VERSION"] {
            cargo.env_remove(variable);
        }
        cargo
    }

    /// Any program, in the workspace's folder.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root);
        command
    }

    /// Whether a cargo subcommand such as `fmt` is installed.
    pub(crate) fn has_component(&self, name: &str) -> bool {
        let asked = self.cargo().args([name, "--version"]).output();
        asked.is_ok_and(|output| output.status.success())
    }

    /// Reads a file of the checkout.
    pub(crate) fn read(&self, path: impl AsRef<Path>) -> Result<String, String> {
        let path = self.root.join(path);
        std::fs::read_to_string(&path).map_err(|error| format!("reading {}: {error}", path.display()))
    }
}
