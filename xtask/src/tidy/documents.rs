//! Checks on the documents that make claims about the tree.

use super::Finding;
use super::tree::{File, Tree};

const DECISIONS: &str = "docs/decisions/";

/// What every decision record answers.
const SECTIONS: [&str; 5] =
    ["## Question", "## Decision", "## Reason", "## Refused", "## What would change our mind"];

pub(super) fn architecture(tree: &Tree) -> Vec<Finding> {
    let path = "ARCHITECTURE.md";
    let Some(file) = tree.file(path) else {
        return vec![Finding::new(path, 0, "is missing: the map of the code stands there")];
    };
    let mut findings = Vec::new();
    for (number, line) in file.lines() {
        // Between backticks, with a slash and nothing but a path's characters: `driver/src/epoll/`.
        for word in line.split('`').skip(1).step_by(2).filter(|word| is_path(word)) {
            if !tree.exists(word) && !is_short_name(tree, word) {
                findings.push(Finding::new(path, number, format!("{word} does not exist: say what does")));
            }
        }
    }
    findings
}

/// Whether it is the end of a path, as `fanout/mesh.rs` is where the folder above is clear.
fn is_short_name(tree: &Tree, word: &str) -> bool {
    let word = format!("/{}", word.trim_end_matches('/'));
    tree.files.iter().any(|file| file.path.ends_with(&word) || file.path.contains(&format!("{word}/")))
}

fn is_path(word: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    let first = word.split('/').next().unwrap_or(word);
    word.contains('/') && !first.is_empty() && word.chars().all(plain)
}

pub(super) fn decisions(tree: &Tree) -> Vec<Finding> {
    let index_path = format!("{DECISIONS}README.md");
    let Some(index) = tree.file(&index_path) else {
        return vec![Finding::new(&index_path, 0, "is missing: it lists the decision records")];
    };
    let mut findings = Vec::new();
    let is_record = |file: &&File| file.path.starts_with(DECISIONS) && file.path != index_path;
    for (next, file) in (1_u32..).zip(tree.files.iter().filter(is_record)) {
        let name = file.name();
        let number = name.split_once('-').and_then(|(number, _)| number.parse::<u32>().ok());
        if number != Some(next) || !name.starts_with(&format!("{next:04}-")) {
            let what = format!("the next decision record is {next:04}: numbers are dense, in four digits");
            findings.push(Finding::new(&file.path, 0, what));
        }
        if !index.text.contains(&format!("({name})")) {
            findings.push(Finding::new(&index_path, 0, format!("does not list {name}")));
        }
        if !file.text.contains("\nStatus: ") {
            findings.push(Finding::new(&file.path, 0, "has no line \"Status: ...\""));
        }
        for section in SECTIONS.iter().filter(|section| !file.text.contains(&format!("\n{section}\n"))) {
            findings.push(Finding::new(&file.path, 0, format!("has no section \"{section}\"")));
        }
    }
    findings
}
