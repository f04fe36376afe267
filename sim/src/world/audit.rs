//! The audit: when all is over and the process was started once more, somebody reads every conversation from
//! the first message to the last, and then backward again, over the wire.

use ringwire_client::core::Start;
use ringwire_protocol::message::Action;

use super::World;
use crate::check::{Promise, Verdict};
use crate::client::{Asked, Audit, Client, Standing};
use crate::model::Log;

impl World {
    /// One auditor for each room in which there is something: a member, with a device of its own.
    pub(super) fn add_auditors(&mut self) -> Verdict {
        let (log, _) = Log::read(&self.disk, &self.ids)?;
        for room in 0..self.ids.len() {
            if room >= self.settings.rooms && log.entries(room).next().is_none() {
                // Of a pair that has nothing to say to each other; nobody else gets in.
                continue;
            }
            let mut members = std::collections::BTreeSet::new();
            for (_, entry) in log.entries(room) {
                match entry.change {
                    Some((Action::Left | Action::Removed, user)) => members.remove(&user),
                    Some((_, user)) => members.insert(user),
                    None => false,
                };
            }
            let users = (0..self.settings.users).map(|user| format!("user-{user}"));
            let known = users
                .chain(["trickster".to_owned()])
                .find(|name| members.contains(&ringwire_protocol::UserId::from_name(name)));
            // Where nobody is left, anybody may join.
            let name = known.unwrap_or_else(|| "auditor".to_owned());
            self.lives += 1;
            let mut auditor = Client::auditor(name, self.lives, room, &mut self.random.clients);
            let now = self.client_now();
            let core = auditor.link.core();
            core.start(now);
            match core.join(now, &self.names[room], Start::After(0)) {
                Ok((request, _)) => {
                    auditor.requests.insert(request, Asked::Join(room));
                    auditor.rooms.insert(room, Standing::Joining);
                }
                Err(error) => return Promise::Contract.broken(format!("an auditor cannot join: {error}")),
            }
            self.clients.push(auditor);
            self.pump(self.clients.len() - 1)?;
        }
        Ok(())
    }

    /// An auditor has read a page backward.
    pub(super) fn on_audit_page(&mut self, client: usize, from: u64, to: u64, complete: bool) -> Verdict {
        let Some((room, Audit::Backward(expected))) = self.clients[client].audit else { return Ok(()) };
        Promise::Order.holds(to <= expected, || {
            format!("an auditor of room {room} asked for the page that ends with {expected}, and it ends with {to}")
        })?;
        // What stands between was lost, says the server, but for what has expired.
        let kept = self.checks.retention.expired(room) + 1;
        self.checks.order.on_absent(room, kept.max(to + 1), expected);
        let next = if complete || from <= 1 { Audit::Done } else { Audit::Backward(from - 1) };
        self.clients[client].audit = Some((room, next));
        Ok(())
    }

    /// Lets an auditor go on where it has come to the end of something; its conversation ends at `head`.
    pub(super) fn drive_audit(&mut self, client: usize, head: u64) {
        let Some((room, audit)) = self.clients[client].audit else { return };
        let (now, id) = (self.client_now(), self.ids[room]);
        let this = &mut self.clients[client];
        if !this.rooms.contains_key(&room) {
            // Refused for the moment: asked again.
            if let Ok((request, _)) = this.link.core().join(now, &self.names[room], Start::After(0)) {
                this.requests.insert(request, Asked::Join(room));
                this.rooms.insert(room, Standing::Joining);
            }
            return;
        }
        let cursor = this.link.core().cursor(id).unwrap_or(0);
        let asked = this.requests.values().any(|asked| matches!(asked, Asked::History(..)));
        match audit {
            Audit::Forward if cursor > 0 && cursor >= head => {
                this.audit = Some((room, Audit::Backward(cursor)));
            }
            Audit::Backward(from) if !asked => self.ask_backward(client, room, from),
            _ => {}
        }
    }
}
