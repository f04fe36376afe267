//! Gates: instructions of hot loops, counted by callgrind, compared with what is on file.
//!
//! Counts are the same on every run and on a busy machine, so they may fail a build where times may not.
//! They depend on the compiler: a new one is a reason to look, and then to write a new baseline; until then
//! gates are skipped, in so many words. They must not depend on the processor: what chooses its code by the
//! processor's features at run time is kept to one choice (see `FEATURES`).

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
    /// By architecture.
    pub counts: BTreeMap<String, Counts>,
}

/// What is on file for an architecture.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// The compiler that built what was counted.
    pub compiler: String,
    /// Instructions of each gate.
    pub instructions: BTreeMap<String, u64>,
}

/// How the gates ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All are within the tolerance, or were written.
    Passed,
    /// Nothing can be compared here, for a reason that is not the code's fault.
    Skipped(String),
}

/// Tolerance of a new file, percent: the same source gives the same count to a fraction of a percent.
const TOLERANCE_PERCENT: f64 = 3.0;

/// Keeps the C library's memcpy and its like to the code that every x86-64 processor has. callgrind shows a
/// program the features of the machine it runs on, so these would be one count here and another there. What
/// else we count chooses nothing but CRC32C, by SSE 4.2, which every such machine has had since 2011.
const FEATURES: (&str, &str) = (
    "GLIBC_TUNABLES",
    "glibc.cpu.hwcaps=-AVX,-AVX2,-AVX2_Usable,-AVX_Fast_Unaligned_Load,-AVX512F,-AVX512VL,-ERMS,-FSRM,-SSSE3,-SSE4_1",
);

fn baseline_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("gates.toml")
}

/// What is on file; nothing where there is no file.
fn on_file(path: &Path) -> Result<Baseline> {
    match std::fs::read_to_string(path) {
        Ok(text) => {
            toml::from_str(&text).map_err(|error| Fault::Usage(format!("{}: {error}", path.display())))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Ok(Baseline { tolerance_percent: TOLERANCE_PERCENT, counts: BTreeMap::new() })
        }
        Err(error) => Err(Fault::system(format!("reading {}", path.display()))(error)),
    }
}

/// Counts every gate and compares; with `writes`, puts the counts on file instead.
///
/// # Errors
/// A gate is above its baseline, or cannot be counted.
pub fn run(writes: bool) -> Result<Verdict> {
    if Command::new("valgrind").arg("--version").stdout(Stdio::null()).status().is_err() {
        return Ok(Verdict::Skipped("valgrind is not installed (apt-get install valgrind)".to_owned()));
    }
    let path = baseline_path();
    let mut baseline = on_file(&path)?;
    let (architecture, compiler) = (std::env::consts::ARCH, compiler());
    match baseline.counts.get(architecture) {
        _ if writes => {}
        Some(counts) if counts.compiler == compiler => {}
        known => {
            let of = known.map_or("none".to_owned(), |counts| counts.compiler.clone());
            return Ok(Verdict::Skipped(format!(
                "counts on file for {architecture} are of {of}, this is {compiler} (cargo xtask bench gates --write)"
            )));
        }
    }
    let counted = count_all(&build()?, baseline.counts.get(architecture))?;
    if writes {
        baseline.counts.insert(architecture.to_owned(), Counts { compiler, instructions: counted });
        let text = toml::to_string(&baseline).map_err(|error| Fault::Usage(error.to_string()))?;
        let head = "# Instruction counts of `cargo xtask bench gates`; written by `… gates --write`.\n";
        std::fs::write(&path, format!("{head}{text}"))
            .map_err(Fault::system(format!("writing {}", path.display())))?;
        println!("{}", path.display());
        return Ok(Verdict::Passed);
    }
    let known = baseline.counts.remove(architecture).unwrap_or_default();
    compare(&known.instructions, &counted, baseline.tolerance_percent).map(|()| Verdict::Passed)
}

/// How much more than on file, percent.
fn change(known: &BTreeMap<String, u64>, name: &str, count: u64) -> Option<f64> {
    known.get(name).map(|known| (count as f64 / *known as f64 - 1.0) * 100.0)
}

/// Counts and shows every gate.
fn count_all(program: &Path, known: Option<&Counts>) -> Result<BTreeMap<String, u64>> {
    println!("{:18} {:>14} {:>12} {:>8}  one is", "gate", "instructions", "each", "change");
    let mut counted = BTreeMap::new();
    for (name, about, repetitions) in GATES {
        let count = count(program, name)?;
        let change = known.and_then(|known| change(&known.instructions, name, count));
        println!(
            "{name:18} {count:>14} {:>12.1} {:>8}  {about}",
            count as f64 / repetitions as f64,
            change.map_or_else(|| "new".to_owned(), |change| format!("{change:+.1} %")),
        );
        counted.insert(name.to_owned(), count);
    }
    Ok(counted)
}

/// Fails where a gate is above the tolerance, or one of the two does not know it.
fn compare(
    known: &BTreeMap<String, u64>,
    counted: &BTreeMap<String, u64>,
    tolerance_percent: f64,
) -> Result<()> {
    let mut above = Vec::new();
    for (name, count) in counted {
        match change(known, name, *count) {
            Some(change) if change > tolerance_percent => above.push(format!("{name} {change:+.1} %")),
            Some(change) if change < -tolerance_percent => {
                println!("{name} is {:.1} % below what is on file: keep that with --write", -change);
            }
            Some(_) => {}
            None => above.push(format!("{name} is not on file")),
        }
    }
    let gone = known.keys().filter(|name| !counted.contains_key(*name));
    above.extend(gone.map(|name| format!("{name} is on file and there is no such gate")));
    if above.is_empty() {
        return Ok(());
    }
    Err(Fault::Server(format!(
        "instructions above what is on file (tolerance {tolerance_percent} %): {}; make it cheaper, or say in the \
         commit why it has to cost that and put it on file with `cargo xtask bench gates --write`",
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
        .env(FEATURES.0, FEATURES.1)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(of: &[(&str, u64)]) -> BTreeMap<String, u64> {
        of.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    #[test]
    fn a_gate_fails_above_its_tolerance_and_not_below() {
        let known = counts(&[("a", 1_000), ("b", 1_000)]);
        let check = |of: &[(&str, u64)]| compare(&known, &counts(of), 3.0).map_err(|error| error.to_string());
        assert!(check(&[("a", 1_029), ("b", 500)]).is_ok());
        let error = check(&[("a", 1_040), ("b", 1_000)]).expect_err("4 % more");
        assert!(error.contains("a +4.0 %") && !error.contains("b +"), "{error}");
        assert!(check(&[("a", 1_000), ("b", 1_000), ("c", 1)]).is_err(), "one is new");
        assert!(check(&[("a", 1_000)]).is_err(), "one is gone");
    }

    #[test]
    fn every_gate_is_on_file() {
        let baseline = on_file(&baseline_path()).expect("it can be read");
        for (architecture, counts) in &baseline.counts {
            let names: Vec<&str> = counts.instructions.keys().map(String::as_str).collect();
            let mut expected: Vec<&str> = GATES.iter().map(|(name, ..)| *name).collect();
            expected.sort_unstable();
            assert_eq!(names, expected, "{architecture}");
        }
        assert!(baseline.counts.contains_key("x86_64"), "what continuous integration runs on");
    }
}
