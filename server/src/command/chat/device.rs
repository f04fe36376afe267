//! Which device this terminal is.
//!
//! On a terminal, the device of (server, name) is kept in a file, so that a chat that is started again is the same device
//! and the server need not remember a new one for every start. Two chats under the same name at the same time must not be the
//! same device: the file is locked while it is used, and the next one takes the next file. A script is a new device each time
//! unless it is told otherwise, for nothing ties its runs together.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use ringwire_client::{ConversationId, DeviceId};

/// Chats under the same name at the same time that keep their device; a further one is a new device.
const SLOTS: usize = 8;

/// A device, locked as long as this lives if it is one that is kept.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) id: DeviceId,
    _lock: Option<File>,
}

impl Device {
    /// The device that was asked for: its 32 digits, or any other text, which is hashed.
    pub(super) fn named(text: &str) -> Self {
        Self { id: text.parse().unwrap_or_else(|_| DeviceId::from_name(text)), _lock: None }
    }

    /// A device that was never there before.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { id: random()?, _lock: None })
    }

    /// The device that this user is at this server, kept below `state`. Falls back to a new one where nothing can be kept: a
    /// chat is possible all the same.
    pub(super) fn kept(state: &Path, url: &str, name: &str) -> io::Result<Self> {
        let folder = state.join("ringwire").join("devices");
        // Any hash would do for a file name; this one is at hand.
        let user = ConversationId::from_name(&format!("{url}\n{name}"));
        for slot in 0..SLOTS {
            match take(&folder, &format!("{user}-{slot}")) {
                Ok(Some(device)) => return Ok(device),
                Ok(None) => {}
                Err(_) => break,
            }
        }
        Self::new()
    }
}

/// The folder for state that outlives a start, by the XDG base directory rules.
pub(super) fn state_folder(xdg_state_home: Option<PathBuf>, home: Option<PathBuf>) -> Option<PathBuf> {
    // A relative path in the variable is to be ignored, say the rules.
    xdg_state_home.filter(|path| path.is_absolute()).or_else(|| Some(home?.join(".local/state")))
}

/// Opens and locks the file; `None` if another chat has it.
#[expect(clippy::disallowed_methods, reason = "the client's own file, in the user's own folder")]
fn take(folder: &Path, name: &str) -> io::Result<Option<Device>> {
    fs::create_dir_all(folder)?;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(folder.join(name))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => return Ok(None),
        Err(fs::TryLockError::Error(error)) => return Err(error),
    }
    let mut text = String::new();
    // What is no device id is replaced by one.
    let _ = (&mut file).take(64).read_to_string(&mut text);
    if let Ok(id) = text.trim().parse() {
        return Ok(Some(Device { id, _lock: Some(file) }));
    }
    let id = random()?;
    file.rewind()?;
    file.set_len(0)?;
    writeln!(file, "{id}")?;
    Ok(Some(Device { id, _lock: Some(file) }))
}

#[expect(clippy::disallowed_methods, reason = "a device id is made where the client is, and nowhere else")]
fn random() -> io::Result<DeviceId> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(format!("no randomness: {error}")))?;
    Ok(DeviceId::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_kept_per_server_and_name() {
        let folder = tempfile::tempdir().unwrap();
        let device = |url: &str, name: &str| Device::kept(folder.path(), url, name).unwrap().id;
        let first = device("ws://a", "ada");
        assert_eq!(device("ws://a", "ada"), first);
        assert_ne!(device("ws://b", "ada"), first);
        assert_ne!(device("ws://a", "bob"), first);
    }

    #[test]
    fn two_at_the_same_time_are_two_devices_and_both_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let kept = || Device::kept(folder.path(), "ws://a", "ada").unwrap();
        let ids = {
            let (first, second) = (kept(), kept());
            assert_ne!(first.id, second.id);
            (first.id, second.id)
        };
        let (first, second) = (kept(), kept());
        assert_eq!((first.id, second.id), ids);
        let crowd: Vec<Device> = (0..SLOTS).map(|_| kept()).collect();
        assert!(crowd.iter().all(|device| device.id != first.id && device.id != second.id));
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test breaks a file by hand")]
    fn a_damaged_file_becomes_a_device_again() {
        let folder = tempfile::tempdir().unwrap();
        let first = Device::kept(folder.path(), "ws://a", "ada").unwrap().id;
        let files = folder.path().join("ringwire/devices");
        let file = fs::read_dir(files).unwrap().next().unwrap().unwrap().path();
        fs::write(&file, b"\xff\xfe nonsense").unwrap();
        let second = Device::kept(folder.path(), "ws://a", "ada").unwrap().id;
        assert_ne!(first, second);
        assert_eq!(Device::kept(folder.path(), "ws://a", "ada").unwrap().id, second);
    }

    #[test]
    fn without_a_folder_it_is_a_new_device() {
        let nowhere = Path::new("/dev/null/state");
        let ids = [0, 1].map(|_| Device::kept(nowhere, "ws://a", "ada").unwrap().id);
        assert_ne!(ids[0], ids[1]);
    }

    #[test]
    fn a_device_may_be_named_by_its_digits_or_by_any_text() {
        let id = DeviceId::from_name("x");
        assert_eq!(Device::named(&id.to_string()).id, id);
        assert_eq!(Device::named("laptop").id, DeviceId::from_name("laptop"));
    }

    #[test]
    fn the_state_folder_follows_the_rules() {
        let path = |text: &str| Some(PathBuf::from(text));
        assert_eq!(state_folder(path("/s"), path("/h")), path("/s"));
        assert_eq!(state_folder(path("s"), path("/h")), path("/h/.local/state"));
        assert_eq!(state_folder(None, path("/h")), path("/h/.local/state"));
        assert_eq!(state_folder(None, None), None);
    }
}
