//! Running programs, and reading from their output how many tests there were.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use crate::project::Project;

/// How many tests passed and failed, and which failed.
#[derive(Default, Debug, PartialEq, Eq)]
pub(crate) struct Tests {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    /// Names of the failed ones, as far as the output says.
    pub(crate) failures: Vec<String>,
}

impl Tests {
    /// One thing that went well.
    pub(crate) fn one() -> Self {
        Self { passed: 1, ..Self::default() }
    }

    /// Reads one line of libtest's output.
    pub(crate) fn read(&mut self, line: &str) {
        if let Some(result) = line.trim().strip_prefix("test result: ") {
            self.passed += number_before(result, "passed");
            self.failed += number_before(result, "failed");
        } else if let Some(name) =
            line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED"))
        {
            self.failures.push(name.to_owned());
        }
    }

    /// For verbs that run one thing only.
    pub(crate) fn into_result(self) -> Result<(), String> {
        if self.failed == 0 { Ok(()) } else { Err(self.describe_failures()) }
    }

    pub(crate) fn describe_failures(&self) -> String {
        match self.failures.as_slice() {
            [] => "see the output above".to_owned(),
            names => names.join(", "),
        }
    }
}

/// The number in front of a word: `3` of "ok. 3 passed; 0 failed", 0 if there is none.
fn number_before(text: &str, word: &str) -> u64 {
    let words: Vec<_> = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let pair = words.windows(2).find(|pair| pair[1] == word);
    pair.and_then(|pair| pair[0].parse().ok()).unwrap_or(0)
}

/// Runs a program; its output goes where ours goes.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    flush();
    let status = command.status().map_err(|error| format!("starting {}: {error}", shown(command)))?;
    if status.success() { Ok(()) } else { Err(format!("{} ended with {status}", shown(command))) }
}

/// Runs `cargo test`, passes its output on and counts. A run that fails without a failed test (it did not
/// build, or a test brought the process down) counts as one failure, and so does one without any test.
pub(crate) fn run_tests(command: &mut Command) -> Result<Tests, String> {
    flush();
    command.stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("starting {}: {error}", shown(command)))?;
    let output = child.stdout.take().ok_or("the output was asked for and is not there")?;
    let mut tests = Tests::default();
    let mut line = Vec::new();
    let mut output = BufReader::new(output);
    while output.read_until(b'\n', &mut line).map_err(|error| format!("reading test output: {error}"))? > 0 {
        let text = String::from_utf8_lossy(&line);
        print!("{text}");
        tests.read(text.trim_end());
        line.clear();
    }
    let status = child.wait().map_err(|error| format!("waiting for {}: {error}", shown(command)))?;
    if !status.success() && tests.failed == 0 {
        tests.failed = 1;
        tests.failures.push(format!("{} ended with {status} without a verdict", shown(command)));
    } else if tests.passed + tests.failed == 0 {
        tests.failed = 1;
        tests.failures.push("no test ran".to_owned());
    }
    Ok(tests)
}

/// Installs a package of the distribution, and says so first.
///
/// # Errors
/// It cannot be installed here: a reason to skip what needs it.
pub(crate) fn install(project: &Project, package: &str) -> Result<(), String> {
    println!("installing {package} from the distribution (apt-get install {package})");
    let mut update = project.command("apt-get");
    update.args(["-q", "update"]);
    let mut install = project.command("apt-get");
    install.args(["-q", "install", "--yes", "--no-install-recommends", package]);
    install.env("DEBIAN_FRONTEND", "noninteractive");
    run(&mut update)
        .and_then(|()| run(&mut install))
        .map_err(|why| format!("{package} is not installed and cannot be: {why}"))
}

/// So that our lines and the children's come out in the order they were written.
pub(crate) fn flush() {
    // If standard output is gone there is nobody to tell.
    drop(std::io::stdout().flush());
}

/// A command as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let mut text = program.to_string_lossy().into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up_over_test_binaries() {
        let mut tests = Tests::default();
        for line in [
            "running 3 tests",
            "test ring::order ... ok",
            "test ring::bound ... FAILED",
            "test result: FAILED. 2 passed; 1 failed; 4 ignored; 0 measured; 7 filtered out; finished in 0.11s",
            "test result: ok. 18 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.11s",
            "the passed 99 things",
        ] {
            tests.read(line);
        }
        assert_eq!(tests, Tests { passed: 20, failed: 1, failures: vec!["ring::bound".to_owned()] });
    }

    #[test]
    fn a_run_without_a_verdict_is_a_failure() {
        let check = |script: &str| run_tests(Command::new("sh").args(["-c", script])).unwrap();
        assert_eq!(check("exit 101").failed, 1);
        assert_eq!(check("true").failed, 1, "no test ran");
        assert_eq!(check("echo 'test result: ok. 2 passed; 0 failed;'").failed, 0);
        let aborted = check("echo 'test result: ok. 2 passed; 0 failed;'; exit 134");
        assert_eq!((aborted.passed, aborted.failed), (2, 1));
    }

    #[test]
    fn a_failed_command_is_named() {
        let error = run(Command::new("sh").args(["-c", "exit 3"])).unwrap_err();
        assert!(error.contains("sh -c exit 3") && error.contains('3'), "{error}");
    }
}
