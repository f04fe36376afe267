//! What makes a measurement worthless ends it with a message and a failure, and leaves no report behind.
//!
//! All of them run the real program against the bare loop, so that no server has to be built for them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]
#![allow(clippy::disallowed_methods, reason = "a test has processes, files and clocks of its own")]

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_ringwire-perf");

/// A room of ten; a window of so many seconds.
fn scenario(window_s: f64, more: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("small.toml");
    let text = format!(
        "about = \"small\"\nkind = \"fanout\"\nsubscribers = 10\nwindow = 1\nwarm_up_s = 0.0\n\
         window_s = {window_s:?}\n{more}\n"
    );
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

fn run(path: &std::path::Path) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(["run", "--driver", "none", "--rounds", "1", "--dry"]).arg(path);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// It failed, said this on standard error, and printed no table.
fn check_refused(output: &Output, says: &[&str]) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    for part in says {
        assert!(error.contains(part), "\"{part}\" is not in: {error}");
    }
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(!shown.contains("| who |"), "a figure was printed all the same: {shown}");
}

/// Two processors are what every measurement needs.
fn is_measurable() -> bool {
    let enough = std::thread::available_parallelism().is_ok_and(|count| count.get() >= 2);
    if !enough {
        println!("not tested: there is only one processor");
    }
    enough
}

#[test]
fn a_sound_scenario_gives_a_table() {
    if !is_measurable() {
        return;
    }
    let (_folder, path) = scenario(0.2, "");
    let output = run(&path).arg("--allow-saturated").output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(shown.contains("| who |") && shown.contains("| bare send |"), "{shown}");
}

#[test]
fn an_unknown_key_is_refused() {
    let (_folder, path) = scenario(0.2, "subscriber = 10");
    check_refused(&run(&path).output().unwrap(), &["small.toml", "unknown field `subscriber`"]);
}

#[test]
fn an_unknown_scenario_is_refused_with_those_there_are() {
    check_refused(&run("fanout-7".as_ref()).output().unwrap(), &["fanout-7", "fanout-1000"]);
}

#[test]
fn too_few_descriptors_are_refused_before_anything_runs() {
    let (_folder, path) = scenario(0.2, "");
    let large = std::fs::read_to_string(&path).unwrap().replace("subscribers = 10", "subscribers = 2000");
    std::fs::write(&path, large).unwrap();
    let command = run(&path);
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -n 256 && exec \"$@\"", "sh", PROGRAM]).args(command.get_args());
    let began = Instant::now();
    check_refused(&limited.output().unwrap(), &["2065 descriptors are needed", "256", "ulimit"]);
    assert!(began.elapsed() < Duration::from_secs(10), "it was tried all the same");
}

#[test]
fn a_saturated_generator_is_refused() {
    if !is_measurable() {
        return;
    }
    let (_folder, path) = scenario(0.2, "");
    // Whatever it does takes more than nothing.
    let output = run(&path).args(["--busy-max", "0"]).output().unwrap();
    check_refused(&output, &["bare send: the load generator was busy", "more than 0 %", "--allow-saturated"]);
}

#[test]
fn a_saturated_generator_is_marked_where_that_is_asked_for() {
    if !is_measurable() {
        return;
    }
    let (_folder, path) = scenario(0.2, "");
    let output = run(&path).args(["--busy-max", "0", "--allow-saturated"]).output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && shown.contains("SATURATED: lower bounds"), "{shown}");
}

#[test]
fn a_server_that_dies_during_a_run_is_named() {
    if !is_measurable() {
        return;
    }
    let (_folder, path) = scenario(60.0, "");
    let mut run = Killed(run(&path).spawn().unwrap());
    let server = child_of(run.0.id());
    // Long enough for the connections, short of the window's end by far.
    std::thread::sleep(Duration::from_millis(700));
    let killed = Command::new("kill").args(["-KILL", &server.to_string()]).status().unwrap();
    assert!(killed.success());
    let began = Instant::now();
    while run.0.try_wait().unwrap().is_none() {
        assert!(began.elapsed() < Duration::from_secs(30), "the run goes on without its server");
        std::thread::sleep(Duration::from_millis(20));
    }
    let (mut error, mut shown) = (String::new(), String::new());
    std::io::Read::read_to_string(&mut run.0.stderr.take().unwrap(), &mut error).unwrap();
    std::io::Read::read_to_string(&mut run.0.stdout.take().unwrap(), &mut shown).unwrap();
    let output = Output { status: run.0.wait().unwrap(), stdout: shown.into(), stderr: error.into() };
    check_refused(&output, &["the bare loop ended during the run", "signal: 9"]);
}

/// Does not outlive a test that fails.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It has ended in every test that passes.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The first child of a process, as soon as it has one.
fn child_of(pid: u32) -> u32 {
    let began = Instant::now();
    loop {
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        if let Some(child) = children.split_ascii_whitespace().next() {
            return child.parse().unwrap();
        }
        assert!(began.elapsed() < Duration::from_secs(30), "no server was started");
        std::thread::sleep(Duration::from_millis(5));
    }
}
