//! Gates: instructions of hot loops, counted by callgrind, compared with what is on file.
//!
//! Counts are the same on every run and on a busy machine, so they may fail a build where times may not.
//! They depend on the compiler: a new one is a reason to look, and then to write a new baseline.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use crate::fault::{Fault, Result};
use crate::system::server::workspace;

/// Gates, what one repetition is, and how many there are in a count.
pub const GATES: [(&str, &str, u64); 10] = [
    ("decode-publish", "verify and read a Publish of 64 B", 1_000),
    ("encode-message", "encode a Message of 64 B", 1_000),
    ("verify-message", "verify and read a Message of 64 B", 1_000),
    ("mask-64", "unmask 64 B", 1_000),
    ("mask-4096", "unmask 4 KiB", 1_000),
    ("websocket-decode", "take a masked Publish out of a WebSocket frame", 1_000),
    ("ring-hop", "one letter of 64 B through a ring, 16 to a flush", 16_000),
    ("fanout-1000", "one delivery of one message to 1,000 connections", 1_000),
    ("fanout-1000-w16", "one delivery of 16 messages to 1,000 connections", 16_000),
    ("journal-append", "one record of 256 B in a batch of 128", 128),
];

/// What is on file.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// How much more than on file is let through, percent.
    pub tolerance_percent: f64,
    /// The compiler of the counts.
    pub compiler: String,
    /// Instructions of each gate.
    pub instructions: BTreeMap<String, u64>,
}

fn baseline_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("gates.toml")
}

/// Counts every gate and compares; with `writes`, puts the counts on file instead.
///
/// # Errors
/// A gate is above its baseline, or cannot be counted.
pub fn run(writes: bool) -> Result<()> {
    if Command::new("valgrind").arg("--version").stdout(Stdio::null()).status().is_err() {
        return Err(Fault::Machine("valgrind is not installed (apt-get install valgrind)".to_owned()));
    }
    let program = build()?;
    let path = baseline_path();
    let on_file = std::fs::read_to_string(&path).ok();
    let mut baseline = match on_file {
        Some(text) => {
            toml::from_str(&text).map_err(|error| Fault::Usage(format!("{}: {error}", path.display())))?
        }
        None if writes => {
            Baseline { tolerance_percent: 3.0, compiler: String::new(), instructions: BTreeMap::new() }
        }
        None => return Err(Fault::Usage(format!("there is no {}: write one with --write", path.display()))),
    };
    let compiler = compiler();
    if !writes && compiler != baseline.compiler {
        println!("note: counts on file are of {}, this is {compiler}", baseline.compiler);
    }
    println!("{:18} {:>14} {:>12} {:>8}  one is", "gate", "instructions", "each", "change");
    let mut above = Vec::new();
    for (name, about, repetitions) in GATES {
        let count = count(&program, name)?;
        let change =
            baseline.instructions.get(name).map(|known| (count as f64 / *known as f64 - 1.0) * 100.0);
        println!(
            "{name:18} {count:>14} {:>12.1} {:>8}  {about}",
            count as f64 / repetitions as f64,
            change.map_or_else(|| "new".to_owned(), |change| format!("{change:+.1} %")),
        );
        match change {
            _ if writes => drop(baseline.instructions.insert(name.to_owned(), count)),
            Some(change) if change <= baseline.tolerance_percent => {}
            Some(change) => above.push(format!("{name} {change:+.1} %")),
            None => above.push(format!("{name} is not on file")),
        }
    }
    if writes {
        baseline.compiler = compiler;
        let text = toml::to_string(&baseline).map_err(|error| Fault::Usage(error.to_string()))?;
        let head = "# Instruction counts of `cargo xtask bench gates`; written by `… gates --write`.\n";
        std::fs::write(&path, format!("{head}{text}"))
            .map_err(Fault::system(format!("writing {}", path.display())))?;
        println!("{}", path.display());
        return Ok(());
    }
    if above.is_empty() {
        return Ok(());
    }
    Err(Fault::Server(format!(
        "above the baseline (tolerance {} %): {}",
        baseline.tolerance_percent,
        above.join(", ")
    )))
}

fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace());
    command
}

/// Builds the example that holds the loops; where it is.
fn build() -> Result<PathBuf> {
    let own = std::env::current_exe().map_err(Fault::system("finding this program"))?;
    let target = own.parent().and_then(Path::parent).unwrap_or(Path::new("target"));
    let status = cargo()
        .args(["build", "--release", "-p", "ringwire-perf", "--example", "gate", "--target-dir"])
        .arg(target)
        .status()
        .map_err(Fault::system("starting cargo"))?;
    let program = target.join("release/examples/gate");
    if status.success() && program.is_file() {
        Ok(program)
    } else {
        Err(Fault::Machine("the example \"gate\" does not build".to_owned()))
    }
}

fn compiler() -> String {
    let output = Command::new("rustc").arg("--version").output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

/// Instructions inside the example's `measured`.
fn count(program: &Path, name: &str) -> Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=gate::measured*"])
        .arg(program)
        .arg(name)
        .output()
        .map_err(Fault::system("starting valgrind"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    let collected =
        text.lines().find_map(|line| line.split("Collected :").nth(1)?.trim().parse::<u64>().ok());
    match collected {
        Some(count) if count > 0 && output.status.success() => Ok(count),
        _ => Err(Fault::Machine(format!("{name} was not counted ({}):\n{text}", output.status))),
    }
}
