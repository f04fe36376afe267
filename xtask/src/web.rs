//! The steps of `cargo xtask test` about the client for browsers and the chat app: `web` checks and tests the sources
//! with node alone, `browser` drives Chromium against the real server.
//!
//! Chromium comes from the distribution where it is missing; what npm fetches is pinned by `client-web/package-lock.json`
//! and stays in `client-web/node_modules`.

use std::path::PathBuf;
use std::process::Command;

use crate::process::{self, run_tests};
use crate::project::Project;
use crate::report::{Outcome, Verdict};

/// The oldest node that has what the tests use.
const NODE_MAJOR_MIN: u32 = 20;

/// Types, the built app against its sources, the library's size, unit tests.
pub(crate) fn sources(project: &Project) -> Outcome {
    if let Err(why) = prepare(project) {
        return Ok(Verdict::Skipped(why));
    }
    process::run(npm(project).args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]))?;
    process::run(npm(project).args(["run", "--silent", "check"]))?;
    run_tests(npm(project).args(["run", "--silent", "test"])).map(Verdict::Ran)
}

/// The scenarios that every client goes through, with the client for browsers and the real server.
pub(crate) fn conformance(project: &Project, locked: &[&str]) -> Outcome {
    if let Err(why) = prepare(project) {
        return Ok(Verdict::Skipped(why));
    }
    install(project, "esbuild")?;
    let server = server(project, locked)?;
    let mut scenarios = npm(project);
    run_tests(scenarios.args(["run", "--silent", "conformance"]).env("RINGWIRE", server)).map(Verdict::Ran)
}

/// People in browsers.
pub(crate) fn browser(project: &Project, locked: &[&str]) -> Outcome {
    if let Err(why) = prepare(project) {
        return Ok(Verdict::Skipped(why));
    }
    let chromium = match chromium(project) {
        Ok(chromium) => chromium,
        Err(why) => return Ok(Verdict::Skipped(why)),
    };
    install(project, "playwright-core")?;
    let server = server(project, locked)?;
    let mut scenarios = npm(project);
    scenarios.args(["run", "--silent", "browser"]).env("CHROMIUM", chromium);
    // Kept to be looked at.
    scenarios.env("SCREENSHOTS", project.target.join("screenshots"));
    run_tests(scenarios.env("RINGWIRE", server)).map(Verdict::Ran)
}

/// What npm brings, where the step that brings it did not run.
fn install(project: &Project, package: &str) -> Result<(), String> {
    if project.root.join("client-web/node_modules").join(package).exists() {
        return Ok(());
    }
    process::run(npm(project).args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]))
}

/// Builds the server and says where it is.
fn server(project: &Project, locked: &[&str]) -> Result<PathBuf, String> {
    process::run(project.cargo().args(["build", "--package", "ringwire"]).args(locked))?;
    Ok(project.target.join("debug/ringwire"))
}

fn npm(project: &Project) -> Command {
    let mut npm = project.command("npm");
    npm.current_dir(project.root.join("client-web"));
    npm
}

/// Makes sure of node.
pub(crate) fn prepare(project: &Project) -> Result<(), String> {
    let wanted = format!("node {NODE_MAJOR_MIN} or newer, with npm");
    let output = project.command("node").arg("--version").output();
    let text = output.map_err(|_| format!("{wanted}, is not installed"))?.stdout;
    let text = String::from_utf8_lossy(&text);
    let major = text.trim().trim_start_matches('v').split('.').next().and_then(|major| major.parse().ok());
    if major.is_none_or(|major: u32| major < NODE_MAJOR_MIN) {
        return Err(format!("{wanted}, is needed; this is {}", text.trim()));
    }
    npm(project).arg("--version").output().map_err(|_| format!("{wanted}: npm is not installed"))?;
    Ok(())
}

/// The browser: the one that is named, or the distribution's, which is installed where it is missing.
fn chromium(project: &Project) -> Result<PathBuf, String> {
    if let Some(named) = std::env::var_os("CHROMIUM") {
        return Ok(named.into());
    }
    let path = PathBuf::from("/usr/bin/chromium");
    if !path.exists() {
        process::install(project, "chromium")?;
    }
    if path.exists() { Ok(path) } else { Err("chromium was installed and is not found".to_owned()) }
}
