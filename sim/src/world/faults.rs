//! What goes wrong while the world is active.

use ringwire_protocol::UserId;
use ringwire_protocol::message::{Direction, View};

use super::{Event, Stage, World};
use crate::check::exactly_once::Author;
use crate::check::{Room, Verdict};
use crate::client::{Asked, Standing};
use crate::disk::Death;
use crate::workload::{self, Act};

impl World {
    pub(super) fn on_fault(&mut self) -> Verdict {
        if self.stage != Stage::Active {
            return Ok(());
        }
        let faults = self.settings.faults.clone();
        // Each kind is drawn whether or not it is used, so that the stream is the same in every world.
        let mut is = |often| self.random.faults.one_in(often);
        let drawn = [
            is(faults.crash),
            is(faults.drain),
            is(faults.cut),
            is(faults.silence),
            is(faults.hold),
            is(faults.starve),
            is(faults.freeze),
            is(faults.forget),
            is(faults.restart),
            is(faults.clock),
            is(faults.disk),
            is(faults.slow_disk),
            is(faults.fuse),
        ];
        let [crash, drain, cut, silence, hold, starve, freeze, forget, restart, clock, disk, slow_disk, fuse] =
            drawn;
        if crash && self.process.is_some() {
            let death = self.random.faults.pick(&[Death::Kill, Death::PowerCut, Death::PowerCut]);
            self.die(death);
        }
        if drain {
            self.trace.note(self.now_us, "drain", u64::from(self.epoch), 0);
            self.end_process();
        }
        if cut || silence || hold {
            self.trouble_a_socket(cut, silence);
        }
        if starve {
            self.starve_a_shard();
        }
        if freeze || forget || restart {
            self.trouble_a_client(freeze, forget)?;
        }
        if clock {
            let step_ms = self.random.faults.within(0..=20_000);
            self.unix_ms = self.unix_ms + 10_000 - step_ms;
            self.trace.note(self.now_us, "clock", self.unix_ms, 0);
        }
        if disk {
            self.disk_failures += 1;
        }
        if slow_disk {
            self.slow_disk_until_us = self.now_us + self.random.faults.within(1_000..=500_000);
        }
        if fuse {
            self.fuse = Some(self.random.faults.below(8) as u32);
        }
        let in_us = self.random.faults.around(faults.every_us);
        self.plan(in_us, Event::Fault);
        Ok(())
    }

    fn trouble_a_socket(&mut self, cut: bool, silence: bool) {
        if self.trouble_a_path(cut, silence) {
            return;
        }
        let open: Vec<_> = self.network.open().map(|(id, _)| id).collect();
        if open.is_empty() {
            return;
        }
        let id = self.random.faults.pick(&open);
        let held_us = self.random.faults.within(1_000..=3_000_000);
        if cut {
            self.cut(id);
        } else if let Some(socket) = self.network.get(id) {
            socket.is_silent |= silence;
            socket.held_until_us = self.now_us + held_us;
            self.trace.note(self.now_us, "hold", u64::from(id.0), u64::from(silence));
        }
    }

    fn starve_a_shard(&mut self) {
        let for_us = self.random.faults.within(1_000..=800_000);
        let Some(process) = &mut self.process else { return };
        let shard = self.random.faults.index(process.seats.len());
        process.seats[shard].held_until_us = self.now_us + for_us;
        self.trace.note(self.now_us, "starve", shard as u64, for_us);
    }

    fn trouble_a_client(&mut self, freeze: bool, forget: bool) -> Verdict {
        let client = self.random.faults.index(self.clients.len());
        if freeze {
            let for_us = self.random.faults.within(1_000..=4_000_000);
            self.clients[client].frozen_until_us = self.now_us + for_us;
            self.trace.note(self.now_us, "freeze", client as u64, for_us);
            self.plan(for_us, Event::Thaw { client });
        } else if forget {
            self.replace_client(client);
        } else if !std::mem::replace(&mut self.clients[client].is_ending, true) {
            self.trace.note(self.now_us, "shutdown", client as u64, 0);
            let patience_us = self.random.faults.within(0..=2_000_000);
            let deadline = self.client_now() + std::time::Duration::from_micros(patience_us);
            self.clients[client].link.core().shutdown(deadline);
            return self.pump(client);
        }
        Ok(())
    }

    /// A client does something.
    pub(super) fn on_act(&mut self, client: usize) -> Verdict {
        if self.stage != Stage::Active {
            return Ok(());
        }
        let in_us = self.random.workload.around(self.settings.act_us);
        self.plan(in_us, Event::Act { client });
        if self.is_frozen(client) {
            return Ok(());
        }
        let now = self.client_now();
        // Harmless where it was done before.
        self.clients[client].link.core().start(now);
        self.grant(client, 4);
        self.pump(client)?;
        let mut cursors = Vec::new();
        for id in &self.ids {
            cursors.push(self.clients[client].link.core().cursor(*id).unwrap_or(0));
        }
        let random = &mut self.random.workload;
        let people = workload::People { pairs: &self.pairs, settings: &self.settings };
        if let Some(act) = people.draw(random, &self.clients[client], &cursors) {
            self.perform(client, act);
        }
        self.pump(client)
    }

    /// Readers with little credit take some more.
    pub(super) fn grant(&mut self, client: usize, messages: u64) {
        let now = self.client_now();
        let this = &mut self.clients[client];
        for room in this.rooms.keys() {
            this.link.core().grant(now, self.ids[*room], messages);
        }
    }

    fn perform(&mut self, client: usize, act: Act) {
        let now = self.client_now();
        let (ids, names) = (&self.ids, &self.names);
        let this = &mut self.clients[client];
        self.trace.tell(self.now_us, || format!("client {} wants {act:?}", this.life));
        let core = this.link.core();
        // What a core refuses at once, it has not begun.
        match act {
            Act::Join(room, start) => {
                if let Ok((request, _)) = core.join(now, &names[room], start) {
                    this.requests.insert(request, Asked::Join(room));
                    this.rooms.insert(room, Standing::Joining);
                }
            }
            Act::Leave(room) => {
                if let Ok(request) = core.leave(now, ids[room]) {
                    this.requests.insert(request, Asked::Leave(room));
                    this.rooms.insert(room, Standing::Leaving);
                }
            }
            Act::Forget(room) => self.forget_room(client, room),
            Act::Publish(room, wishes) => {
                for wish in wishes {
                    let this = &mut self.clients[client];
                    let token = this.mark();
                    let body = token.body(wish.bytes);
                    let taken = this.link.core().publish(now, self.ids[room], wish.draft(body));
                    let Ok(publish) = taken else { continue };
                    this.publishes.insert(publish, token);
                    let author = Author { room, user: this.user, origin: this.origin };
                    self.checks.exactly_once.on_wish(token, author, wish.is_synced());
                    self.counts.wishes += 1;
                    self.trace.note(self.now_us, "wish", u64::from(token.life), u64::from(token.number));
                }
            }
            Act::Create(room, members) => {
                if let Ok((request, _)) = core.create(now, &names[room], members) {
                    this.requests.insert(request, Asked::Join(room));
                    this.rooms.insert(room, Standing::Joining);
                }
            }
            Act::Direct(room, other, start) => {
                if let Ok(request) = core.direct(now, UserId::from_name(&other), &other, start) {
                    this.requests.insert(request, Asked::Join(room));
                    this.rooms.insert(room, Standing::Joining);
                }
            }
            Act::Change(room, change) => {
                if let Ok(request) = core.change(now, ids[room], change) {
                    this.requests.insert(request, Asked::Change);
                }
            }
            Act::Mute(room, until_ms) => {
                if let Ok(request) = core.mute(now, ids[room], until_ms) {
                    this.requests.insert(request, Asked::Change);
                }
            }
            Act::Read(room, sequence) => {
                // Refused at once where the client itself knows better.
                let _ = core.read(now, ids[room], sequence);
            }
            Act::History(room, range) => {
                if let Ok(request) = core.history(now, ids[room], range) {
                    this.requests.insert(request, Asked::History(room, range.view));
                    if range.view == View::Current {
                        self.current.insert((this.life, request.number()));
                    }
                }
            }
            Act::Members(room) => {
                if let Ok(request) = core.members(now, ids[room], None) {
                    this.requests.insert(request, Asked::Members);
                }
            }
            Act::Chatter(room) => {
                let cursor = core.cursor(ids[room]).unwrap_or(0);
                // Neither is offered by the server: it says so, and nothing else happens.
                let _ = core.read(now, ids[room], cursor);
                let _ = core.typing(now, ids[room], true);
            }
        }
    }

    /// Closes the window: nothing more is read, the user stays a member.
    pub(super) fn forget_room(&mut self, client: usize, room: Room) {
        let now = self.client_now();
        let this = &mut self.clients[client];
        this.link.core().detach_conversation(now, self.ids[room]);
        this.rooms.remove(&room);
        let life = this.life;
        self.trace.note(self.now_us, "forget", u64::from(life), room as u64);
        self.checks.order.on_read_end(life, room);
        self.checks.typing.on_read_end(life, Some(room));
    }

    /// Asks for the page of history that ends with this sequence.
    pub(super) fn ask_backward(&mut self, client: usize, room: Room, from: u64) {
        let now = self.client_now();
        let range =
            ringwire_client::core::Range { from, limit: 9, direction: Direction::Backward, view: View::Raw };
        let this = &mut self.clients[client];
        if let Ok(request) = this.link.core().history(now, self.ids[room], range) {
            this.requests.insert(request, Asked::History(room, View::Raw));
        }
    }
}
