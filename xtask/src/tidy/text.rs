//! Checks on every text file.

use super::Finding;
use super::source::has_word;
use super::tree::{File, Tree};

/// Words for what is not done. In two halves each, so that this file does not find itself.
const UNFINISHED: [(&str, &str); 7] = [
    (concat!("TO", "DO"), "do it, or write it into docs/roadmap.md"),
    (concat!("FIX", "ME"), "mend it, or write it into docs/roadmap.md"),
    (concat!("XX", "X"), "say in a sentence what is the matter"),
    (concat!("HA", "CK"), "say in a sentence why it has to be so"),
    (concat!("todo", "!("), "write it, or leave the function out"),
    (concat!("unimplemented", "!("), "write it, or leave the function out"),
    (concat!("dbg", "!("), "use tracing, or take it out"),
];

/// Written by tools, with whatever their authors like.
fn is_foreign(file: &File) -> bool {
    file.is_generated() || file.has_extension(&["lock", "svg"]) || file.name() == "package-lock.json"
}

pub(super) fn unfinished(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| !is_foreign(file)) {
        for (number, line) in file.lines() {
            let marked =
                |word: &str| if word.ends_with('(') { line.contains(word) } else { has_word(line, word) };
            for (word, instead) in UNFINISHED.iter().filter(|(word, _)| marked(word)) {
                findings.push(Finding::new(
                    &file.path,
                    number,
                    format!("{}: {instead}", word.trim_end_matches('(')),
                ));
            }
        }
    }
    findings
}

pub(super) fn characters(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| !is_foreign(file)) {
        for (number, line) in file.lines() {
            if let Some(found) = line.chars().find(|c| is_invisible(*c)) {
                let what = format!("invisible character U+{:04X}: write it as an escape", u32::from(found));
                findings.push(Finding::new(&file.path, number, what));
            }
        }
        if !file.text.is_empty() && !file.text.ends_with('\n') {
            findings.push(Finding::new(&file.path, 0, "the last line has no end: add a newline"));
        }
    }
    findings
}

/// Control characters, zero-width ones, and those that turn the reading direction: what a reviewer would
/// not see.
fn is_invisible(c: char) -> bool {
    (c.is_control() && c != '\t')
        || matches!(c, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{2069}' | '\u{FEFF}')
}

pub(super) fn machine_paths(tree: &Tree) -> Vec<Finding> {
    // In two halves each, so that this file does not find itself.
    let folders =
        [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/wo", "rk/"), concat!("/Us", "ers/")];
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| !is_foreign(file)) {
        for (number, line) in file.lines() {
            let begins = |at: usize| {
                !line[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || "._-/}".contains(c))
            };
            let found = |folder: &&str| line.match_indices(*folder).any(|(at, _)| begins(at));
            if let Some(folder) = folders.into_iter().find(found) {
                let what = format!(
                    "a path under {folder} exists on one machine only: make it relative to the workspace"
                );
                findings.push(Finding::new(&file.path, number, what));
            }
        }
    }
    findings
}

pub(super) fn links(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| file.has_extension(&["md"])) {
        for (number, line) in file.lines() {
            for target in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                let path = target.split('#').next().unwrap_or(target);
                if path.is_empty() || path.contains("://") || path.starts_with("mailto:") {
                    continue;
                }
                if !resolve(&file.path, path).is_some_and(|path| path.is_empty() || tree.exists(&path)) {
                    findings.push(Finding::new(
                        &file.path,
                        number,
                        format!("the link to {target} leads nowhere"),
                    ));
                }
            }
        }
    }
    findings
}

/// A link's target from the root; `None` if it leads out of the checkout.
fn resolve(from: &str, link: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    if link.starts_with('/') {
        parts.clear();
    }
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}
