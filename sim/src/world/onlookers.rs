//! The connections of those who look on, and whether they see what is there.

use bytes::Bytes;
use ringwire_protocol::UserId;
use ringwire_protocol::message::PresenceState;

use ringwire::fanout::letter::owner_of;

use super::{Event, Stage, World};
use crate::check::{Promise, Verdict, counts};
use crate::client::quic::Brought;
use crate::model::Log;
use crate::network::trust::Tickets;
use crate::network::{Chunk, Dialler, Side, SocketId};
use crate::workload::Onlooker;

/// How often an onlooker thinks about what to do, microseconds; it says something at least each heartbeat.
const STEP_US: u64 = 150_000;

/// What is known of a user's presence from outside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Truth {
    Here,
    Gone,
    /// A connection is dead, and its client does not know yet.
    Unclear,
}

impl World {
    pub(super) fn add_onlooker(&mut self, number: usize) {
        let name = format!("user-{}", number % self.settings.users);
        self.onlookers.push(Onlooker::new(number, name, !self.settings.retention.is_all()));
        let in_us = self.random.workload.around(STEP_US);
        self.plan(in_us, Event::Onlook { onlooker: number });
    }

    /// Everybody there may be to watch, and somebody there is not.
    pub(super) fn watched(&self) -> Vec<UserId> {
        let names = (0..self.settings.users).map(|user| format!("user-{user}"));
        names.chain(["trickster".to_owned()]).map(|name| UserId::from_name(&name)).collect()
    }

    pub(super) fn on_onlooker_answered(&mut self, onlooker: usize, id: SocketId, accepted: bool) {
        match &mut self.onlookers[onlooker].socket {
            Some((socket, connected)) if *socket == id && accepted => *connected = true,
            Some((socket, _)) if *socket == id => self.onlookers[onlooker].socket = None,
            _ => {}
        }
        if accepted {
            self.write_onlooker(onlooker);
        } else {
            self.let_go(id, false);
        }
    }

    pub(super) fn read_onlooker(&mut self, onlooker: usize, id: SocketId) -> Verdict {
        loop {
            let Some(socket) = self.network.get(id) else { return Ok(()) };
            let Some(chunk) = socket.down.read(usize::MAX) else { break };
            self.tell_writer(id, Side::Client);
            let this = &mut self.onlookers[onlooker];
            let is_current = this.socket.is_some_and(|(socket, _)| socket == id);
            if is_current {
                this.heard_us = self.now_us;
            }
            let is_over = match chunk {
                Chunk::Bytes(bytes) if is_current => this.on_bytes(&bytes)?,
                // A connection that it has given up without letting go of it.
                Chunk::Bytes(_) => false,
                Chunk::End | Chunk::Reset => true,
            };
            if is_over {
                if is_current {
                    this.socket = None;
                    this.is_welcome = false;
                }
                if this.other == Some(id) {
                    this.other = None;
                }
                self.let_go(id, false);
                return Ok(());
            }
        }
        self.write_onlooker(onlooker);
        Ok(())
    }

    pub(super) fn write_onlooker(&mut self, onlooker: usize) {
        let this = &mut self.onlookers[onlooker];
        let Some((id, true)) = this.socket else { return };
        if let Some(quic) = &mut this.quic {
            let written = quic.write(&this.out);
            this.out.drain(..written);
            if written > 0 {
                this.said_us = self.now_us;
            }
            return self.flush_quic(Dialler::Onlooker(onlooker));
        }
        let mut out = std::mem::take(&mut this.out);
        if self.write_some(id, &mut out) {
            self.onlookers[onlooker].said_us = self.now_us;
        }
        self.onlookers[onlooker].out = out;
    }

    /// An onlooker's connection of QUIC has something to look at.
    pub(super) fn serve_onlooker_quic(&mut self, onlooker: usize) -> Verdict {
        let (instant, epoch, now_us) = (self.client_instant(), self.epoch, self.now_us);
        if let Some(quic) = &mut self.onlookers[onlooker].quic {
            quic.serve(instant);
        }
        loop {
            let this = &mut self.onlookers[onlooker];
            let (Some(quic), Some((id, connected))) = (&mut this.quic, &mut this.socket) else { break };
            let id = *id;
            match quic.poll(usize::MAX) {
                None => break,
                Some(Brought::Open) => *connected = true,
                Some(Brought::Confirmed(_)) => {
                    quic.epoch = epoch;
                    this.falls_back = false;
                }
                Some(Brought::Stream(bytes)) => {
                    this.heard_us = now_us;
                    self.counts.looked_on += 1;
                    self.hear(id, &bytes)?;
                    self.onlookers[onlooker].on_stream(&bytes)?;
                }
                Some(Brought::Beside(frame)) => {
                    this.heard_us = now_us;
                    self.hear_beside(id, &frame)?;
                    self.onlookers[onlooker].on_frames(&frame)?;
                }
                Some(Brought::Fault(fault)) => {
                    return Promise::Contract.broken(format!("an onlooker gets {fault}"));
                }
                Some(Brought::Lost(_)) => _ = self.leave(onlooker, true),
            }
        }
        self.write_onlooker(onlooker);
        self.flush_quic(Dialler::Onlooker(onlooker));
        Ok(())
    }

    /// An onlooker gives up its connection, with a word or without; the socket, where it is one and is not let go of.
    fn leave(&mut self, onlooker: usize, resets: bool) -> Option<SocketId> {
        let instant = self.client_instant();
        let this = &mut self.onlookers[onlooker];
        this.is_welcome = false;
        let (id, _) = this.socket.take()?;
        let Some(quic) = &mut this.quic else { return Some(id) };
        if !resets {
            quic.say_end(3000, "");
            self.flush_quic(Dialler::Onlooker(onlooker));
            if let Some(quic) = &mut self.onlookers[onlooker].quic {
                quic.close(instant, 3000, "");
            }
            self.flush_quic(Dialler::Onlooker(onlooker));
        }
        self.onlookers[onlooker].quic = None;
        self.checks.order.on_closed(id.0);
        None
    }

    /// Those who look on over QUIC lose their connections, and dial again when they think of it.
    pub(super) fn end_quic_of_onlookers(&mut self) {
        for onlooker in 0..self.onlookers.len() {
            if self.onlookers[onlooker].quic.is_some() {
                self.leave(onlooker, true);
            }
        }
    }

    pub(super) fn on_onlook(&mut self, onlooker: usize) -> Verdict {
        if self.stage == Stage::Over {
            return Ok(());
        }
        let in_us = self.random.workload.within(1..=2 * STEP_US);
        self.plan(in_us, Event::Onlook { onlooker });
        let is_active = self.stage == Stage::Active;
        let heartbeat_us = u64::from(self.settings.heartbeat_ms) * 500;
        let silent_us = self.now_us - self.onlookers[onlooker].said_us;
        match self.onlookers[onlooker].socket {
            None => self.dial_onlooker(onlooker),
            // Nobody answers: the connection is dead.
            Some(_) if self.now_us - self.onlookers[onlooker].heard_us > 4 * heartbeat_us + 500_000 => {
                if let Some(id) = self.leave(onlooker, true) {
                    self.let_go(id, true);
                }
            }
            Some(_) if is_active && self.random.workload.one_in(25) => {
                // Somebody closes the lid, or walks from one network into another.
                let how = self.random.workload.below(3);
                let left = self.leave(onlooker, how > 0);
                match (how, left) {
                    (0 | 1, Some(id)) => self.let_go(id, how == 1),
                    (0 | 1, None) => {}
                    (_, left) => {
                        self.onlookers[onlooker].other = left;
                        self.dial_onlooker(onlooker);
                    }
                }
            }
            Some((_, false)) => {}
            Some((_, true)) => {
                let users = self.watched();
                let this = &mut self.onlookers[onlooker];
                if this.watches_again(&users) {
                    // Nothing else now.
                } else if is_active {
                    this.step(&mut self.random.workload, &self.ids, &self.names, &users);
                } else if silent_us > heartbeat_us {
                    this.ping();
                }
                self.write_onlooker(onlooker);
                if self.random.workload.one_in(4) {
                    self.keep_other(onlooker);
                }
            }
        }
        Ok(())
    }

    fn dial_onlooker(&mut self, onlooker: usize) {
        let (whose, users) = (Dialler::Onlooker(onlooker), self.watched());
        let drawn = self.random.datagrams.one_in(self.settings.datagrams.share);
        let fell_back = std::mem::take(&mut self.onlookers[onlooker].falls_back);
        let (id, quic) = if drawn && !fell_back {
            self.onlookers[onlooker].falls_back = true;
            let is_browser = self.random.datagrams.one_in(self.settings.datagrams.browsers);
            let (id, quic) = self.begin_quic(whose, Tickets::new(is_browser));
            (id, Some(quic))
        } else {
            (self.dial(whose), None)
        };
        self.onlookers[onlooker].begin(id, quic, &users);
        self.onlookers[onlooker].said_us = self.now_us;
        self.onlookers[onlooker].heard_us = self.now_us;
        self.flush_quic(whose);
    }

    /// All sign in anew: the process has begun again.
    pub(super) fn begin_onlookers_anew(&mut self) {
        for onlooker in 0..self.onlookers.len() {
            if let Some(id) = self.leave(onlooker, false) {
                self.let_go(id, false);
            }
            self.dial_onlooker(onlooker);
        }
    }

    /// Whether a user is there, as far as can be told from outside.
    fn truth(&mut self, user: UserId) -> Truth {
        let clients = self.clients.iter().filter(|client| client.user == user);
        let clients = clients.map(|client| (client.socket, client.is_welcome));
        let onlookers = self.onlookers.iter().filter(|onlooker| onlooker.user == user);
        let sockets: Vec<_> =
            clients.chain(onlookers.map(|onlooker| (onlooker.socket, onlooker.is_welcome))).collect();
        let mut truth = Truth::Gone;
        let others: Vec<_> =
            self.onlookers.iter().filter(|it| it.user == user).filter_map(|it| it.other).collect();
        if others.into_iter().any(|id| self.network.get(id).is_some_and(|it| it.home.is_some())) {
            truth = Truth::Unclear;
        }
        for (socket, is_welcome) in sockets {
            let Some((id, _)) = socket else { continue };
            match (is_welcome, self.is_alive(id)) {
                (true, true) => return Truth::Here,
                _ => truth = Truth::Unclear,
            }
        }
        truth
    }

    /// Whether the connection with this number reaches a process that lives.
    fn is_alive(&mut self, id: SocketId) -> bool {
        let on_socket = self.network.get(id).is_some_and(|it| !it.is_silent && it.home.is_some());
        on_socket || self.is_alive_on_quic(id)
    }

    /// A client that was told of the user, and believes something else than is true. It hears of changes over QUIC, too,
    /// where datagrams are lost.
    fn wrong_client(&mut self, user: UserId, expected: PresenceState) -> Option<String> {
        for client in 0..self.clients.len() {
            let this = &self.clients[client];
            let Some((id, _)) = this.socket.filter(|_| this.is_welcome) else { continue };
            let Some(believed) = this.presence.get(&user).copied().filter(|believed| *believed != expected)
            else {
                continue;
            };
            let life = this.life;
            if self.is_alive(id) && !self.is_frozen(client) {
                return Some(format!("client {life} believes {believed:?} of {user}, who is {expected:?}"));
            }
        }
        None
    }

    /// What onlookers still wait for, and the first wrong thing that one of them believes.
    pub(super) fn onlookers_wait_for(&mut self, waits: &mut Vec<String>) -> Option<String> {
        let mut wrong = None;
        let sockets: Vec<_> = self.onlookers.iter().map(|it| it.socket).collect();
        let alive: Vec<bool> =
            sockets.into_iter().map(|socket| socket.is_some_and(|(id, _)| self.is_alive(id))).collect();
        for user in self.watched() {
            let expected = match self.truth(user) {
                Truth::Here => PresenceState::Online,
                Truth::Gone => PresenceState::Offline,
                Truth::Unclear => continue,
            };
            wrong = wrong.or_else(|| self.wrong_client(user, expected));
            for (number, onlooker) in self.onlookers.iter().enumerate() {
                // Who cannot be reached learns nothing, and does not know it yet.
                if !alive[number] {
                    continue;
                }
                let believed = onlooker.presence.get(&user).copied();
                if onlooker.is_welcome && believed != Some(expected) {
                    wrong.get_or_insert_with(|| {
                        format!("onlooker {number} believes {believed:?} of {user}, who is {expected:?}")
                    });
                }
            }
        }
        for (number, onlooker) in self.onlookers.iter().enumerate() {
            if !onlooker.is_welcome {
                waits.push(format!("onlooker {number}, who is not connected"));
            } else if !onlooker.inbox.is_whole() {
                waits.push(format!("onlooker {number}, whose inbox is not whole"));
            }
        }
        waits.extend(wrong.clone());
        wrong
    }

    /// The first wrong thing that somebody was told of a conversation's counts.
    pub(super) fn wrong_counts(&mut self) -> Option<String> {
        let process = self.process.as_ref()?;
        let shards = process.seats.len() as u16;
        let mut looked_at = Vec::new();
        for (number, onlooker) in self.onlookers.iter().enumerate() {
            for id in &onlooker.counting {
                let owner = usize::from(owner_of(*id, shards));
                let Some(state) = process.seats[owner].shard.conversations().state(*id) else { continue };
                if !state.members.contains_key(&onlooker.user) {
                    continue;
                }
                let delivered = state.members.values().filter(|it| it.delivered >= state.head).count() as u32;
                let read = state.members.values().filter(|it| it.read >= state.head).count() as u32;
                let members: Vec<UserId> = state.members.keys().copied().collect();
                let told = onlooker.counts.get(id).copied();
                looked_at.push((number, told, state.head, (delivered, read), members));
            }
        }
        looked_at.into_iter().find_map(|(number, told, head, caught_up, members)| {
            let mut online = Some(0);
            for member in members {
                online = match self.truth(member) {
                    Truth::Here => online.map(|online| online + 1),
                    Truth::Gone => online,
                    Truth::Unclear => None,
                };
            }
            let wrong = counts::compare(told.as_ref(), head, online, caught_up)?;
            Some(format!("onlooker {number} was told {wrong}"))
        })
    }

    /// Somebody keeps a connection that he has given up for another, as a second window does.
    fn keep_other(&mut self, onlooker: usize) {
        let Some(id) = self.onlookers[onlooker].other else { return };
        let bytes = self.onlookers[onlooker].ping_bytes();
        match self.network.get(id) {
            Some(socket) if !socket.is_silent && socket.home.is_some() => {
                if socket.up.room() >= bytes.len() {
                    self.transmit(id, Side::Server, Bytes::from(bytes));
                }
            }
            _ => self.onlookers[onlooker].other = None,
        }
    }

    /// At most one session of each device, at every shard together. Whether one has two, as may be for a while.
    pub(super) fn check_devices(&mut self) -> Verdict<bool> {
        let now_us = self.now_us;
        let World { process, checks, .. } = self;
        let seats = process.iter().flat_map(|process| &process.seats).filter(|seat| !seat.is_over);
        checks.devices.on_look(now_us, seats.flat_map(|seat| seat.shard.sessions().signed_in()))
    }

    /// The journal is this, and the onlookers have signed in since the last word was written.
    pub(super) fn check_inboxes(&self, log: &Log) -> Verdict {
        self.onlookers.iter().try_for_each(|it| it.inbox.on_log(it.user, log, &self.ids))
    }
}
