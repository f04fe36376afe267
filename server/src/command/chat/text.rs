//! Other people's words on this terminal: what could move the cursor, change colours, hide or reorder text is made visible
//! or left out.
//!
//! A message is opaque to the server, so whatever a sender likes arrives here. What is kept: letters of all scripts, emoji
//! with their joiners and variation selectors, line breaks. What is not: control characters (escape sequences begin with
//! one), overrides and isolates of the bidirectional algorithm, invisible characters, and stacks of combining marks.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Characters without width that may follow one with width: enough for any script and any emoji, too little to climb over
/// the lines above.
const MARKS_MAX: usize = 8;
/// Columns of a tab.
const TAB: &str = "    ";

/// A text that is shown as it looks. Line breaks stay; everything else is harmless in one line.
pub(super) fn shown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut marks = 0;
    for char in text.chars() {
        match char {
            '\n' => out.push('\n'),
            '\t' => out.push_str(TAB),
            // A picture of the control character, so that one sees that something was there.
            '\0'..='\u{1F}' => out.push(char::from_u32(0x2400 + u32::from(char)).unwrap_or('\u{FFFD}')),
            '\u{7F}' => out.push('\u{2421}'),
            '\u{80}'..='\u{9F}' => out.push('\u{FFFD}'),
            '\u{2028}' | '\u{2029}' => out.push('\n'),
            char if is_trick(char) => {}
            char if char.width() == Some(0) => {
                marks += 1;
                if marks <= MARKS_MAX {
                    out.push(char);
                }
                continue;
            }
            char => out.push(char),
        }
        marks = 0;
    }
    out
}

/// The same in one line: line breaks are shown as such.
pub(super) fn in_line(text: &str) -> String {
    shown(text).replace('\n', "\u{23CE} ")
}

/// The same for a line of a file: line breaks, tabs and backslashes are escaped, so that a line stays a line and columns stay
/// columns.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            char if char.is_control() || is_trick(char) || matches!(char, '\u{2028}' | '\u{2029}') => {
                out.extend(char.escape_unicode());
            }
            char => out.push(char),
        }
    }
    out
}

/// A name, short enough for a column and never empty.
pub(super) fn name(name: &str, columns_max: usize) -> String {
    let whole = in_line(name.trim());
    if whole.is_empty() {
        return "?".to_owned();
    }
    if whole.width() <= columns_max {
        return whole;
    }
    let mut cut = String::new();
    let mut columns = 0;
    for char in whole.chars() {
        columns += char.width().unwrap_or(0);
        if columns >= columns_max {
            break;
        }
        cut.push(char);
    }
    cut.push('…');
    cut
}

/// Rows that a text takes on a terminal of so many columns, beginning in column `begin`.
pub(super) fn rows(text: &str, begin: usize, columns: usize) -> usize {
    let columns = columns.max(1);
    text.split('\n')
        .enumerate()
        .map(|(index, line)| {
            let width = line.width() + if index == 0 { begin } else { 0 };
            // A line that fills the last column has already moved on.
            width / columns + 1
        })
        .sum()
}

/// Breaks a text into rows of at most `columns`, at spaces where there are any. Every row but the first is to be indented by
/// whoever prints it: a row that the terminal itself breaks begins where messages begin, and could pass for one.
pub(super) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(2);
    let mut rows = Vec::new();
    for line in text.split('\n') {
        let mut row = String::new();
        let mut width = 0;
        // Where the row can be broken: behind this byte.
        let mut space = None;
        for char in line.chars() {
            let char_width = char.width().unwrap_or(0);
            if width + char_width > columns {
                if char == ' ' {
                    // It would only be the first of the next row.
                    rows.push(std::mem::take(&mut row));
                    (width, space) = (0, None);
                    continue;
                }
                let rest = space.take().map_or_else(String::new, |at| row.split_off(at));
                row.truncate(row.trim_end_matches(' ').len());
                rows.push(std::mem::replace(&mut row, rest));
                width = row.width();
            }
            row.push(char);
            width += char_width;
            if char == ' ' {
                space = Some(row.len());
            }
        }
        rows.push(row);
    }
    rows
}

/// Characters that change how others look, without being seen.
fn is_trick(char: char) -> bool {
    matches!(
        char,
        // Soft hyphen, Arabic letter mark, fillers of Hangul, Mongolian vowel separator.
        '\u{AD}' | '\u{61C}' | '\u{115F}' | '\u{1160}' | '\u{3164}' | '\u{FFA0}' | '\u{180E}'
        // Zero-width space, direction marks; the joiners between them are part of scripts and emoji.
        | '\u{200B}' | '\u{200E}' | '\u{200F}'
        // Embeddings, overrides, isolates, invisible operators, deprecated format characters.
        | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
        // Byte order mark, annotation anchors, tags, and language tags.
        | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}' | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}'
        | '\u{E0000}'..='\u{E0FFF}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_become_pictures() {
        assert_eq!(shown("\u{1b}[31mred\u{1b}[0m\u{7}"), "␛[31mred␛[0m␇");
        assert_eq!(shown("a\rb\u{8}c\u{7f}"), "a␍b␈c␡");
        // The one-byte forms of the same sequences.
        assert_eq!(shown("\u{9b}31m\u{85}"), "\u{FFFD}31m\u{FFFD}");
    }

    #[test]
    fn text_cannot_be_reordered_or_hidden() {
        assert_eq!(shown("admin\u{202e}gpj.exe\u{202c}"), "admingpj.exe");
        assert_eq!(shown("\u{2066}a\u{2069}\u{200f}\u{61c}b"), "ab");
        assert_eq!(shown("pay\u{200b}pal\u{feff}\u{ad}"), "paypal");
        assert_eq!(shown("x\u{e0041}\u{e007f}"), "x");
    }

    #[test]
    fn ordinary_text_of_all_scripts_stays() {
        for text in [
            "Grüße, ça va?",
            "שלום",
            "مرحبا",
            "नमस्ते",
            "日本語",
            "👩\u{200d}👩\u{200d}👧\u{200d}👦 ❤️ 👍🏽",
            "e\u{301}",
            "a\nb",
        ] {
            assert_eq!(shown(text), text);
        }
    }

    #[test]
    fn stacks_of_marks_are_cut() {
        let stack = format!("z{}", "\u{301}".repeat(200));
        assert_eq!(shown(&stack).chars().count(), 1 + MARKS_MAX);
        assert_eq!(shown("\u{301}\u{301}"), "\u{301}\u{301}");
    }

    #[test]
    fn a_line_stays_a_line() {
        assert_eq!(in_line("a\nb\u{2028}c"), "a⏎ b⏎ c");
        assert_eq!(escaped("a\tb\\n\nc\u{1b}[m\u{202e}"), "a\\tb\\\\n\\nc\\u{1b}[m\\u{202e}");
    }

    #[test]
    fn names_fit_their_column() {
        assert_eq!(name("ada", 12), "ada");
        assert_eq!(name("  ", 12), "?");
        assert_eq!(name("\u{202e}", 12), "?");
        assert_eq!(name("a very long name indeed", 12), "a very long…");
        assert_eq!(name("日本語日本語日本語", 8).width(), 7);
        assert_eq!(name("a\nb", 12), "a⏎ b");
    }

    #[test]
    fn rows_break_at_spaces_and_never_exceed_the_terminal() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(wrap("abcdefgh", 3), ["abc", "def", "gh"]);
        assert_eq!(wrap("a bcdefgh", 3), ["a", "bcd", "efg", "h"]);
        assert_eq!(wrap("日本語日本", 5), ["日本", "語日", "本"]);
        assert_eq!(wrap("a\n\nb", 5), ["a", "", "b"]);
        assert_eq!(wrap("", 5), [""]);
        for columns in 0..12 {
            let rows = wrap("The quick 日本 brown    fox\njumps 👋🏽 over  the-lazy-dog", columns);
            assert!(rows.iter().all(|row| row.width() <= columns.max(2)), "{columns}: {rows:?}");
        }
    }

    #[test]
    fn rows_count_wide_characters_twice() {
        assert_eq!(rows("abc", 2, 80), 1);
        assert_eq!(rows("abcdefgh", 2, 10), 2);
        assert_eq!(rows("日本語日本", 0, 9), 2);
        assert_eq!(rows("a\nb", 2, 80), 2);
        assert_eq!(rows("", 2, 0), 3);
    }
}
