//! What a process holds, out of `/proc/PID`.

use crate::fault::{Fault, Result};

/// Resident memory of a process, by what it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resident {
    /// Everything (`VmRSS`), bytes.
    pub total: u64,
    /// The mapping of shared receive buffers, bytes.
    pub receive_buffers: u64,
    /// Memory shared with io_uring, bytes.
    pub rings: u64,
    /// The allocator's and all other anonymous memory, bytes.
    pub heap: u64,
    /// Files: the program itself and its libraries, bytes.
    pub files: u64,
}

/// Resident memory of a process (`VmRSS`), bytes.
///
/// # Errors
/// Where the process is gone.
pub fn total(pid: u32) -> Result<u64> {
    let status = read(pid, "status")?;
    let found = status.lines().find_map(|line| kib(line, "VmRSS:"));
    found.ok_or_else(|| Fault::Server("it has no VmRSS: it is ending".to_owned()))
}

fn read(pid: u32, name: &str) -> Result<String> {
    std::fs::read_to_string(format!("/proc/{pid}/{name}"))
        .map_err(|error| Fault::Server(format!("its /proc/{pid}/{name} cannot be read: {error}")))
}

/// Resident memory by what it is. `receive_buffers` is the size of one shard's receive-buffer mapping, by
/// which it is known; 0: there is none.
///
/// # Errors
/// Where the process is gone.
pub fn resident(pid: u32, receive_buffers: u64) -> Result<Resident> {
    Ok(Resident { total: total(pid)?, ..by_mapping(&read(pid, "smaps")?, receive_buffers) })
}

fn kib(line: &str, key: &str) -> Option<u64> {
    let number = line.strip_prefix(key)?.trim().strip_suffix("kB")?.trim();
    number.parse::<u64>().ok().map(|kib| kib * 1024)
}

fn by_mapping(smaps: &str, receive_buffers: u64) -> Resident {
    let mut resident = Resident::default();
    let (mut bytes, mut name) = (0, "");
    for line in smaps.lines() {
        if let Some(rss) = kib(line, "Rss:") {
            let part = match name {
                _ if name.contains("io_uring") => &mut resident.rings,
                _ if name.starts_with('/') => &mut resident.files,
                "" if is_receive_buffers(bytes, receive_buffers) => &mut resident.receive_buffers,
                _ => &mut resident.heap,
            };
            *part += rss;
        } else if let Some(mapping) = header(line) {
            (bytes, name) = mapping;
        }
    }
    resident
}

/// Whether an anonymous mapping of this size is one shard's receive buffers, or those of several shards which
/// the kernel shows as one mapping, with the descriptions of the buffers between them.
fn is_receive_buffers(bytes: u64, of_one: u64) -> bool {
    const BETWEEN: u64 = 64 * 1024;
    of_one > 0 && (1..=64).any(|shards| (shards * of_one..=shards * (of_one + BETWEEN)).contains(&bytes))
}

/// `START-END rwxp OFFSET DEVICE INODE NAME`: the size and the name.
fn header(line: &str) -> Option<(u64, &str)> {
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let bytes = u64::from_str_radix(end, 16).ok()? - u64::from_str_radix(start, 16).ok()?;
    Some((bytes, fields.nth(4).unwrap_or("")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_are_told_apart() {
        let smaps = "\
7f0000000000-7f0000400000 rw-p 00000000 00:00 0 \nSize: 4096 kB\nRss:  1024 kB\n\
7f0000400000-7f0000500000 rw-p 00000000 00:00 0 \nRss:  10 kB\n\
7f0000600000-7f0000700000 rw-s 00000000 00:10 77 anon_inode:[io_uring]\nRss:  3 kB\n\
55d000000000-55d000100000 r-xp 00000000 fe:00 12 /usr/bin/ringwire\nRss:  7 kB\n\
55d000100000-55d000200000 rw-p 00000000 00:00 0 [heap]\nRss:  5 kB\n";
        let resident = by_mapping(smaps, 4 << 20);
        assert_eq!(resident.receive_buffers, 1024 << 10);
        assert_eq!((resident.heap, resident.rings, resident.files), (15 << 10, 3 << 10, 7 << 10));
    }

    #[test]
    fn the_own_process_can_be_read() {
        let resident = resident(std::process::id(), 0).expect("it runs");
        assert!(resident.total > 100 << 10 && resident.heap > 0 && resident.files > 0);
    }
}
