//! Files: `/send` and `/save`, the same on a terminal and in a script.

use std::path::Path;

use ringwire_client::media::{Media, Progress};
use ringwire_client::{Direction, Error, Kind, Publisher, Timeline};

/// Steps in which progress is told: a quarter each.
const STEPS: u64 = 4;

/// Types by the endings of names; everything else is bytes.
const TYPES: [(&str, &str); 18] = [
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("png", "image/png"),
    ("gif", "image/gif"),
    ("webp", "image/webp"),
    ("avif", "image/avif"),
    ("mp4", "video/mp4"),
    ("webm", "video/webm"),
    ("mov", "video/quicktime"),
    ("mp3", "audio/mpeg"),
    ("m4a", "audio/mp4"),
    ("ogg", "audio/ogg"),
    ("opus", "audio/ogg"),
    ("wav", "audio/wav"),
    ("pdf", "application/pdf"),
    ("zip", "application/zip"),
    ("txt", "text/plain"),
    ("log", "text/plain"),
];

fn kind_of(path: &Path) -> &'static str {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or("").to_ascii_lowercase();
    TYPES.iter().find(|(known, _)| *known == ending).map_or("application/octet-stream", |(_, kind)| kind)
}

/// Uploads a file and says so in the room. What is under way is told to `say`.
///
/// # Errors
/// The file, the server or the network.
pub(super) async fn send(
    media: &Media,
    room: &Publisher,
    path: &Path,
    say: impl Fn(String),
) -> Result<String, Error> {
    let mut upload = media.upload(room.id(), path, kind_of(path)).await?;
    let attachment = upload.finish(told(&path.display().to_string(), say)).await?;
    let published = room.publish(attachment.draft()).await?;
    Ok(format!("{} is sent, as message {}", path.display(), published.sequence))
}

/// Saves the file that a message refers to, under its own name here or as `path`.
///
/// # Errors
/// There is no such message or no file in it; the disk, the server or the network.
pub(super) async fn save(
    media: &Media,
    room: &Publisher,
    sequence: u64,
    path: Option<&Path>,
    say: impl Fn(String),
) -> Result<String, Error> {
    let history = room.current(sequence, 1, Direction::Forward).await?;
    let mut timeline = Timeline::new();
    timeline.apply_history(&history);
    let entry = timeline.get(sequence);
    let is_media = entry.and_then(|entry| entry.message()).is_some_and(|message| message.kind == Kind::Media);
    let content = entry.filter(|_| is_media).and_then(|entry| entry.content());
    let attachment = content.and_then(|content| ringwire_client::media::Attachment::from_body(&content.body));
    let Some(attachment) = attachment else {
        return Err(Error::Invalid(format!("message {sequence} has no file")));
    };
    // Its name was chosen by somebody else.
    let name = attachment.file_name();
    let path = path.unwrap_or_else(|| Path::new(&name));
    media.download(room.id(), attachment.media, path, told(&name, say)).await?;
    Ok(format!("saved as {}", path.display()))
}

/// Tells progress in steps; what is done in one is not told at all.
fn told(what: &str, say: impl Fn(String)) -> impl FnMut(Progress) {
    let mut step = 0;
    move |Progress { bytes, of }| {
        let now = bytes.saturating_mul(STEPS).checked_div(of).unwrap_or(STEPS);
        if now > step && now < STEPS {
            say(format!("{what}: {} % of {}", now * 100 / STEPS, size(of)));
        }
        step = step.max(now);
    }
}

/// A length as people read it.
pub(super) fn size(bytes: u64) -> String {
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    match units.iter().find(|(_, shift)| bytes >> shift > 0) {
        Some((unit, shift)) => format!("{:.1} {unit}", bytes as f64 / (1u64 << shift) as f64),
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_written_for_people() {
        for (bytes, expected) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1536, "1.5 KiB"),
            (5 << 20, "5.0 MiB"),
            (3 << 30, "3.0 GiB"),
        ] {
            assert_eq!(size(bytes), expected);
        }
    }

    #[test]
    fn types_go_by_the_ending() {
        for (name, kind) in [
            ("a/b.PNG", "image/png"),
            ("x.tar.gz", "application/octet-stream"),
            ("y", "application/octet-stream"),
        ] {
            assert_eq!(kind_of(Path::new(name)), kind);
        }
    }

    #[test]
    fn progress_is_told_in_steps() {
        let lines = std::cell::RefCell::new(Vec::new());
        let mut tell = told("x", |line| lines.borrow_mut().push(line));
        for bytes in [0, 10, 30, 31, 80, 100] {
            tell(Progress { bytes, of: 100 });
        }
        assert_eq!(*lines.borrow(), ["x: 25 % of 100 bytes", "x: 75 % of 100 bytes"]);
    }
}
