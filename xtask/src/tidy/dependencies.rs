//! Checks on the manifests.
//!
//! They are read line by line: the workspace's manifests are plain tables, and what these checks ask for
//! (a comment above a line) is not in a parsed one.

use super::Finding;
use super::tree::{APART, File, Tree};

/// Members' dependencies that no source names, and why they are there.
const UNNAMED: &[(&str, &str, &str)] = &[(
    "perf/comparators/Cargo.toml",
    "ringwire-protocol",
    "named by perf/src/bare/wire.rs, which is part of that package too",
)];

/// A `key = value` line of a table.
struct Entry<'a> {
    line: usize,
    /// The table's name, without brackets.
    table: &'a str,
    key: &'a str,
    value: &'a str,
    /// Whether the line above it is a comment.
    has_comment: bool,
}

fn entries(manifest: &File) -> Vec<Entry<'_>> {
    let (mut table, mut has_comment) = ("", false);
    let mut entries = Vec::new();
    for (line, text) in manifest.lines() {
        let text = text.trim();
        if let Some(name) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            table = name;
        } else if let Some((key, value)) = text.split_once('=').filter(|_| !text.starts_with('#')) {
            entries.push(Entry { line, table, key: key.trim(), value: value.trim(), has_comment });
        }
        has_comment = text.starts_with('#');
    }
    entries
}

/// Manifests of members, and of packages apart.
fn members(tree: &Tree) -> impl Iterator<Item = &File> {
    tree.files.iter().filter(|file| file.name() == "Cargo.toml" && !file.top().is_empty())
}

fn is_dependency(entry: &Entry<'_>) -> bool {
    entry.table.ends_with("dependencies")
}

/// `bytes` of `bytes.workspace`.
fn name_of<'a>(entry: &Entry<'a>) -> &'a str {
    entry.key.split('.').next().unwrap_or(entry.key)
}

fn is_apart(manifest: &File) -> bool {
    APART.iter().any(|folder| manifest.path.starts_with(folder))
}

pub(super) fn reasons(tree: &Tree) -> Vec<Finding> {
    let own = |entry: &Entry<'_>| entry.value.contains("path =");
    let mut findings = Vec::new();
    let root = tree.file("Cargo.toml").into_iter();
    for manifest in root.chain(members(tree).filter(|manifest| is_apart(manifest))) {
        let table = if is_apart(manifest) { "dependencies" } else { "workspace.dependencies" };
        let bare = |entry: &&Entry<'_>| entry.table == table && !own(entry) && !entry.has_comment;
        for entry in entries(manifest).iter().filter(bare) {
            let what = format!("{} has no reason: say in the line above it what it is here for", entry.key);
            findings.push(Finding::new(&manifest.path, entry.line, what));
        }
    }
    findings
}

/// What is distributed or linked by whoever follows our documents, under which terms.
pub(super) fn licences(tree: &Tree) -> Vec<Finding> {
    let says = |manifest: &&File| {
        let of_package = |entry: &Entry<'_>| {
            entry.table == "package" && ["license", "license.workspace"].contains(&entry.key)
        };
        entries(manifest).iter().any(of_package)
    };
    let what = "says no licence: license.workspace = true, or the same words in a package apart";
    members(tree)
        .filter(|manifest| !says(manifest))
        .map(|manifest| Finding::new(&manifest.path, 0, what))
        .collect()
}

pub(super) fn used(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let manifests: Vec<_> = members(tree).collect();
    if let Some(root) = tree.file("Cargo.toml") {
        for entry in entries(root).iter().filter(|entry| entry.table == "workspace.dependencies") {
            let named = |manifest: &&File| {
                entries(manifest).iter().any(|e| is_dependency(e) && name_of(e) == entry.key)
            };
            if !manifests.iter().any(named) {
                let what = format!("no member uses {}: take it out", entry.key);
                findings.push(Finding::new(&root.path, entry.line, what));
            }
        }
    }
    for manifest in manifests {
        let folder = manifest.path.trim_end_matches("Cargo.toml");
        for entry in entries(manifest).iter().filter(|entry| is_dependency(entry)) {
            let name = name_of(entry);
            let in_code = name.replace('-', "_");
            let named = tree
                .files
                .iter()
                .any(|file| file.is_rust() && file.path.starts_with(folder) && file.text.contains(&in_code));
            let excepted = UNNAMED.iter().any(|(path, other, _)| *path == manifest.path && *other == name);
            if !named && !excepted {
                let what = format!("nothing in {folder} names {in_code}: take it out");
                findings.push(Finding::new(&manifest.path, entry.line, what));
            }
        }
    }
    findings
}

pub(super) fn declared_once(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    // Packages apart are not members, so they cannot inherit.
    for manifest in members(tree).filter(|manifest| !is_apart(manifest)) {
        for entry in entries(manifest).iter().filter(|entry| is_dependency(entry)) {
            if !entry.key.ends_with(".workspace") && !entry.value.contains("workspace = true") {
                let what = format!(
                    "{} is declared here: declare it in the root manifest, with its reason, and write {0}.workspace = true",
                    entry.key
                );
                findings.push(Finding::new(&manifest.path, entry.line, what));
            }
        }
    }
    findings
}
