//! The step `quic` of `cargo xtask test`: the real server and clients that share no code with it. aioquic, a QUIC in
//! Python, is pinned by hash and installed into `.tools`; quiche, as npm has it, is pinned by the lock file beside its
//! script. The tests are `server/tests/quic/independent.rs`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::process::{self, run_tests};
use crate::project::Project;
use crate::report::{Outcome, Verdict};
use crate::web;

/// What is installed, by version and hash.
const REQUIREMENTS: &str = "server/tests/quic/aioquic/requirements.txt";

/// Where npm installs quiche.
const QUICHE: &str = "server/tests/quic/quiche";

/// Those for which the wheels are pinned.
const PYTHONS: [&str; 4] = ["python3.13", "python3.12", "python3.11", "python3"];

/// The step of `cargo xtask test`.
pub(crate) fn independent(project: &Project, locked: &[&str]) -> Outcome {
    if cfg!(not(all(target_os = "linux", target_arch = "x86_64"))) {
        return Ok(Verdict::Skipped("aioquic is pinned for Linux on x86-64 only".to_owned()));
    }
    let Some(python) = find_python() else {
        return Ok(Verdict::Skipped(
            "aioquic needs CPython 3.11 to 3.13 with pip, and there is none".to_owned(),
        ));
    };
    let site = install(project, &python)?;
    web::prepare(project)?;
    let mut npm = project.command("npm");
    // Not `ci`: it wants builds for other systems in the lock file, which npm leaves out where they do not exist.
    npm.current_dir(project.root.join(QUICHE)).args([
        "install",
        "--no-save",
        "--ignore-scripts",
        "--omit=dev",
    ]);
    process::run(&mut npm)?;
    let mut cargo = project.cargo();
    cargo.args(["test", "-p", "ringwire", "--test", "quic"]).args(locked);
    cargo.args(["--", "--ignored", "independent"]).env("RINGWIRE_AIOQUIC", python).env("PYTHONPATH", site);
    run_tests(&mut cargo).map(Verdict::Ran)
}

/// The first interpreter that the wheels are for.
fn find_python() -> Option<PathBuf> {
    let script = "import sys, pip; sys.exit(0 if (3, 11) <= sys.version_info[:2] <= (3, 13) else 1)";
    let works = |python: &&str| {
        let asked =
            Command::new(python).args(["-c", script]).stdout(Stdio::null()).stderr(Stdio::null()).status();
        asked.is_ok_and(|status| status.success())
    };
    PYTHONS.into_iter().find(works).map(PathBuf::from)
}

/// The folder with what is pinned, for this interpreter.
fn install(project: &Project, python: &Path) -> Result<PathBuf, String> {
    let folder = project.tools.join("aioquic");
    let site = folder.join("site");
    let version = project.command(python).arg("--version").output();
    let version = version.map_err(|error| format!("asking {} what it is: {error}", python.display()))?;
    let wanted = project.read(REQUIREMENTS)? + &String::from_utf8_lossy(&version.stdout);
    // Written last, so that a half-finished installation is done again.
    let done = folder.join("installed.txt");
    if fs::read_to_string(&done).is_ok_and(|installed| installed == wanted) {
        return Ok(site);
    }
    println!("fetching aioquic from the Python package index into {}", folder.display());
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|error| format!("removing {}: {error}", folder.display()))?;
    }
    let mut pip = project.command(python);
    pip.args([
        "-m",
        "pip",
        "--quiet",
        "--disable-pip-version-check",
        "install",
        "--require-hashes",
        "--no-deps",
    ]);
    pip.args(["--only-binary", ":all:", "--target"]).arg(&site).args(["-r", REQUIREMENTS]);
    process::run(&mut pip)?;
    fs::write(&done, wanted).map_err(|error| format!("writing {}: {error}", done.display()))?;
    Ok(site)
}
