//! Membership: members, roles and messages are changed by who may change them, and by nobody else.
//!
//! The rules are told here a second time, over the journal: who entered an entry was a member then, and its role
//! allowed it. What reaches whom is looked after by isolation.

use std::collections::BTreeMap;

use ringwire_protocol::UserId;
use ringwire_protocol::message::{Action, Kind, Role};

use super::{Promise, Room, Verdict};
use crate::model::{Entry, Log};

use Promise::Membership as BROKEN;

/// The members of one conversation as it goes on, and the messages that were taken back.
struct Replay<'a> {
    log: &'a Log,
    room: Room,
    /// Which rooms are of two users.
    is_direct: bool,
    roles: BTreeMap<UserId, Role>,
    deleted: BTreeMap<u64, u64>,
}

/// Checks every entry of every conversation; those from `directs` on are direct ones.
///
/// # Errors
/// Somebody did what is not allowed.
pub fn check(log: &Log, directs: Room) -> Verdict {
    for room in 0..log.rooms.len() {
        let is_direct = room >= directs;
        let mut replay = Replay { log, room, is_direct, roles: BTreeMap::new(), deleted: BTreeMap::new() };
        for (sequence, entry) in log.entries(room) {
            let fault = match entry.change {
                Some((action, user)) => replay.change(entry, action, user),
                None => replay.message(sequence, entry),
            };
            if let Err(what) = fault {
                return BROKEN.broken(format!("{sequence} of room {room}, by {}: {what}", entry.sender));
            }
        }
        let owners = replay.roles.values().filter(|role| **role == Role::Owner).count();
        BROKEN.holds(is_direct || replay.roles.is_empty() || owners > 0, || {
            format!("room {room} has members and no owner")
        })?;
    }
    Ok(())
}

impl Replay<'_> {
    fn change(&mut self, entry: &Entry, action: Action, user: UserId) -> Result<(), String> {
        let given = entry.role.ok_or("a change without a role")?;
        let actor = self.roles.get(&entry.sender).copied();
        let target = self.roles.get(&user).copied();
        let founding = self.is_direct && self.roles.len() < 2;
        let fits = match action {
            Action::Created => self.roles.is_empty() && user == entry.sender,
            Action::Joined => target.is_none() && user == entry.sender && given <= self.best(Role::Member),
            Action::Left => target.is_some() && user == entry.sender,
            Action::Added if founding => actor.is_some() && target.is_none(),
            Action::Added => target.is_none() && ranks(actor, None, given),
            Action::Removed => target.is_some() && ranks(actor, target, Role::Reader),
            Action::RoleChanged => target.is_some() && ranks(actor, target, given),
        };
        if self.is_direct && matches!(action, Action::Left | Action::Removed | Action::RoleChanged) {
            return Err("a member of a direct conversation is changed".to_owned());
        }
        match action {
            Action::Left | Action::Removed => _ = self.roles.remove(&user),
            _ => _ = self.roles.insert(user, given),
        }
        if self.is_direct && self.roles.len() > 2 {
            return Err("a third one is in a direct conversation".to_owned());
        }
        if fits {
            Ok(())
        } else {
            Err(format!("{actor:?} may not let {action:?} {given:?} befall {target:?}"))
        }
    }

    /// The highest role that somebody who joins gets: the first one owns.
    fn best(&self, otherwise: Role) -> Role {
        if self.roles.is_empty() { Role::Owner } else { otherwise }
    }

    fn message(&mut self, sequence: u64, entry: &Entry) -> Result<(), String> {
        let Some(role) = self.roles.get(&entry.sender).copied().filter(|role| *role >= Role::Member) else {
            return Err("published by one who is no member, or only reads".to_owned());
        };
        if !entry.kind.refers() {
            return Ok(());
        }
        if entry.reference == 0 || entry.reference >= sequence {
            return Err(format!("refers to {}", entry.reference));
        }
        if let Some(by) = self.deleted.get(&entry.reference) {
            return Err(format!("{} was deleted by {by}", entry.reference));
        }
        // It was shown before it was synced, and a crash took it.
        let Some(about) = self.log.get(self.room, entry.reference) else { return Ok(()) };
        let takes = match entry.kind {
            Kind::Edit => matches!(about.kind, Kind::Text | Kind::Media),
            _ => matches!(about.kind, Kind::Text | Kind::Media | Kind::Application),
        };
        let own = about.sender == entry.sender;
        let may = match entry.kind {
            Kind::Edit => own,
            Kind::Delete => own || role >= Role::Admin,
            _ => true,
        };
        if entry.kind == Kind::Delete {
            self.deleted.insert(entry.reference, sequence);
        }
        if takes && may { Ok(()) } else { Err(format!("{:?} of {:?} as {role:?}", entry.kind, about.kind)) }
    }
}

/// Whether one of that role may change one of that other, and give that third.
fn ranks(actor: Option<Role>, target: Option<Role>, given: Role) -> bool {
    let (actor, target) = (actor.unwrap_or(Role::Reader), target.unwrap_or(Role::Reader));
    actor == Role::Owner || (actor == Role::Admin && target < Role::Admin && given <= Role::Admin)
}

#[cfg(test)]
mod tests {
    use super::super::exactly_once::sample;
    use super::*;
    use crate::model::Story;

    fn id(name: &str) -> UserId {
        UserId::from_name(name)
    }

    fn change(by: &str, action: Action, user: &str, role: Role) -> Entry {
        let change = Some((action, id(user)));
        Entry { sender: id(by), change, role: Some(role), ..sample(b"x", 0) }
    }

    fn message(by: &str, kind: Kind, reference: u64) -> Entry {
        Entry { sender: id(by), kind, reference, ..sample(b"x", 0) }
    }

    /// Ada owns, Bob is an admin, Eve reads.
    fn begun() -> Vec<Entry> {
        vec![
            change("ada", Action::Created, "ada", Role::Owner),
            change("ada", Action::Added, "bob", Role::Admin),
            change("bob", Action::Added, "eve", Role::Reader),
        ]
    }

    fn holds(more: impl IntoIterator<Item = Entry>) -> bool {
        let entries = begun().into_iter().chain(more);
        check(&Log { rooms: vec![Story::of(entries)] }, 1).is_ok()
    }

    #[test]
    fn canary_a_change_by_one_who_may_not() {
        use Action::{Added, Joined, Left, Removed, RoleChanged};
        assert!(holds([]));
        assert!(holds([
            change("bob", Removed, "eve", Role::Reader),
            change("eve", Joined, "eve", Role::Member)
        ]));
        assert!(!holds([change("eve", Joined, "eve", Role::Member)]), "she is in");
        assert!(!holds([change("max", Joined, "max", Role::Owner)]));
        assert!(!holds([change("eve", Added, "max", Role::Reader)]));
        assert!(!holds([change("bob", Removed, "ada", Role::Reader)]));
        assert!(!holds([change("bob", RoleChanged, "eve", Role::Owner)]));
        assert!(!holds([change("ada", Left, "ada", Role::Owner)]), "nobody owns it");
        assert!(!holds([change("ada", Left, "bob", Role::Reader)]));
    }

    #[test]
    fn canary_a_message_by_one_who_may_not() {
        use Kind::{Delete, Edit, Reaction, Text};
        let text = || message("bob", Text, 0);
        assert!(holds([text(), message("bob", Edit, 4), message("ada", Delete, 4)]));
        assert!(!holds([message("eve", Text, 0)]), "she reads");
        assert!(!holds([message("max", Text, 0)]));
        assert!(!holds([text(), message("ada", Edit, 4)]));
        assert!(!holds([message("ada", Text, 0), message("eve", Reaction, 4)]));
        assert!(!holds([text(), message("bob", Delete, 4), message("bob", Edit, 4)]));
        assert!(!holds([text(), message("bob", Reaction, 5)]), "itself");
        assert!(!holds([message("bob", Reaction, 1)]), "a change of members");
    }

    #[test]
    fn canary_a_third_one_in_a_direct_conversation() {
        let direct = |more: &[Entry]| {
            let mut entries = vec![
                change("ada", Action::Created, "ada", Role::Member),
                change("ada", Action::Added, "bob", Role::Member),
            ];
            entries.extend_from_slice(more);
            check(&Log { rooms: vec![Story::of(entries)] }, 0).is_ok()
        };
        assert!(direct(&[]));
        assert!(!direct(&[change("ada", Action::Added, "eve", Role::Member)]));
        assert!(!direct(&[change("eve", Action::Joined, "eve", Role::Member)]));
        assert!(!direct(&[change("ada", Action::Left, "ada", Role::Member)]));
    }
}
