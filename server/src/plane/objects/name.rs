//! Names of files, which come from strangers and end on other people's disks.

use std::fmt::Write;

/// Bytes of a name; what file systems take.
const BYTES_MAX: usize = 255;

/// Why a name is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameFault {
    /// Nothing, or too much.
    #[error("a file name has 1 to {BYTES_MAX} bytes")]
    Length,
    /// It points somewhere.
    #[error("a file name has no path in it: no /, no \\, and it is neither . nor ..")]
    Path,
    /// It is not what it looks like.
    #[error("a file name has no control characters, and none that change the direction of the text")]
    Disguised,
}

/// Whether a name can be given to other people's file systems.
///
/// # Errors
/// Why not.
pub fn check(name: &str) -> Result<(), NameFault> {
    if name.is_empty() || name.len() > BYTES_MAX {
        return Err(NameFault::Length);
    }
    if name.contains(['/', '\\']) || name == "." || name == ".." {
        return Err(NameFault::Path);
    }
    if name.chars().any(|c| c.is_control() || is_directional(c)) {
        return Err(NameFault::Disguised);
    }
    Ok(())
}

/// Characters that make "cod.exe" out of "exe.doc", and line ends that are no control characters.
fn is_directional(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

/// The value of `Content-Disposition` (RFC 6266): a plain name for old clients, and the right one.
pub fn disposition(inline: bool, name: &str) -> String {
    let kind = if inline { "inline" } else { "attachment" };
    let plain: String = name
        .chars()
        .map(|c| if matches!(c, ' '..='~') && !matches!(c, '"' | '%' | '\\' | '/') { c } else { '_' })
        .collect();
    let mut value = format!("{kind}; filename=\"{plain}\"");
    if plain != name {
        value.push_str("; filename*=UTF-8''");
        for byte in name.bytes() {
            // attr-char of RFC 8187, less what some clients read their own way.
            if byte.is_ascii_alphanumeric() || b"-._".contains(&byte) {
                value.push(char::from(byte));
            } else {
                // Writing to a string does not fail.
                let _ = write!(value, "%{byte:02X}");
            }
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_disguises_are_refused() {
        for (name, fault) in [
            ("", NameFault::Length),
            (&*"x".repeat(256), NameFault::Length),
            ("../../etc/passwd", NameFault::Path),
            ("/etc/passwd", NameFault::Path),
            ("C:\\boot.ini", NameFault::Path),
            ("..", NameFault::Path),
            ("a\r\nSet-Cookie: x", NameFault::Disguised),
            ("a\0b", NameFault::Disguised),
            ("photo\u{202e}gpj.exe", NameFault::Disguised),
        ] {
            assert_eq!(check(name), Err(fault), "{name:?}");
        }
        for name in ["cat.png", "Größe 5 \"neu\".pdf", "..hidden", "写真.jpg", ".profile"] {
            assert_eq!(check(name), Ok(()), "{name:?}");
        }
    }

    #[test]
    fn whatever_the_name_the_header_is_one_line_of_ascii() {
        for (name, value) in [
            ("cat.png", "inline; filename=\"cat.png\""),
            ("a\"b.txt", "inline; filename=\"a_b.txt\"; filename*=UTF-8''a%22b.txt"),
            ("é.txt", "inline; filename=\"_.txt\"; filename*=UTF-8''%C3%A9.txt"),
            ("100%.txt", "inline; filename=\"100_.txt\"; filename*=UTF-8''100%25.txt"),
        ] {
            assert_eq!(disposition(true, name), value);
            assert!(http::HeaderValue::from_str(&disposition(false, name)).is_ok(), "{name}");
        }
    }
}
