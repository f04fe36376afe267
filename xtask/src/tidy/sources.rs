//! Checks on Rust sources (and the length of TypeScript ones).

use super::Finding;
use super::source::{code, has_word};
use super::tree::{File, Tree};

/// At this length a file is looked at again; most are less than half.
const LINES_MAX: usize = 500;

/// Longer ones, with how long they may be and why. May only shrink.
const LONG: &[(&str, usize, &str)] = &[];

/// Where `unsafe` may stand, and why.
const UNSAFE_FOLDERS: [(&str, &str); 4] = [
    ("driver/", "system calls and memory shared with the kernel"),
    ("ring/", "slots shared between two threads"),
    ("protocol/src/generated/", "written by flatc"),
    ("fuzz/", "libFuzzer's entry point"),
];

/// Names that do not say what a thing does, and what would.
const NAMES: [(&str, &str); 9] = [
    ("util", "name it after what it does"),
    ("utils", "name it after what it does"),
    ("helper", "name it after what it does"),
    ("helpers", "name it after what it does"),
    ("common", "name what is common: the thing, not the sharing"),
    ("types", "put each type where it is used"),
    ("misc", "name it after what it does"),
    ("manager", "name the one thing it does: a pool, a table, a schedule"),
    ("stuff", "name it after what it does"),
];

pub(super) fn length(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| file.has_extension(&["rs", "ts", "tsx"])) {
        let lines = file.text.lines().count();
        let exception = LONG.iter().find(|(path, ..)| *path == file.path);
        let allowed = exception.map_or(LINES_MAX, |(_, allowed, _)| *allowed);
        if lines > allowed && !file.is_test() && !file.is_generated() {
            let what =
                format!("{lines} lines, of at most {allowed}: split it along a seam a reader would look for");
            findings.push(Finding::new(&file.path, 0, what));
        }
        if exception.is_some() && lines <= LINES_MAX {
            findings.push(Finding::new(&file.path, 0, "is short again: take it off the list of long files"));
        }
    }
    for (path, ..) in LONG.iter().filter(|(path, ..)| tree.file(path).is_none()) {
        findings.push(Finding::new(path, 0, "is gone: take it off the list of long files"));
    }
    findings
}

pub(super) fn unsafe_code(tree: &Tree) -> Vec<Finding> {
    let allowed = |file: &File| UNSAFE_FOLDERS.iter().any(|(folder, _)| file.path.starts_with(folder));
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| file.is_rust() && !allowed(file)) {
        for (index, line) in code(&file.text).lines().enumerate() {
            if has_word(line, "unsafe") {
                let what = "unsafe belongs into driver/ or ring/: offer a safe function there and call that";
                findings.push(Finding::new(&file.path, index + 1, what));
            }
        }
    }
    findings
}

pub(super) fn forbid_unsafe(tree: &Tree) -> Vec<Finding> {
    let root = |file: &&File| {
        let parts: Vec<_> = file.path.split('/').collect();
        let is_root = matches!(
            parts.as_slice(),
            [_, "src", "lib.rs" | "main.rs"] | [_, "src", "bin", _] | [_, _, "src", "lib.rs" | "main.rs"]
        );
        let is_package = |folder: &str| tree.file(&format!("{folder}/Cargo.toml")).is_some();
        // Two folders down only where that is a package: elsewhere it is a module that happens to be called so.
        is_root
            && (parts.get(1) == Some(&"src") || is_package(&parts[..2].join("/")))
            && !["driver", "ring", "protocol", "fuzz"].contains(&file.top())
    };
    let silent = |file: &&File| !code(&file.text).contains("#![forbid(unsafe_code)]");
    let what = "a crate without unsafe says so: #![forbid(unsafe_code)]";
    tree.rust().filter(root).filter(silent).map(|file| Finding::new(&file.path, 0, what)).collect()
}

pub(super) fn names(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in
        tree.files.iter().filter(|file| file.has_extension(&["rs", "ts", "tsx"]) && !file.is_generated())
    {
        for part in file.path.split('/') {
            let stem = part.split('.').next().unwrap_or(part);
            if let Some((_, instead)) = NAMES.iter().find(|(name, _)| *name == stem) {
                findings.push(Finding::new(&file.path, 0, format!("\"{stem}\" says nothing: {instead}")));
            }
            if stem.ends_with('2') && !["http2", "h2"].contains(&stem) {
                findings.push(Finding::new(
                    &file.path,
                    0,
                    format!("\"{stem}\": say what is different about this one"),
                ));
            }
        }
        if !file.is_rust() {
            continue;
        }
        for (index, line) in code(&file.text).lines().enumerate() {
            let declared = ["mod ", "struct ", "enum ", "trait "].iter().find_map(|keyword| {
                let at = line.find(keyword)?;
                let name =
                    line[at + keyword.len()..].split(|c: char| !c.is_alphanumeric() && c != '_').next()?;
                (line[..at].trim().is_empty() || line[..at].trim_start().starts_with("pub")).then_some(name)
            });
            let Some(name) = declared else { continue };
            let lower = name.to_lowercase();
            if let Some((_, instead)) = NAMES.iter().find(|(word, _)| lower == *word) {
                findings.push(Finding::new(
                    &file.path,
                    index + 1,
                    format!("\"{name}\" says nothing: {instead}"),
                ));
            } else if ["Manager", "Helper", "Util", "Utils"].iter().any(|end| name.ends_with(end)) {
                let what = format!("\"{name}\": name the one thing it does: a pool, a table, a schedule");
                findings.push(Finding::new(&file.path, index + 1, what));
            }
        }
    }
    findings
}

pub(super) fn module_docs(tree: &Tree) -> Vec<Finding> {
    let silent = |file: &&File| !file.text.trim_start().starts_with("//!");
    let what =
        "begins without saying what it is: a //! line (its place, its owner, its invariants, what is absent)";
    tree.rust().filter(silent).map(|file| Finding::new(&file.path, 1, what)).collect()
}

/// What TypeScript does not use, and what it uses instead.
const NOT_IN_TYPESCRIPT: [(&str, &str); 8] = [
    (".innerHTML", "what others wrote is text: use textContent, or build elements"),
    (".outerHTML", "what others wrote is text: use textContent, or build elements"),
    (".insertAdjacentHTML", "what others wrote is text: use append"),
    ("eval(", "nothing that came as text is run"),
    (": any", "say what it is, or unknown and look"),
    ("as any", "say what it is, or unknown and look"),
    ("<any", "say what it is, or unknown and look"),
    ("debugger;", "left over"),
];

/// Hand-written TypeScript begins by saying what it is, like every module.
pub(super) fn typescript(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| file.has_extension(&["ts", "tsx"]) && !file.is_generated()) {
        if !file.text.starts_with("// ") {
            findings.push(Finding::new(&file.path, 1, "begins without saying what it is: a // line"));
        }
        for (index, line) in code(&file.text).lines().enumerate() {
            let used = NOT_IN_TYPESCRIPT.iter().filter(|(text, _)| line.contains(text));
            findings.extend(used.map(|(text, instead)| {
                Finding::new(&file.path, index + 1, format!("\"{text}\": {instead}"))
            }));
        }
        for (number, line) in file.lines().filter(|(_, line)| line.contains("@ts-")) {
            let what = format!("\"{}\": mend the type instead of switching its check off", line.trim());
            findings.push(Finding::new(&file.path, number, what));
        }
    }
    findings
}

pub(super) fn ignored_tests(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust() {
        for (index, line) in code(&file.text).lines().enumerate() {
            if line.trim_start().starts_with("#[ignore]") {
                let what =
                    "a test that does not run proves nothing: mend it, delete it, or say #[ignore = \"why\"]";
                findings.push(Finding::new(&file.path, index + 1, what));
            }
        }
    }
    findings
}
