//! Claims about the writing state machine, with a driver in the test's hands.

use super::*;
use crate::record::RecordKind;

fn journal(config: Config) -> Journal {
    let mut salt = 0;
    let salts = move || {
        salt += 1;
        Salt([salt; 16])
    };
    Journal::new(config, 1, 0, Index::default(), Box::new(salts))
}

fn small() -> Config {
    Config { segment_bytes: 2048, batch_bytes: 600, pending_bytes: 4000 }
}

/// Large enough that no segment is wanted ahead at first.
fn roomy() -> Config {
    Config { segment_bytes: 16 << 10, ..small() }
}

fn append(journal: &mut Journal, sequence: u64, payload: &[u8]) -> Result<EntryNumber, AppendError> {
    journal.append(&Record { kind: RecordKind(1), conversation: [1; 16], sequence, time_ms: 0, payload })
}

/// The next operation, which must be a write: where and how much.
fn write(journal: &mut Journal) -> (SegmentId, u64, Bytes) {
    match journal.poll() {
        Some(JournalOp::Write { segment, offset, data }) => (segment, offset, data),
        other => panic!("{other:?}"),
    }
}

/// Creates the next segment and writes its header.
fn prepare(journal: &mut Journal) -> SegmentId {
    let Some(JournalOp::Create { segment, bytes }) = journal.poll() else { panic!("a segment is wanted") };
    assert_eq!(bytes, u64::from(journal.config.segment_bytes));
    journal.on_created(segment, Ok(()));
    let (written, offset, data) = write(journal);
    assert_eq!((written, offset, data.len()), (segment, 0, header::DATA_OFFSET as usize));
    journal.on_written(segment, Ok(()));
    segment
}

fn failed() -> io::Result<()> {
    Err(io::Error::other("planted"))
}

#[test]
fn nothing_is_durable_before_its_write_is_reported() {
    let mut journal = journal(roomy());
    let first = append(&mut journal, 1, b"a").unwrap();
    let segment = prepare(&mut journal);
    assert_eq!(journal.positions().synced, EntryNumber(0), "a header makes no entry durable");
    let (_, offset, _) = write(&mut journal);
    assert_eq!(offset, u64::from(header::DATA_OFFSET));
    assert_eq!(journal.positions(), Positions { appended: first, written: first, synced: EntryNumber(0) });
    assert_eq!(journal.on_written(segment, Ok(())), first);
    assert_eq!(journal.pending_bytes(), 0);
}

#[test]
fn a_batch_waits_for_its_segment_and_the_header() {
    let mut journal = journal(roomy());
    append(&mut journal, 1, b"a").unwrap();
    let Some(JournalOp::Create { segment, .. }) = journal.poll() else { panic!() };
    assert!(journal.poll().is_none(), "not created");
    journal.on_created(segment, Ok(()));
    let (_, offset, _) = write(&mut journal);
    assert_eq!(offset, 0);
    assert!(journal.poll().is_none(), "the header is not synced");
    journal.on_written(segment, Ok(()));
    let (_, offset, _) = write(&mut journal);
    assert_eq!(offset, u64::from(header::DATA_OFFSET));
}

#[test]
fn two_records_that_belong_together_are_never_parted() {
    let mut journal = journal(roomy());
    let segment = prepare(&mut journal);
    let record = |kind, payload| Record {
        kind: RecordKind(kind),
        conversation: [kind; 16],
        sequence: 1,
        time_ms: 0,
        payload,
    };
    // The first would fit the open batch, but not both.
    append(&mut journal, 1, &[0; 300]).unwrap();
    let last = journal.append_both(&record(2, &[0; 150]), &record(3, &[0; 150])).unwrap();
    assert_eq!(last, EntryNumber(3));
    let mut synced = Vec::new();
    while let Some(JournalOp::Write { data, .. }) = journal.poll() {
        drop(data);
        synced.push(journal.on_written(segment, Ok(())));
    }
    assert_eq!(synced, [EntryNumber(1), EntryNumber(3)]);
    let max = journal.payload_bytes_max() - record_format::HEADER_BYTES;
    let too_much = vec![0; max];
    let refused = journal.append_both(&record(2, &too_much), &record(3, &[0; 1]));
    assert!(matches!(refused, Err(AppendError::TooLarge { bytes, .. }) if bytes == max + 1));
    assert!(journal.append_both(&record(2, &too_much), &record(3, &[])).is_ok());
}

#[test]
fn one_write_is_in_flight_and_later_entries_share_the_next() {
    let mut journal = journal(roomy());
    let segment = prepare(&mut journal);
    append(&mut journal, 1, b"a").unwrap();
    let (_, first, data) = write(&mut journal);
    for sequence in 2..5 {
        append(&mut journal, sequence, b"b").unwrap();
        assert!(journal.poll().is_none(), "one is in flight");
    }
    let end = first + data.len() as u64;
    drop(data);
    assert_eq!(journal.on_written(segment, Ok(())), EntryNumber(1));
    let (_, offset, data) = write(&mut journal);
    assert_eq!(offset, end);
    assert_eq!(data.len(), batch_format::HEADER_BYTES + 3 * record_format::encoded_bytes(1));
    drop(data);
    assert_eq!(journal.on_written(segment, Ok(())), EntryNumber(4));
}

#[test]
fn a_failed_write_ends_it_for_good() {
    let mut journal = journal(roomy());
    let segment = prepare(&mut journal);
    append(&mut journal, 1, b"a").unwrap();
    drop(write(&mut journal));
    journal.on_written(segment, Ok(()));
    append(&mut journal, 2, b"b").unwrap();
    drop(write(&mut journal));
    append(&mut journal, 3, b"c").unwrap();
    assert_eq!(journal.on_written(segment, failed()), EntryNumber(1));
    assert!(
        journal
            .failure()
            .is_some_and(|why| why.contains("planted") && why.contains("00000001-0000-00000000"))
    );
    assert!(journal.poll().is_none() && journal.is_full());
    assert!(matches!(append(&mut journal, 4, b"d"), Err(AppendError::Failed(_))));
    assert_eq!(journal.on_written(segment, Ok(())), EntryNumber(1), "nothing is believed any more");
}

#[test]
fn a_failed_header_ends_it_too() {
    let mut journal = journal(small());
    let Some(JournalOp::Create { segment, .. }) = journal.poll() else { panic!() };
    journal.on_created(segment, Ok(()));
    drop(write(&mut journal));
    journal.on_written(segment, failed());
    assert!(journal.failure().is_some());
}

/// Appends until it fails or `sequences` are durable; the `allowed`th attempt to create the second segment
/// succeeds. Returns how many attempts there were, and how many entries are durable.
fn fill_with_a_full_disk(journal: &mut Journal, allowed: u32, sequences: u64) -> (u32, u64) {
    let first = prepare(journal);
    let (mut sequence, mut attempts) = (0, 0);
    while journal.failure().is_none() && sequence < sequences {
        sequence += 1;
        append(journal, sequence, &[0; 300]).unwrap();
        while let Some(op) = journal.poll() {
            match op {
                JournalOp::Create { segment, .. } if segment == first.next() => {
                    attempts += 1;
                    journal.on_created(segment, if attempts >= allowed { Ok(()) } else { failed() });
                }
                JournalOp::Create { segment, .. } => journal.on_created(segment, Ok(())),
                JournalOp::Write { segment, .. } => {
                    journal.on_written(segment, Ok(()));
                }
                JournalOp::Seal(_) => {}
            }
        }
    }
    (attempts, journal.positions().synced.0)
}

#[test]
fn a_segment_that_cannot_be_created_hurts_only_when_it_is_needed() {
    let mut journal = journal(roomy());
    let (attempts, durable) = fill_with_a_full_disk(&mut journal, u32::MAX, 1000);
    assert!(journal.failure().is_some_and(|why| why.contains("cannot create")));
    assert!((6..=8).contains(&attempts), "with every eighth, and when it was needed: {attempts}");
    assert!(durable > 35, "the first segment was filled: {durable}");
    assert_eq!(journal.positions().appended.0, durable + 1);
}

#[test]
fn a_disk_that_has_room_again_is_used_again() {
    for allowed in 2..=6 {
        let mut journal = journal(roomy());
        let (attempts, durable) = fill_with_a_full_disk(&mut journal, allowed, 200);
        assert_eq!((attempts, durable, journal.failure()), (allowed, 200, None));
    }
}

#[test]
fn a_batch_never_straddles_segments_and_a_full_segment_is_sealed_once_synced() {
    let mut journal = journal(small());
    let first = prepare(&mut journal);
    let mut ends = Vec::new();
    for sequence in 1..=12 {
        append(&mut journal, sequence, &[0; 200]).unwrap();
        while let Some(op) = journal.poll() {
            match op {
                JournalOp::Create { segment, .. } => journal.on_created(segment, Ok(())),
                JournalOp::Write { segment, offset, data } => {
                    assert!(offset + data.len() as u64 <= 2048);
                    ends.push((segment, offset));
                    drop(data);
                    journal.on_written(segment, Ok(()));
                }
                JournalOp::Seal(seal) => {
                    assert_eq!(seal.segment(), first, "asked for once");
                    assert!(seal.bytes() <= 2048);
                    assert_eq!(
                        ends.last().unwrap().0,
                        first,
                        "everything in it is synced, nothing later written"
                    );
                    return;
                }
            }
        }
    }
    panic!("it never rolled");
}

#[test]
fn a_failed_seal_is_asked_for_again_after_the_next_roll() {
    let mut journal = journal(small());
    let mut seals = Vec::new();
    for sequence in 1..=30 {
        append(&mut journal, sequence, &[0; 200]).unwrap();
        while let Some(op) = journal.poll() {
            match op {
                JournalOp::Create { segment, .. } => journal.on_created(segment, Ok(())),
                JournalOp::Write { segment, data, .. } => {
                    drop(data);
                    journal.on_written(segment, Ok(()));
                }
                JournalOp::Seal(seal) => {
                    let segment = seal.segment();
                    seals.push(segment.index);
                    drop(seal);
                    journal.on_sealed(segment, if seals.len() == 1 { failed() } else { Ok(()) });
                }
            }
        }
    }
    assert_eq!(seals[..4], [0, 0, 1, 2]);
    assert!(journal.failure().is_none());
}

#[test]
fn a_disk_that_never_seals_is_a_failed_disk() {
    let mut journal = journal(small());
    for sequence in 1..=1000 {
        if append(&mut journal, sequence, &[0; 200]).is_err() {
            break;
        }
        while let Some(op) = journal.poll() {
            match op {
                JournalOp::Create { segment, .. } => journal.on_created(segment, Ok(())),
                JournalOp::Write { segment, .. } => {
                    journal.on_written(segment, Ok(()));
                }
                JournalOp::Seal(seal) => journal.on_sealed(seal.segment(), failed()),
            }
        }
    }
    assert!(journal.failure().is_some_and(|why| why.contains("cannot seal")));
}

#[test]
fn publishers_are_told_before_the_journal_refuses() {
    let mut journal = journal(small());
    let mut sequence = 0;
    let mut told = None;
    let refused = loop {
        sequence += 1;
        match append(&mut journal, sequence, &[0; 100]) {
            Ok(_) if told.is_none() && journal.is_full() => told = Some(journal.pending_bytes()),
            Ok(_) => {}
            Err(AppendError::Full { pending }) => break pending,
            Err(error) => panic!("{error}"),
        }
    };
    assert!((4000..4400).contains(&told.unwrap()) && (8000..8400).contains(&refused), "{told:?} {refused}");
    // Everything that was taken becomes durable, through several segments.
    let appended = journal.positions().appended;
    while let Some(op) = journal.poll() {
        match op {
            JournalOp::Create { segment, .. } => journal.on_created(segment, Ok(())),
            JournalOp::Write { segment, .. } => {
                journal.on_written(segment, Ok(()));
            }
            JournalOp::Seal(seal) => journal.on_sealed(seal.segment(), Ok(())),
        }
    }
    assert_eq!(journal.positions().synced, appended);
    assert!(!journal.is_full());
}

#[test]
fn a_record_that_can_never_fit_is_refused_and_the_largest_is_not() {
    let mut journal = journal(small());
    let max = journal.payload_bytes_max();
    assert_eq!(
        append(&mut journal, 1, &vec![0; max + 1]),
        Err(AppendError::TooLarge { bytes: max + 1, max })
    );
    append(&mut journal, 1, &vec![0; max]).unwrap();
    let segment = prepare(&mut journal);
    let (_, offset, data) = write_after_create(&mut journal);
    assert_eq!(offset + data.len() as u64, 2048, "it fills the segment, though it is larger than a batch");
    drop(data);
    assert_eq!(journal.on_written(segment, Ok(())), EntryNumber(1));
}

/// The next write, past the wish for a segment ahead.
fn write_after_create(journal: &mut Journal) -> (SegmentId, u64, Bytes) {
    loop {
        match journal.poll() {
            Some(JournalOp::Create { .. }) => {}
            Some(JournalOp::Write { segment, offset, data }) => return (segment, offset, data),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_stop_writes_what_it_has_and_seals() {
    let mut journal = journal(roomy());
    let segment = prepare(&mut journal);
    append(&mut journal, 1, b"a").unwrap();
    journal.stop();
    assert_eq!(append(&mut journal, 2, b"b"), Err(AppendError::Stopped));
    assert!(!journal.is_stopped());
    drop(write(&mut journal));
    assert_eq!(journal.on_written(segment, Ok(())), EntryNumber(1));
    let Some(JournalOp::Seal(seal)) = journal.poll() else { panic!("sealed") };
    assert!(!journal.is_stopped());
    journal.on_sealed(seal.segment(), Ok(()));
    assert!(journal.is_stopped());
}

#[test]
fn a_stop_at_once_leaves_nothing_to_wait_for() {
    let mut journal = journal(small());
    let Some(JournalOp::Create { segment, .. }) = journal.poll() else { panic!() };
    journal.stop();
    assert!(journal.is_stopped());
    journal.on_created(segment, Ok(()));
    assert!(journal.poll().is_none());
}

#[test]
fn a_batch_buffer_is_used_again() {
    let mut journal = journal(Config::default());
    let segment = prepare(&mut journal);
    let mut buffers = std::collections::BTreeSet::new();
    for sequence in 1..=50 {
        append(&mut journal, sequence, &[0; 100]).unwrap();
        let (.., data) = write(&mut journal);
        buffers.insert(data.as_ptr() as usize);
        drop(data);
        journal.on_written(segment, Ok(()));
    }
    assert!(buffers.len() <= 2, "{} buffers", buffers.len());
}
