//! Each check finds what it is for, and lets be what it must.

use super::tree::{File, Tree};
use super::{CHECKS, Finding};

fn tree(files: &[(&str, &str)]) -> Tree {
    let file = |(path, text): &(&str, &str)| File { path: (*path).to_owned(), text: (*text).to_owned() };
    Tree { files: files.iter().map(file).collect(), binaries: vec!["docs/map.png".to_owned()] }
}

/// What the named check finds in these files, as `path:line`.
fn found(check: &str, files: &[(&str, &str)]) -> Vec<String> {
    let (_, run) = CHECKS.iter().find(|(name, _)| *name == check).expect("there is such a check");
    run(&tree(files)).iter().map(|Finding { path, line, .. }| format!("{path}:{line}")).collect()
}

#[test]
fn long_files_are_found_but_not_tests_or_generated_ones() {
    let long = "//! Long.\n".repeat(501);
    let files = ["a/src/x.rs", "a/src/tests.rs", "a/tests/x.rs", "a/src/generated/x.rs", "a/x.md"];
    let files = files.map(|path| (path, long.as_str()));
    assert_eq!(found("files are short", &files), ["a/src/x.rs:0"]);
    let just = "//! Not long.\n".repeat(500);
    assert!(found("files are short", &[("a/src/x.rs", &just)]).is_empty());
}

#[test]
fn unsafe_is_found_as_a_word_of_code_outside_its_folders() {
    let code = "//! unsafe in a sentence\nfn f() {\n    unsafe { g() }\n}\n#![forbid(unsafe_code)]\n";
    let files = [("server/src/x.rs", code), ("driver/src/sys.rs", code), ("perf/src/x.rs", code)];
    assert_eq!(found("unsafe stays in its folders", &files), ["server/src/x.rs:3", "perf/src/x.rs:3"]);
}

#[test]
fn a_crate_that_may_not_have_unsafe_says_so() {
    let files = [
        ("store/src/lib.rs", "//! S.\n// #![forbid(unsafe_code)]\n"),
        ("sim/src/main.rs", "//! S.\n#![forbid(unsafe_code)]\n"),
        ("ring/src/lib.rs", "//! R.\n"),
        ("store/src/journal/lib.rs", "//! Not a root.\n"),
        ("perf/inner/src/lib.rs", "//! Not a package.\n"),
        ("perf/comparators/Cargo.toml", ""),
        ("perf/comparators/src/main.rs", "//! C.\n"),
    ];
    assert_eq!(
        found("crates without unsafe forbid it", &files),
        ["store/src/lib.rs:0", "perf/comparators/src/main.rs:0"]
    );
}

#[test]
fn empty_names_are_found() {
    let files = [
        ("a/src/utils.rs", "//! U.\n"),
        ("a/src/driver2.rs", "//! D.\n"),
        ("a/src/http2.rs", "//! H.\n"),
        ("a/src/x.rs", "//! X.\npub struct PoolManager;\nmod types;\nuse other::types;\nstruct Pool;\n"),
    ];
    assert_eq!(
        found("names say something", &files),
        ["a/src/utils.rs:0", "a/src/driver2.rs:0", "a/src/x.rs:2", "a/src/x.rs:3"]
    );
}

#[test]
fn a_module_without_a_word_about_itself_is_found() {
    let files =
        [("a/src/x.rs", "// X.\nfn f() {}\n"), ("a/src/y.rs", "//! Y.\n"), ("a/src/generated/z.rs", "")];
    assert_eq!(found("modules say what they are", &files), ["a/src/x.rs:1"]);
}

#[test]
fn unfinished_things_are_found_in_any_file() {
    let todo = concat!("# x\n# TO", "DO later\n");
    let call = concat!("//! X.\nfn f() { todo", "!() }\nfn mastodon() {}\n");
    let files = [("a/x.toml", todo), ("a/src/x.rs", call), ("Cargo.lock", todo)];
    assert_eq!(found("nothing is left unfinished", &files), ["a/x.toml:2", "a/src/x.rs:2"]);
}

#[test]
fn a_test_switched_off_needs_a_reason() {
    let code = "//! X.\n#[ignore]\nfn a() {}\n#[ignore = \"needs root\"]\nfn b() {}\n";
    assert_eq!(found("no test is switched off in silence", &[("a/src/x.rs", code)]), ["a/src/x.rs:2"]);
}

#[test]
fn invisible_characters_are_found() {
    let files = [
        ("a.md", "plain\u{e9}\t\u{2192}\n"),
        ("b.md", "one\nzero\u{200b}width\n"),
        ("c.md", "turned \u{202e}\n"),
        ("d.md", "carriage\r\n\r\n"),
        ("e.md", "no end"),
        ("f.md", "escape \u{1b}\n"),
    ];
    // `lines` takes a carriage return off with the newline; a lone one stays.
    assert_eq!(found("text is plain", &files), ["b.md:2", "c.md:1", "e.md:0", "f.md:1"]);
}

#[test]
fn paths_of_one_machine_are_found() {
    let root = concat!("see /ro", "ot/x\n");
    let files = [("a.md", root), ("b.md", "see docs/home/x and $ROOT/root/x, example.com/work/y\n")];
    assert_eq!(found("nothing points at somebody's machine", &files), ["a.md:1"]);
}

#[test]
fn links_are_followed() {
    let text = "[a](b.md) [c](docs/) [d](docs/x.md#part) [e](https://example.org/) [f](#here)\n\
        [g](gone.md) ![map](docs/map.png)\n";
    let files = [("a.md", text), ("b.md", "b\n"), ("docs/x.md", "[up](../a.md) [out](../../a.md)\n")];
    assert_eq!(found("links lead somewhere", &files), ["a.md:2", "docs/x.md:1"]);
}

#[test]
fn dependencies_need_a_reason_a_user_and_one_home() {
    let root = "[workspace.dependencies]\nown = { path = \"own\" }\n# Why.\nbytes = \"1\"\nlibc = \"0.2\"\n# Unused.\ngone = \"1\"\n";
    let member = "[dependencies]\nown.workspace = true\nbytes.workspace = true\nlibc = \"0.2\"\n\
        [target.'cfg(loom)'.dependencies]\nidle-crate = { workspace = true, features = [\"x\"] }\n";
    let files = [
        ("Cargo.toml", root),
        ("a/Cargo.toml", member),
        ("a/src/lib.rs", "//! A.\nuse bytes::Bytes; use own; use libc;\n"),
    ];
    assert_eq!(found("every dependency has a reason", &files), ["Cargo.toml:5"]);
    assert_eq!(found("every dependency is used", &files), ["Cargo.toml:7", "a/Cargo.toml:6"]);
    assert_eq!(found("dependencies are declared once", &files), ["a/Cargo.toml:4"]);
}

#[test]
fn a_package_apart_has_its_own_reasons_and_says_its_licence() {
    let apart = "[package]\nlicense = \"MIT\"\n[dependencies]\nsled = \"0.34\"\n# Why.\nredb = \"4\"\n";
    let files = [
        ("Cargo.toml", ""),
        ("perf/comparators/Cargo.toml", apart),
        ("perf/Cargo.toml", "[package]\nlicense.workspace = true\n"),
        ("fuzz/Cargo.toml", "[package]\n"),
    ];
    assert_eq!(found("every dependency has a reason", &files), ["perf/comparators/Cargo.toml:4"]);
    assert!(found("dependencies are declared once", &files).is_empty());
    assert_eq!(found("every package says its licence", &files), ["fuzz/Cargo.toml:0"]);
}

#[test]
fn architecture_names_what_exists() {
    let check = "ARCHITECTURE.md names what exists";
    assert_eq!(found(check, &[]), ["ARCHITECTURE.md:0"]);
    let text = "`driver/src/` and `driver/src/x.rs` and `a / b`, `/v1/ws`, `n/a?`, `src/x.rs`\n\
        and `server/src/fanout/` or `src/y.rs`\n";
    let files = [("ARCHITECTURE.md", text), ("driver/src/x.rs", "//! X.\n")];
    assert_eq!(found(check, &files), ["ARCHITECTURE.md:2", "ARCHITECTURE.md:2"]);
}

#[test]
fn decision_records_are_whole() {
    let check = "decision records are numbered, complete and listed";
    let whole = "# 1\n\nStatus: accepted\n\n## Question\n\n## Decision\n\n## Reason\n\n## Refused\n\n\
        ## What would change our mind\n";
    let index = ("docs/decisions/README.md", "[one](0001-one.md) [two](0002-two.md)\n");
    assert_eq!(found(check, &[]), ["docs/decisions/README.md:0"]);
    assert!(found(check, &[index, ("docs/decisions/0001-one.md", whole)]).is_empty());
    let gap = [index, ("docs/decisions/0002-two.md", whole)];
    assert_eq!(found(check, &gap), ["docs/decisions/0002-two.md:0"]);
    let unlisted = [index, ("docs/decisions/0001-other.md", whole)];
    assert_eq!(found(check, &unlisted), ["docs/decisions/README.md:0"]);
    let cut = [index, ("docs/decisions/0001-one.md", "# 1\n\nStatus: accepted\n\n## Question\n")];
    assert_eq!(found(check, &cut).len(), 4);
}

#[test]
fn typescript_that_parses_markup_or_hides_a_type_is_found() {
    let files = [
        ("w/src/good.ts", "// Good.\nconst many = 'any eval';\nelement.textContent = many; // any\n"),
        ("w/src/silent.ts", "const a = 1;\n"),
        ("w/src/bad.ts", "// Bad.\nelement.innerHTML = text;\nlet a: any;\n// @ts-ignore\n"),
        ("w/src/generated/g.ts", "let a: any;\n"),
    ];
    assert_eq!(
        found("TypeScript parses no markup and hides no type", &files),
        ["w/src/silent.ts:1", "w/src/bad.ts:2", "w/src/bad.ts:3", "w/src/bad.ts:4"]
    );
}
