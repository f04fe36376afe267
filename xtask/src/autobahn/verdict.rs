//! Reading the suite's report.
//!
//! Each case has two verdicts, one on its behaviour and one on how the connection was closed. `OK` is what
//! RFC 6455 asks; `NON-STRICT` is allowed by it although another order would be nicer; `INFORMATIONAL` has
//! no right answer. Everything else is a failure, `UNIMPLEMENTED` included: what we do not implement is
//! left out by name.

use std::path::Path;

use serde_json::Value;

use crate::process::Tests;

const ACCEPTED: [&str; 3] = ["OK", "NON-STRICT", "INFORMATIONAL"];

/// The verdicts of one run.
#[derive(Default, Debug)]
pub(super) struct Results {
    ok: u64,
    non_strict: u64,
    informational: u64,
    /// Case and verdict.
    failed: Vec<String>,
}

impl Results {
    /// Reads `index.json`.
    pub(super) fn read(path: &Path, agent: &str) -> Result<Self, String> {
        let text =
            std::fs::read_to_string(path).map_err(|error| format!("reading {}: {error}", path.display()))?;
        Self::parse(&text, agent).map_err(|error| format!("{}: {error}", path.display()))
    }

    fn parse(text: &str, agent: &str) -> Result<Self, String> {
        let report: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let cases = report.get(agent).and_then(Value::as_object);
        let cases = cases.ok_or_else(|| format!("it has nothing about \"{agent}\""))?;
        let mut results = Self::default();
        for (case, verdicts) in cases {
            let word = |name: &str| verdicts.get(name).and_then(Value::as_str).unwrap_or("missing");
            let (behavior, close) = (word("behavior"), word("behaviorClose"));
            if !ACCEPTED.contains(&behavior) || !ACCEPTED.contains(&close) {
                results.failed.push(format!("{case} ({behavior}, close {close})"));
            } else if behavior == "OK" {
                results.ok += 1;
            } else if behavior == "NON-STRICT" {
                results.non_strict += 1;
            } else {
                results.informational += 1;
            }
        }
        results.failed.sort();
        Ok(results)
    }

    fn count(&self) -> usize {
        usize::try_from(self.ok + self.non_strict + self.informational).unwrap_or(usize::MAX)
            + self.failed.len()
    }

    /// The figures, in a line.
    pub(super) fn summary(&self) -> String {
        format!(
            "{} cases: {} OK, {} NON-STRICT, {} INFORMATIONAL, {} failed",
            self.count(),
            self.ok,
            self.non_strict,
            self.informational,
            self.failed.len()
        )
    }

    /// Passed and failed; a case that was not run is a failure.
    pub(super) fn judge(self, expected: usize, folder: &Path) -> Tests {
        let count = self.count();
        let mut failures = self.failed;
        if count != expected {
            failures.push(format!("{count} cases were run instead of {expected}"));
        }
        if !failures.is_empty() {
            println!("the report is {}", folder.join("index.html").display());
        }
        Tests {
            passed: self.ok + self.non_strict + self.informational,
            failed: failures.len() as u64,
            failures,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(report: &str, expected: usize) -> Tests {
        Results::parse(report, "ringwire-epoll").unwrap().judge(expected, Path::new("."))
    }

    #[test]
    fn both_verdicts_count() {
        let tests = check(
            r#"{"ringwire-epoll": {
                "1.1.1": {"behavior": "OK", "behaviorClose": "OK"},
                "6.4.1": {"behavior": "NON-STRICT", "behaviorClose": "OK"},
                "7.1.6": {"behavior": "INFORMATIONAL", "behaviorClose": "INFORMATIONAL"},
                "7.5.1": {"behavior": "OK", "behaviorClose": "WRONG CODE"},
                "9.1.1": {"behavior": "UNIMPLEMENTED", "behaviorClose": "OK"},
                "9.1.2": {}
            }}"#,
            6,
        );
        assert_eq!((tests.passed, tests.failed), (3, 3));
        assert_eq!(tests.failures[0], "7.5.1 (OK, close WRONG CODE)");
    }

    #[test]
    fn a_case_that_was_not_run_is_a_failure() {
        let report = r#"{"ringwire-epoll": {"1.1.1": {"behavior": "OK", "behaviorClose": "OK"}}}"#;
        assert_eq!(check(report, 1).failed, 0);
        assert_eq!(check(report, 2).failed, 1);
        assert!(Results::parse(report, "ringwire-uring").is_err());
    }
}
