//! `docs/wire.md` says what the code and the schema say.

#![allow(missing_docs, unreachable_pub, reason = "a test")]
#![allow(clippy::disallowed_methods, reason = "reads documents and sources")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use ringwire_protocol::code::TABLE;
use ringwire_protocol::frame::FrameType;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All schema files in one.
fn schema() -> String {
    ["schema/values.fbs", "schema/client.fbs", "schema/server.fbs", "schema/content.fbs"].map(read).concat()
}

/// What stands between two marks.
fn between<'a>(text: &'a str, begin: &str, end: &str) -> &'a str {
    let (_, rest) = text.split_once(begin).unwrap_or_else(|| panic!("{begin:?} is missing"));
    rest.split_once(end).unwrap_or_else(|| panic!("{end:?} is missing behind {begin:?}")).0
}

/// Field names of a struct or table of the schema.
fn fields<'a>(schema: &'a str, declaration: &str) -> Vec<&'a str> {
    between(schema, declaration, "}")
        .lines()
        .filter_map(|line| Some(line.split_once(':')?.0.trim()))
        .collect()
}

#[test]
fn the_table_of_codes_is_the_one_of_the_code() {
    let mut table =
        "\n| Code | Name | Whose | Retry | What it means, and what to do |\n|---|---|---|---|---|\n"
            .to_owned();
    for entry in TABLE {
        let number = entry.code.number();
        let (whose, retry) =
            (format!("{:?}", entry.whose).to_lowercase(), format!("{:?}", entry.retry).to_lowercase());
        writeln!(table, "| {number} | `{}` | {whose} | {retry} | {} |", entry.name, entry.text)
            .expect("a String");
    }
    let document = read("docs/wire.md");
    let written = between(&document, "<!-- codes: begin -->", "<!-- codes: end -->");
    assert!(written == table, "put this between the marks of docs/wire.md:\n{table}");
}

#[test]
fn every_frame_type_has_its_section_with_every_field() {
    let document = read("docs/wire.md");
    let schema = schema();
    for &kind in FrameType::ALL {
        let section =
            between(&document, &format!("\n### {:#04X} {kind:?}\n", kind as u8).replace("0X", "0x"), "\n#");
        let table = format!("\ntable {kind:?} {{");
        let comment =
            schema.split(&table).next().and_then(|before| before.lines().next_back()).unwrap_or_default();
        let number = format!("/// 0x{:02X}.", kind as u8);
        assert!(comment.starts_with(&number), "schema: {kind:?} is {number}, and not {comment:?}");
        let mut names = fields(&schema, &table);
        assert!(!names.is_empty(), "{kind:?}");
        if names.first() == Some(&"fixed") {
            names.splice(..1, fields(&schema, &format!("\nstruct {kind:?}Fixed {{")));
        }
        for name in names {
            assert!(section.contains(&format!("`{name}`")), "{kind:?}: `{name}` is not explained");
        }
    }
    assert_eq!(document.matches("\n### 0x").count(), FrameType::ALL.len());
}

#[test]
fn every_rule_that_is_cited_exists_and_numbers_are_used_once() {
    let document = read("docs/wire.md");
    let rules: Vec<&str> =
        document.split("- **").skip(1).filter_map(|rest| Some(rest.split_once("**")?.0)).collect();
    let unique: BTreeSet<&str> = rules.iter().copied().collect();
    assert_eq!(unique.len(), rules.len(), "a number is used twice");
    assert!(rules.len() > 40, "{rules:?}");
    let mut cited = 0;
    let mut folders = vec![root().join("protocol/src")];
    let mut check = |text: &str, path: &Path| {
        for (at, _) in text.match_indices("W-") {
            let digits: String = text[at + 2..].chars().take_while(char::is_ascii_digit).collect();
            let rule = format!("W-{digits}");
            if !digits.is_empty() {
                assert!(unique.contains(rule.as_str()), "{}: {rule} does not exist", path.display());
                cited += 1;
            }
        }
    };
    check(&document, Path::new("docs/wire.md"));
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("readable") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with("wire_generated.rs") {
                check(&fs::read_to_string(&path).expect("readable"), &path);
            }
        }
    }
    assert!(cited > 80, "{cited}");
}
