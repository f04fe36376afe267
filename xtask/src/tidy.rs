//! `cargo xtask tidy`: what the compiler does not check, as a list of checks.
//!
//! Each finding says what to do instead. A check that has to make an exception does so by name and with a
//! reason, and an exception that is no longer needed is itself a finding: things only get better.

mod dependencies;
mod documents;
mod source;
mod sources;
#[cfg(test)]
mod tests;
mod text;
mod tree;

use std::fmt;

use crate::process::Tests;
use crate::project::Project;
use tree::Tree;

/// Something to be mended.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    path: String,
    /// From 1; 0 where the whole file is meant.
    line: usize,
    /// What is wrong, and what to do instead.
    what: String,
}

impl Finding {
    fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.what),
            line => write!(f, "{}:{line}: {}", self.path, self.what),
        }
    }
}

type Check = (&'static str, fn(&Tree) -> Vec<Finding>);

const CHECKS: &[Check] = &[
    ("files are short", sources::length),
    ("unsafe stays in its folders", sources::unsafe_code),
    ("crates without unsafe forbid it", sources::forbid_unsafe),
    ("names say something", sources::names),
    ("modules say what they are", sources::module_docs),
    ("TypeScript parses no markup and hides no type", sources::typescript),
    ("nothing is left unfinished", text::unfinished),
    ("no test is switched off in silence", sources::ignored_tests),
    ("text is plain", text::characters),
    ("nothing points at somebody's machine", text::machine_paths),
    ("links lead somewhere", text::links),
    ("every dependency has a reason", dependencies::reasons),
    ("every package says its licence", dependencies::licences),
    ("every dependency is used", dependencies::used),
    ("dependencies are declared once", dependencies::declared_once),
    ("ARCHITECTURE.md names what exists", documents::architecture),
    ("decision records are numbered, complete and listed", documents::decisions),
];

/// Runs all checks; each counts as one test.
pub(crate) fn run(project: &Project) -> Result<Tests, String> {
    let tree = Tree::read(project)?;
    let mut tests = Tests::default();
    let mut findings = 0;
    for (name, check) in CHECKS {
        let found = check(&tree);
        for finding in &found {
            println!("{finding}");
        }
        if found.is_empty() {
            tests.passed += 1;
        } else {
            tests.failed += 1;
            tests.failures.push(format!("{name} ({})", found.len()));
        }
        findings += found.len();
    }
    println!("tidy: {} files, {} checks, {findings} findings", tree.files.len(), CHECKS.len());
    Ok(tests)
}
