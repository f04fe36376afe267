//! Types of content: which are taken, which are what they say, and which a browser may show.
//!
//! Absent: anything that looks further into content than its first bytes.

/// Bytes from the beginning of a content that [`sniff`] wants to see.
pub const SNIFF_BYTES: usize = 64;

/// A type as it may stand in a header: `type/subtype` in small letters, without parameters.
pub fn is_type(text: &str) -> bool {
    let token = |part: &str| {
        let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'+' | b'-' | b'_');
        !part.is_empty() && part.len() <= 100 && part.bytes().all(plain)
    };
    text.split_once('/').is_some_and(|(kind, sub)| token(kind) && token(sub))
}

/// Whether an allow-list has a type; `audio/*` stands for all of its kind.
pub fn is_allowed(list: &[String], kind: &str) -> bool {
    list.iter().any(|entry| match entry.strip_suffix('*') {
        Some(prefix) if prefix.ends_with('/') => kind.starts_with(prefix),
        _ => entry == kind,
    })
}

/// The image type that a content begins like.
pub fn sniff(head: &[u8]) -> Option<&'static str> {
    let at = |from: usize, bytes: &[u8]| head.get(from..).is_some_and(|rest| rest.starts_with(bytes));
    if at(0, b"\xff\xd8\xff") {
        Some("image/jpeg")
    } else if at(0, b"\x89PNG\r\n\x1a\n") {
        Some("image/png")
    } else if at(0, b"GIF87a") || at(0, b"GIF89a") {
        Some("image/gif")
    } else if at(0, b"RIFF") && at(8, b"WEBP") {
        Some("image/webp")
    } else if at(4, b"ftypavif") || at(4, b"ftypavis") {
        Some("image/avif")
    } else {
        None
    }
}

/// Whether a content of this head may be stored as this type. Images are shown by browsers at once, so they have
/// to be what they say; a type of image that [`sniff`] does not know is never shown, and passes.
pub fn is_honest(kind: &str, head: &[u8]) -> bool {
    match sniff(head) {
        Some(found) => found == kind || !kind.starts_with("image/"),
        None => !SHOWN_IMAGES.contains(&kind),
    }
}

/// Images that a browser may show.
const SHOWN_IMAGES: &[&str] = &["image/jpeg", "image/png", "image/gif", "image/webp", "image/avif"];

/// Recordings that a browser may play; none of these types is ever taken for a page, by `nosniff`.
const PLAYED: &[&str] =
    &["audio/mpeg", "audio/mp4", "audio/ogg", "audio/wav", "audio/webm", "video/mp4", "video/webm"];

/// Whether a browser may show the content where it stands, instead of saving it. Never what may carry a script.
pub fn is_inline(kind: &str) -> bool {
    SHOWN_IMAGES.contains(&kind) || PLAYED.contains(&kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_carries_scripts_is_never_shown() {
        for kind in ["image/svg+xml", "text/html", "application/xhtml+xml", "text/xml", "application/pdf"] {
            assert!(!is_inline(kind), "{kind}");
        }
        assert!(is_inline("image/png") && is_inline("video/mp4"));
    }

    #[test]
    fn images_are_what_they_say() {
        let png = b"\x89PNG\r\n\x1a\n....";
        assert!(is_honest("image/png", png));
        assert!(!is_honest("image/jpeg", png));
        assert!(!is_honest("image/png", b"<html><script>"));
        assert!(!is_honest("image/png", b""));
        assert!(!is_honest("image/svg+xml", png));
        assert!(is_honest("image/svg+xml", b"<svg/>"), "it is never shown");
        assert!(is_honest("application/octet-stream", png));
        assert!(is_honest("image/webp", b"RIFF1234WEBPVP8 "));
        assert!(is_honest("image/avif", b"\0\0\0\x20ftypavif"));
    }

    #[test]
    fn a_type_is_two_words() {
        for kind in ["image/png", "application/vnd.oasis.opendocument.text", "image/svg+xml"] {
            assert!(is_type(kind), "{kind}");
        }
        for kind in
            ["", "image", "image/", "/png", "text/html; charset=utf-8", "a/b\r\nX: y", "IMAGE/PNG", "a/b/c"]
        {
            assert!(!is_type(kind), "{kind:?}");
        }
    }

    #[test]
    fn an_allow_list_names_types_or_whole_kinds() {
        let list = ["image/png".to_owned(), "audio/*".to_owned()];
        assert!(is_allowed(&list, "image/png") && is_allowed(&list, "audio/flac"));
        assert!(!is_allowed(&list, "image/pngx") && !is_allowed(&list, "audiox/flac"));
        assert!(!is_allowed(&["*".to_owned()], "text/html"), "everything has to be named");
    }
}
