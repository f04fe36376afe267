//! What survives a restart, and what is refused a place.

use super::*;
use ringwire_protocol::id::{ConversationId, UserId};

fn about(user: &str, length: u64) -> About {
    About {
        user: UserId::from_name(user),
        conversation: ConversationId::from_name("lobby"),
        name: "a.bin".into(),
        kind: "application/octet-stream".into(),
        length,
        hash: None,
        metadata: String::new(),
        expires_ms: 1000,
    }
}

fn id(number: u8) -> UploadId {
    UploadId::new([number; 16])
}

fn open(folder: &Path) -> Spool {
    Spool::new(Recovered::read(folder).expect("a folder"), 1 << 20, 2)
}

#[tokio::test]
async fn a_restart_goes_on_where_the_bytes_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let spool = open(folder.path());
    let upload = spool.create(id(1), about("ada", 10)).await.expect("disk").expect("place");
    let mut writer = spool.writer(&upload, false).await.expect("disk");
    writer.write(b"01234").await.expect("disk");
    assert_eq!(upload.offset(), 0, "not before it is synced");
    writer.keep().await.expect("disk");
    assert_eq!(upload.offset(), 5);
    // A connection breaks without a word: the writer is dropped as a kill would.
    let mut writer = spool.writer(&upload, false).await.expect("disk");
    writer.write(b"567").await.expect("disk");
    AsyncWriteExt::flush(&mut writer.file).await.expect("disk");
    drop(writer);
    let again = open(folder.path());
    let upload = again.get(id(1)).expect("it is there");
    assert_eq!((upload.offset(), &upload.about), (8, &about("ada", 10)));
    assert_eq!(again.level(), (1, MEDIA_UPLOAD_BYTES_MIN));
}

#[tokio::test]
async fn bytes_that_nobody_checked_do_not_count_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let spool = open(folder.path());
    let upload = spool.create(id(1), about("ada", 10)).await.expect("disk").expect("place");
    let mut writer = spool.writer(&upload, true).await.expect("disk");
    writer.write(b"0123").await.expect("disk");
    writer.keep().await.expect("disk");
    let mut writer = spool.writer(&upload, true).await.expect("disk");
    writer.write(b"xxxx").await.expect("disk");
    AsyncWriteExt::flush(&mut writer.file).await.expect("disk");
    drop(writer);
    for _ in 0..2 {
        let upload = open(folder.path()).get(id(1)).expect("it is there");
        assert_eq!(upload.offset(), 4);
    }
    assert_eq!(std::fs::read(spool.bytes_of(&upload)).expect("there"), b"0123");
}

#[tokio::test]
async fn what_is_discarded_is_gone() {
    let folder = tempfile::tempdir().expect("a folder");
    let spool = open(folder.path());
    let upload = spool.create(id(1), about("ada", 10)).await.expect("disk").expect("place");
    let mut writer = spool.writer(&upload, true).await.expect("disk");
    writer.write(b"wrong").await.expect("disk");
    writer.discard().await;
    assert_eq!((upload.offset(), std::fs::read(spool.bytes_of(&upload)).expect("there").len()), (0, 0));
    assert_eq!(std::fs::read_dir(folder.path()).expect("there").count(), 2, "no marker stays");
}

#[tokio::test]
async fn what_does_not_belong_is_removed_and_what_is_finished_is_remembered() {
    let folder = tempfile::tempdir().expect("a folder");
    let spool = open(folder.path());
    let object = ObjectId::from(blake3::hash(b""));
    let finished = spool.create(id(1), about("ada", 0)).await.expect("disk").expect("place");
    spool.finish(&finished, object).await.expect("disk");
    for name in [
        format!("{}.part", id(2)),
        format!("{}.json.new", id(3)),
        format!("{}.json", id(4)),
        "notes.txt".to_owned(),
    ] {
        std::fs::write(folder.path().join(name), "{}").expect("disk");
    }
    let again = open(folder.path());
    let upload = again.get(id(1)).expect("it is there");
    assert_eq!((upload.object(), again.level()), (Some(object), (0, 0)));
    assert_eq!(std::fs::read_dir(folder.path()).expect("there").count(), 1);
    assert_eq!(again.expire(999).await, 0);
    assert_eq!(again.expire(1000).await, 1);
    assert_eq!(std::fs::read_dir(folder.path()).expect("there").count(), 0);
}

#[tokio::test]
async fn places_are_counted_by_user_and_by_bytes() {
    let folder = tempfile::tempdir().expect("a folder");
    let spool = open(folder.path());
    for number in 1..=2 {
        spool.create(id(number), about("ada", 1)).await.expect("disk").expect("place");
    }
    let refused = |result: Result<Rc<Upload>, Full>| result.err();
    assert_eq!(refused(spool.create(id(3), about("ada", 1)).await.expect("disk")), Some(Full::User));
    assert_eq!(refused(spool.create(id(3), about("bob", 1 << 20)).await.expect("disk")), Some(Full::Spool));
    let most = (1 << 20) - 2 * MEDIA_UPLOAD_BYTES_MIN;
    let large = spool.create(id(3), about("bob", most)).await.expect("disk").expect("exactly");
    assert_eq!(refused(spool.create(id(4), about("eve", 0)).await.expect("disk")), Some(Full::Spool));
    spool.remove(&large).await;
    assert!(spool.create(id(4), about("eve", 0)).await.expect("disk").is_ok());
}

#[tokio::test]
async fn a_later_request_gets_the_turn_of_a_connection_that_hangs() {
    let upload = Rc::new(Upload::new(id(1), about("ada", 1)));
    let turn = upload.take_turn().await.expect("free");
    let hanging = async {
        upload.is_wanted().await;
        drop(turn);
    };
    let later = async { upload.take_turn().await.is_some() };
    let ((), got) = tokio::join!(hanging, later);
    assert!(got);
    assert!(tokio::time::timeout(std::time::Duration::from_millis(20), upload.is_wanted()).await.is_err());
}
