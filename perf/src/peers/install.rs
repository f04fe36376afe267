//! Getting peers, into the ignored folder `.tools/peers` (and one empty folder that nchan insists on).
//!
//! What pip and npm bring is pinned by hash. The distribution's packages are downloaded and unpacked there
//! instead of installed, because installing a server starts it; apt checks their signatures, and which version
//! they are is whatever the distribution has, and is said.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::tools;
use crate::fault::{Fault, Result};
use crate::system::server::workspace;

/// Packages of pip, from `perf/peers/requirements.txt`, into a folder of this name.
pub(super) fn pip(folder: &str) -> Result<()> {
    let mut command = Command::new("python3");
    command.args(["-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--no-deps"]);
    command.args(["--only-binary", ":all:", "--require-hashes", "--upgrade"]);
    command.arg("--requirement").arg(workspace().join("perf/peers/requirements.txt"));
    run(command.arg("--target").arg(tools().join(folder)))
}

/// Packages of npm, from `perf/peers/package-lock.json`, into a folder of this name.
pub(super) fn npm(folder: &str) -> Result<()> {
    let folder = make(tools().join(folder))?;
    for name in ["package.json", "package-lock.json"] {
        let from = workspace().join("perf/peers").join(name);
        std::fs::copy(&from, folder.join(name))
            .map_err(Fault::system(format!("copying {}", from.display())))?;
    }
    let mut command = Command::new("npm");
    command.args(["ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"]);
    run(command.arg(folder))
}

/// Packages of the distribution with what they need and is not installed, unpacked.
pub(super) fn debian(packages: &[&str]) -> Result<()> {
    let archives = make(tools().join("archives/partial"))?;
    let archives = archives.parent().unwrap_or(&archives);
    let download = || {
        let mut command = Command::new("apt-get");
        command.args(["install", "--yes", "--quiet", "--no-install-recommends", "--download-only"]);
        // The packages' own folder belongs to root; nothing is installed, so nothing has to be locked.
        command.args(["-o", "Debug::NoLocking=1", "-o"]);
        command.arg(format!("Dir::Cache::archives={}", archives.display()));
        run(command.args(packages).stdout(Stdio::null()))
    };
    if download().is_err() {
        // A list of packages that is missing or old.
        run(Command::new("apt-get").args(["--quiet", "update"]).stdout(Stdio::null()))?;
        download()?;
    }
    let root = make(debian_root())?;
    let entries = std::fs::read_dir(archives).map_err(Fault::system("reading the packages"))?;
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.extension().is_some_and(|extension| extension == "deb") {
            run(Command::new("dpkg").arg("-x").arg(path).arg(&root))?;
        }
    }
    Ok(())
}

fn debian_root() -> PathBuf {
    tools().join("debian")
}

/// A file of the distribution: where it is installed, or where it was unpacked.
pub(super) fn of_debian(places: &[&str], package: &str) -> std::result::Result<PathBuf, String> {
    let roots = [PathBuf::from("/"), debian_root()];
    let found =
        roots.iter().flat_map(|root| places.iter().map(|place| root.join(place))).find(|path| path.is_file());
    found.ok_or_else(|| format!("{package} is not here (cargo xtask bench peers)"))
}

/// For a program of the distribution: finds the libraries that were unpacked with it.
pub(super) fn with_libraries(command: &mut Command) {
    let entries = std::fs::read_dir(debian_root().join("usr/lib")).into_iter().flatten().flatten();
    let folders: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.to_string_lossy().ends_with("-linux-gnu"))
        .collect();
    if let Ok(list) = std::env::join_paths(folders)
        && !list.is_empty()
    {
        command.env("LD_LIBRARY_PATH", list);
    }
}

/// Makes sure of a folder.
pub(super) fn make(folder: PathBuf) -> Result<PathBuf> {
    std::fs::create_dir_all(&folder).map_err(Fault::system(format!("making {}", folder.display())))?;
    Ok(folder)
}

fn run(command: &mut Command) -> Result<()> {
    let name = Path::new(command.get_program()).display().to_string();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Fault::Machine(format!("{name} cannot be had: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
    Err(Fault::Machine(format!("{name} ended with {}: {last}", output.status)))
}
