//! Bugs that are put in on purpose are found, soon, and as what they are.

use ringwire_sim::{Options, Plant, Promise, run};

/// Seeds within which a bug has to be found.
const SEEDS: u64 = 200;

/// Which promise the first world breaks that breaks any.
fn found(plant: Plant) -> (u64, Promise) {
    let options = Options { plant: Some(plant), trace: false };
    (0..SEEDS)
        .find_map(|seed| Some((seed, run(seed, options).violation?.promise)))
        .unwrap_or_else(|| panic!("{plant} was not found in {SEEDS} worlds"))
}

#[test]
fn a_skipped_sync_is_found() {
    let (seed, promise) = found(Plant::SkippedSync);
    // What is missing may be noticed as a hole in the journal first, or be a cursor.
    let fits =
        [Promise::Durability, Promise::Order, Promise::Contract, Promise::ExactlyOnce, Promise::Receipts];
    assert!(fits.contains(&promise), "seed {seed}: {promise}");
}

#[test]
fn overtaking_is_found() {
    let (seed, promise) = found(Plant::Overtaking);
    assert_eq!(promise, Promise::Order, "seed {seed}");
}

#[test]
fn presence_that_is_not_told_is_found() {
    let (seed, promise) = found(Plant::LostPresence);
    assert_eq!(promise, Promise::Presence, "seed {seed}");
}

#[test]
fn an_inbox_that_lists_twice_is_found() {
    let (seed, promise) = found(Plant::DoubledInbox);
    assert_eq!(promise, Promise::Inbox, "seed {seed}");
}

#[test]
fn a_stream_out_of_order_is_found() {
    let (seed, promise) = found(Plant::UnorderedStream);
    // Bytes of one frame in the place of another's are no frame, or one about what there is not; whole frames out of place
    // are messages out of order.
    let fits = [Promise::Contract, Promise::Order, Promise::Isolation];
    assert!(fits.contains(&promise), "seed {seed}: {promise}");
}

#[cfg(feature = "planted-bugs")]
#[test]
fn a_device_that_keeps_two_sessions_is_found() {
    let (seed, promise) = found(Plant::KeptSession);
    assert_eq!(promise, Promise::Devices, "seed {seed}");
}

#[cfg(feature = "planted-bugs")]
#[test]
fn a_removed_member_that_is_kept_is_found() {
    let (seed, promise) = found(Plant::KeepsRemoved);
    // Who looks at the order notices first, where it is a message to somebody who is not attached any more.
    assert!([Promise::Isolation, Promise::Order].contains(&promise), "seed {seed}: {promise}");
}

#[cfg(feature = "planted-bugs")]
#[test]
fn a_deleted_message_that_is_shown_is_found() {
    let (seed, promise) = found(Plant::ShowsDeleted);
    assert_eq!(promise, Promise::Amendments, "seed {seed}");
}

#[cfg(feature = "planted-bugs")]
#[test]
fn a_cursor_that_is_told_and_not_kept_is_found() {
    let (seed, promise) = found(Plant::ForgetsCursors);
    assert_eq!(promise, Promise::Receipts, "seed {seed}");
}

#[cfg(feature = "planted-bugs")]
#[test]
fn a_delivery_dropped_on_a_full_ring_is_found() {
    let (seed, promise) = found(Plant::DropOnFullRing);
    // Presence goes that way, too.
    let fits = [Promise::Order, Promise::Progress, Promise::Presence];
    assert!(fits.contains(&promise), "seed {seed}: {promise}");
}

#[cfg(feature = "planted-bugs")]
#[test]
fn an_address_that_is_believed_is_found() {
    let (seed, promise) = found(Plant::AsksNobody);
    assert_eq!(promise, Promise::Bounds, "seed {seed}");
}
