//! The bare loop: one write and one fdatasync for each batch, of as many bytes as our journal writes, into
//! preallocated files as long as its segments.

use std::os::unix::fs::FileExt as _;

use ringwire_store::Config;

use super::preallocate;
use super::work::{Work, measure};

/// What our journal writes around a batch, and around each record in it.
const BATCH_BYTES: usize = 48;
const RECORD_BYTES: usize = 40;

pub(super) fn run(work: &Work) -> Result<String, String> {
    let data = vec![0x5a; BATCH_BYTES + work.batch * (RECORD_BYTES + work.body_bytes)];
    let size = u64::from(Config::default().segment_bytes);
    let open = |number: u32| {
        preallocate(&work.folder.join(number.to_string()), size).map_err(|error| error.to_string())
    };
    let (mut number, mut offset) = (0, 0);
    let mut file = open(number)?;
    measure(work, |_, _| {
        if offset + data.len() as u64 > size {
            number += 1;
            file = open(number)?;
            offset = 0;
        }
        let done = file.write_all_at(&data, offset).and_then(|()| file.sync_data());
        offset += data.len() as u64;
        done.map_err(|error| error.to_string())
    })
}
