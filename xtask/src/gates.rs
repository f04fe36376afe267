//! The step of `cargo xtask test` that counts instructions: `cargo xtask bench gates` under callgrind.
//!
//! The loops are built as people run them (the release profile); what counts and compares them is the dev
//! build that the tests have made already.

use crate::process::{self, Tests};
use crate::project::Project;
use crate::report::{Outcome, Verdict};

/// Runs the gates; skipped where valgrind cannot be had, or where what is on file is of another compiler.
pub(crate) fn run(project: &Project, locked: &[&str]) -> Outcome {
    if let Err(why) = install(project) {
        return Ok(Verdict::Skipped(why));
    }
    let mut cargo = project.cargo();
    cargo.args(["run", "--quiet", "-p", "ringwire-perf"]).args(locked).args(["--", "gates"]);
    process::flush();
    let output = cargo
        .stderr(std::process::Stdio::inherit())
        .output()
        .map_err(|error| format!("starting {}: {error}", process::shown(&cargo)))?;
    let text = String::from_utf8_lossy(&output.stdout);
    print!("{text}");
    if !output.status.success() {
        return Err(
            "a loop takes more instructions than is on file, or was not counted: see above".to_owned()
        );
    }
    match text.lines().find_map(|line| line.strip_prefix("skipped: ")) {
        Some(why) => Ok(Verdict::Skipped(why.to_owned())),
        None => Ok(Verdict::Ran(Tests::one())),
    }
}

/// Makes sure of valgrind, from the distribution where it is missing.
fn install(project: &Project) -> Result<(), String> {
    let is_there = || project.command("valgrind").arg("--version").output().is_ok();
    if is_there() {
        return Ok(());
    }
    process::install(project, "valgrind")?;
    if is_there() { Ok(()) } else { Err("valgrind was installed and is not found".to_owned()) }
}
