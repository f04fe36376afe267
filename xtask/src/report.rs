//! A run of many steps: a header for each, and one table at the end.

use std::time::{Duration, Instant};

use crate::process::{Tests, flush};

/// How a step ended.
pub(crate) enum Verdict {
    /// It ran; what it counted decides.
    Ran(Tests),
    /// It could not run here, for a reason that is not the project's fault.
    Skipped(String),
}

/// What a step returns; the error is a failure that has nothing to count.
pub(crate) type Outcome = Result<Verdict, String>;

struct Row {
    name: &'static str,
    took: Duration,
    outcome: Outcome,
}

/// The steps so far.
#[derive(Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
}

impl Report {
    /// Runs a step; a failure does not keep the next one from running.
    pub(crate) fn step(&mut self, name: &'static str, about: &str, run: impl FnOnce() -> Outcome) {
        println!("\n==> {name}: {about}");
        flush();
        let started = Instant::now();
        let outcome = run();
        let row = Row { name, took: started.elapsed(), outcome };
        println!("<== {}", row.line());
        self.rows.push(row);
    }

    /// Prints the table and, alone on the last line, the sums.
    pub(crate) fn finish(self) -> Result<(), String> {
        println!("\nSummary");
        for row in &self.rows {
            println!("  {}", row.line());
        }
        let total: Duration = self.rows.iter().map(|row| row.took).sum();
        println!("  total {:.1} s", total.as_secs_f64());
        let (passed, failed) = self.sums();
        println!("\n{passed} passed, {failed} failed");
        let names: Vec<_> = self.rows.iter().filter(|row| row.failed() > 0).map(|row| row.name).collect();
        if names.is_empty() { Ok(()) } else { Err(format!("failed: {}", names.join(", "))) }
    }

    fn sums(&self) -> (u64, u64) {
        let passed = self.rows.iter().map(Row::passed).sum();
        let failed = self.rows.iter().map(Row::failed).sum();
        (passed, failed)
    }
}

impl Row {
    fn passed(&self) -> u64 {
        match &self.outcome {
            Ok(Verdict::Ran(tests)) => tests.passed,
            Ok(Verdict::Skipped(_)) | Err(_) => 0,
        }
    }

    fn failed(&self) -> u64 {
        match &self.outcome {
            Ok(Verdict::Ran(tests)) => tests.failed,
            Ok(Verdict::Skipped(_)) => 0,
            Err(_) => 1,
        }
    }

    fn line(&self) -> String {
        let (word, detail) = match &self.outcome {
            Ok(Verdict::Ran(tests)) if tests.failed == 0 => ("passed", count(tests.passed)),
            Ok(Verdict::Ran(tests)) => {
                let failures = tests.describe_failures();
                ("FAILED", format!("{} of {}: {failures}", tests.failed, tests.passed + tests.failed))
            }
            Ok(Verdict::Skipped(why)) => ("SKIPPED", why.clone()),
            Err(why) => ("FAILED", why.clone()),
        };
        format!("{:<16} {word:<7} {:>7.1} s  {detail}", self.name, self.took.as_secs_f64())
    }
}

fn count(passed: u64) -> String {
    if passed == 1 { String::new() } else { format!("{passed} tests") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_of_tests_and_of_steps_without_tests() {
        let mut report = Report::default();
        report.step("a", "counts", || Ok(Verdict::Ran(Tests { passed: 7, failed: 2, failures: Vec::new() })));
        report.step("b", "is one", || Ok(Verdict::Ran(Tests::one())));
        report.step("c", "cannot", || Ok(Verdict::Skipped("not here".to_owned())));
        report.step("d", "breaks", || Err("broken".to_owned()));
        assert_eq!(report.sums(), (8, 3));
        let error = report.finish().unwrap_err();
        assert_eq!(error, "failed: a, d");
    }
}
