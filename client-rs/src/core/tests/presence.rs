//! Presence that comes in two ways, of which each may overtake the other.

use ringwire_protocol::message::{Presence, PresenceEntry, PresenceState};

use super::*;

fn told(rig: &mut Rig, number: u64, users: &[(&str, PresenceState)]) -> Vec<String> {
    let entries: Vec<PresenceEntry> = users
        .iter()
        .map(|&(user, state)| PresenceEntry { user: UserId::from_name(user), state, seen_ms: 0 })
        .collect();
    rig.forget();
    rig.frame(&ServerFrame::Presence(Presence { entries: entries.as_slice().into(), number }));
    let name = |user| {
        let found = users.iter().find(|(name, _)| UserId::from_name(name) == user);
        found.map_or("?", |(name, _)| name)
    };
    let line = |event: &Event| match event {
        Event::Presence { user, state, .. } => Some(format!("{} {state:?}", name(*user))),
        _ => None,
    };
    rig.events.iter().filter_map(line).collect()
}

const HERE: PresenceState = PresenceState::Online;
const GONE: PresenceState = PresenceState::Offline;

#[test]
fn what_was_overtaken_says_nothing_of_those_of_whom_something_newer_was_said() {
    let mut rig = Rig::new(config());
    rig.connect();
    assert_eq!(told(&mut rig, 3, &[("ada", GONE)]), ["ada Offline"]);
    // The first word about two users, which the stream held back.
    assert_eq!(told(&mut rig, 2, &[("ada", HERE), ("bob", HERE)]), ["bob Online"]);
    assert_eq!(told(&mut rig, 4, &[("ada", HERE)]), ["ada Online"]);
    assert!(told(&mut rig, 1, &[("ada", GONE), ("bob", GONE)]).is_empty());
    rig.reconnect();
    assert_eq!(told(&mut rig, 1, &[("ada", GONE)]), ["ada Offline"], "each connection counts for itself");
}

#[test]
fn a_server_that_does_not_number_is_believed() {
    let mut rig = Rig::new(config());
    rig.connect();
    assert_eq!(told(&mut rig, 7, &[("ada", HERE)]), ["ada Online"]);
    assert_eq!(told(&mut rig, 0, &[("ada", GONE)]), ["ada Offline"]);
}

#[test]
fn a_server_that_speaks_of_ever_new_users_fills_no_memory() {
    let mut rig = Rig::new(config());
    rig.connect();
    for number in 1..5_000 {
        let name = format!("user-{number}");
        assert_eq!(told(&mut rig, number, &[(&name, HERE)]).len(), 1);
    }
    assert!(rig.core.presence.len() <= ringwire_protocol::limits::WATCHED_MAX);
}
