//! Files: created, written, synced, read, and jobs beside them.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use ringwire_driver::{FileId, Job, Kind, Operation};

use crate::harness::{Event, World, claims};

claims! {
    what_was_synced_is_in_the_file,
    writes_of_one_file_follow_each_other,
    a_write_to_a_file_that_is_not_writable_fails,
    a_file_that_is_not_open_answers_with_an_error,
    a_created_file_has_its_space_and_must_be_new,
    a_file_that_cannot_be_created_says_why_and_leaves_nothing,
    a_read_ends_at_the_end_of_the_file,
    many_reads_each_bring_their_own,
    a_file_may_be_closed_while_it_is_written_and_its_number_used_again,
    jobs_run_in_order_and_a_panic_is_a_failure,
    a_long_job_holds_up_no_file,
    dropping_the_driver_waits_for_a_write_in_flight,
}

const FILE: FileId = FileId(7);

fn create(world: &mut World, file: FileId, path: &Path, bytes: u64) -> std::io::Result<()> {
    world.ask(Operation::CreateFile { file, path: path.to_owned(), bytes });
    ready(world, file)
}

fn open(world: &mut World, file: FileId, path: &Path) -> std::io::Result<()> {
    world.ask(Operation::OpenFile { file, path: path.to_owned() });
    ready(world, file)
}

fn take<T>(result: &mut std::io::Result<T>) -> std::io::Result<T> {
    std::mem::replace(result, Err(ErrorKind::Other.into()))
}

fn ready(world: &mut World, file: FileId) -> std::io::Result<()> {
    world.expect("FileReady", |event| match event {
        Event::FileReady(which, result) if *which == file => Some(take(result)),
        _ => None,
    })
}

fn synced(world: &mut World, file: FileId) -> std::io::Result<()> {
    world.expect("Synced", |event| match event {
        Event::Synced(which, result) if *which == file => Some(take(result)),
        _ => None,
    })
}

fn write(world: &mut World, offset: u64, data: impl Into<Bytes>) -> std::io::Result<()> {
    world.ask(Operation::WriteSync { file: FILE, offset, data: data.into() });
    synced(world, FILE)
}

fn read(world: &mut World, tag: u64) -> std::io::Result<Bytes> {
    world.expect("ReadDone", |event| match event {
        Event::ReadDone(which, result) if *which == tag => Some(take(result)),
        _ => None,
    })
}

fn done(world: &mut World, tag: u64) -> std::io::Result<()> {
    world.expect("JobDone", |event| match event {
        Event::JobDone(which, result) if *which == tag => Some(take(result)),
        _ => None,
    })
}

fn job(tag: u64, work: impl FnOnce() -> std::io::Result<()> + Send + 'static) -> Operation {
    Operation::Job(Job { tag, work: Box::new(work) })
}

fn what_was_synced_is_in_the_file(kind: Kind) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("segment");
    let mut world = World::new(kind, |_| ());
    create(&mut world, FILE, &path, 0).unwrap();
    let large: Vec<u8> = (0..3 << 20).map(|i: u32| (i ^ (i >> 8)) as u8).collect();
    write(&mut world, 0, &b"head"[..]).unwrap();
    write(&mut world, 4, large.clone()).unwrap();
    write(&mut world, 2, &b"AD"[..]).unwrap();
    write(&mut world, 0, Bytes::new()).unwrap();
    let found = std::fs::read(&path).unwrap();
    assert_eq!(&found[..4], b"heAD");
    assert!(found[4..] == large);
}

fn writes_of_one_file_follow_each_other(kind: Kind) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("segment");
    let mut world = World::new(kind, |_| ());
    create(&mut world, FILE, &path, 4_096).unwrap();
    for round in 0..50u64 {
        write(&mut world, round * 8, round.to_le_bytes().to_vec()).unwrap();
        let found = std::fs::read(&path).unwrap();
        assert_eq!(
            found[round as usize * 8..][..8],
            round.to_le_bytes(),
            "in the file when it is said to be"
        );
    }
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 4_096, "a write inside changes no length");
}

fn a_write_to_a_file_that_is_not_writable_fails(kind: Kind) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sealed");
    std::fs::write(&path, "sealed").unwrap();
    let mut world = World::new(kind, |_| ());
    open(&mut world, FILE, &path).unwrap();
    let error = write(&mut world, 0, &b"XXXX"[..]).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(9 /* EBADF */), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), b"sealed");
    world.ask(Operation::CloseFile { file: FILE });

    // A device that cannot be synced.
    open(&mut world, FILE, Path::new("/dev/null")).unwrap();
    write(&mut world, 0, &b"x"[..]).unwrap_err();
    world.ask(Operation::CloseFile { file: FILE });

    // Offsets that no file has, among them the one that means another thing to the ring.
    create(&mut world, FILE, &folder.path().join("new"), 0).unwrap();
    for offset in [u64::MAX, u64::MAX - 1, i64::MAX as u64] {
        assert_eq!(write(&mut world, offset, &b"x"[..]).unwrap_err().kind(), ErrorKind::InvalidInput);
        world.ask(Operation::Read { file: FILE, offset, bytes: 1, tag: offset });
        assert_eq!(read(&mut world, offset).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    assert_eq!(std::fs::metadata(folder.path().join("new")).unwrap().len(), 0);
}

fn a_file_that_is_not_open_answers_with_an_error(kind: Kind) {
    let mut world = World::new(kind, |_| ());
    write(&mut world, 0, &b"x"[..]).unwrap_err();
    world.ask(Operation::Read { file: FILE, offset: 0, bytes: 1, tag: 3 });
    let error = read(&mut world, 3).unwrap_err();
    assert!(error.to_string().contains("not open"), "{error}");
    assert_eq!(open(&mut world, FILE, Path::new("/nowhere/at/all")).unwrap_err().kind(), ErrorKind::NotFound);
    write(&mut world, 0, &b"x"[..]).unwrap_err();
    world.ask(Operation::CloseFile { file: FILE });
}

fn a_created_file_has_its_space_and_must_be_new(kind: Kind) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("segment");
    let mut world = World::new(kind, |_| ());
    create(&mut world, FILE, &path, 1 << 20).unwrap();
    let metadata = std::fs::metadata(&path).unwrap();
    assert_eq!(metadata.len(), 1 << 20);
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o077, 0, "private");
    let again = create(&mut world, FileId(8), &path, 10).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::AlreadyExists);
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 1 << 20, "the first one is untouched");
    write(&mut world, 0, &b"and open"[..]).unwrap();
}

fn a_file_that_cannot_be_created_says_why_and_leaves_nothing(kind: Kind) {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::new(kind, |_| ());
    // More than any disk has.
    let path = folder.path().join("huge");
    let error = create(&mut world, FILE, &path, 1 << 60).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::FileTooLarge), "{error}");
    assert!(!path.exists());
    // No folder, and a folder that is none.
    let error = create(&mut world, FILE, &folder.path().join("no/folder"), 0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    std::fs::write(folder.path().join("file"), "").unwrap();
    let error = create(&mut world, FILE, &folder.path().join("file/below"), 0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotADirectory);
    create(&mut world, FILE, &folder.path().join("fine"), 10).unwrap();
}

fn a_read_ends_at_the_end_of_the_file(kind: Kind) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("segment");
    let content: Vec<u8> = (0..200_000u32).map(|i| (i % 251) as u8).collect();
    std::fs::write(&path, &content).unwrap();
    let mut world = World::new(kind, |_| ());
    open(&mut world, FILE, &path).unwrap();
    let cases = [
        (0, 200_000),
        (0, 1),
        (199_999, 1),
        (199_990, 100),
        (0, 1_000_000),
        (200_000, 10),
        (1 << 40, 5),
        (7, 0),
    ];
    for (tag, (offset, bytes)) in cases.into_iter().enumerate() {
        world.ask(Operation::Read { file: FILE, offset, bytes, tag: tag as u64 });
        let found = read(&mut world, tag as u64).unwrap();
        let from = content.len().min(offset as usize);
        let to = content.len().min(from + bytes as usize);
        assert!(found == content[from..to], "{bytes} bytes at {offset}");
    }
}

fn many_reads_each_bring_their_own(kind: Kind) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("segment");
    let content: Vec<u8> = (0..100 * 1_000u32).map(|i| (i / 1_000) as u8).collect();
    std::fs::write(&path, &content).unwrap();
    let mut world = World::new(kind, |_| ());
    open(&mut world, FILE, &path).unwrap();
    for tag in 0..100 {
        world.operations.push(Operation::Read { file: FILE, offset: tag * 1_000, bytes: 1_000, tag });
    }
    world.submit();
    for tag in (0..100).rev() {
        assert_eq!(read(&mut world, tag).unwrap(), [tag as u8; 1_000][..]);
    }
}

fn a_file_may_be_closed_while_it_is_written_and_its_number_used_again(kind: Kind) {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    let mut world = World::new(kind, |_| ());
    create(&mut world, FILE, &first, 0).unwrap();
    world.operations.push(Operation::WriteSync { file: FILE, offset: 0, data: Bytes::from_static(b"old") });
    world.operations.push(Operation::CloseFile { file: FILE });
    world.operations.push(Operation::CreateFile { file: FILE, path: second.clone(), bytes: 0 });
    world.submit();
    synced(&mut world, FILE).unwrap();
    ready(&mut world, FILE).unwrap();
    write(&mut world, 0, &b"new"[..]).unwrap();
    assert_eq!(std::fs::read(&first).unwrap(), b"old");
    assert_eq!(std::fs::read(&second).unwrap(), b"new");

    // Closed before it is open: the answer comes, and the number is free.
    world.operations.push(Operation::CloseFile { file: FILE });
    world.operations.push(Operation::OpenFile { file: FILE, path: first });
    world.operations.push(Operation::CloseFile { file: FILE });
    world.submit();
    ready(&mut world, FILE).unwrap();
    write(&mut world, 0, &b"x"[..]).unwrap_err();
}

fn jobs_run_in_order_and_a_panic_is_a_failure(kind: Kind) {
    let mut world = World::new(kind, |_| ());
    let order = Arc::new(Mutex::new(Vec::new()));
    for tag in 0..50 {
        let order = Arc::clone(&order);
        world.operations.push(job(tag, move || {
            order.lock().unwrap().push(tag);
            match tag {
                10 => Err(std::io::Error::other("ten")),
                // A panic without a message on the test's output.
                20 => std::panic::resume_unwind(Box::new("twenty")),
                _ => Ok(()),
            }
        }));
    }
    world.submit();
    let mut told = Vec::new();
    for _ in 0..50 {
        let (tag, result) = world.expect("JobDone", |event| match event {
            Event::JobDone(tag, result) => Some((*tag, take(result))),
            _ => None,
        });
        told.push(tag);
        assert_eq!(result.is_err(), tag == 10 || tag == 20, "{tag}: {result:?}");
    }
    assert_eq!(told, (0..50).collect::<Vec<_>>());
    assert_eq!(*order.lock().unwrap(), told);
}

fn a_long_job_holds_up_no_file(kind: Kind) {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::new(kind, |_| ());
    let (release, released) = mpsc::channel();
    world.ask(job(1, move || released.recv().map_err(std::io::Error::other)));
    create(&mut world, FILE, &folder.path().join("segment"), 0).unwrap();
    for round in 0..10 {
        write(&mut world, round, &b"x"[..]).unwrap();
    }
    world.ask(Operation::Read { file: FILE, offset: 0, bytes: 100, tag: 2 });
    assert_eq!(read(&mut world, 2).unwrap(), [b'x'; 10][..]);
    assert!(world.events.is_empty(), "the job still runs: {:?}", world.events);
    release.send(()).unwrap();
    done(&mut world, 1).unwrap();
}

fn dropping_the_driver_waits_for_a_write_in_flight(kind: Kind) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("segment");
    let mut world = World::new(kind, |_| ());
    create(&mut world, FILE, &path, 0).unwrap();
    let (begun, has_begun) = mpsc::channel();
    let seen = path.clone();
    world.operations.push(Operation::WriteSync { file: FILE, offset: 0, data: vec![5; 1 << 20].into() });
    world.operations.push(job(1, move || {
        begun.send(()).map_err(std::io::Error::other)?;
        std::thread::sleep(std::time::Duration::from_millis(20));
        std::fs::write(seen.with_extension("job"), "whole")
    }));
    world.submit();
    has_begun.recv().unwrap();
    drop(world);
    // What had begun is over: nothing touches the folder any more, so it can be removed.
    assert_eq!(std::fs::read(path.with_extension("job")).unwrap(), b"whole");
    let written = std::fs::read(&path).unwrap();
    assert!(written.is_empty() || written.len() == 1 << 20, "{} bytes", written.len());
}
