//! How the server's process begins and ends.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ringwire::conversation::state::Standing;
use ringwire::conversation::{Conversations, State};
use ringwire::fanout::letter::owner_of;
use ringwire::fanout::mesh;
use ringwire::plane::push::target::Rules;
use ringwire::session::auth::Authenticator;
use ringwire::session::{Sessions, Terms};
use ringwire::shard::Shard;
use ringwire::store::{KeyFold, recovery};
use ringwire::transport::quic::settings::{Keys, Patience};
use ringwire::transport::quic::{Quic, Setup};
use ringwire::transport::tls::offer::Offer;
use ringwire::user::Users;
use ringwire_protocol::message::Action;
use ringwire_store::{Checkpointer, Files, RecoverOptions, Salt, When};

use super::datagrams::base;
use super::look::CONNECTIONS_MAX;
use super::process::{Process, Seat};
use super::{Event, Stage, World};
use crate::check::{Promise, Room, Verdict};
use crate::disk::{Death, SimFiles, lock};
use crate::model::Log;
use crate::network::trust;
use crate::random::Random;

impl World {
    /// Another process starts, sometime soon.
    pub(super) fn plan_boot(&mut self) {
        let in_us = self.random.faults.within(500..=400_000);
        self.plan(in_us, Event::Boot);
    }

    pub(super) fn on_boot(&mut self) -> Verdict {
        if self.process.is_some() {
            return Ok(());
        }
        // What the store makes of the disk, judged before anybody can change it.
        let (log, report) = Log::read(&self.disk, &self.ids)?;
        self.trace.tell(self.now_us, || format!("the journal: {report}"));
        self.check_log(&log)?;
        let shards = match self.epoch {
            0 => self.settings.shards,
            _ => self.random.faults.within(1..=4) as u16,
        };
        self.epoch += 1;
        let files: Arc<dyn Files> = Arc::new(SimFiles::new(&self.disk));
        let fuse = self.fuse.take();
        if let Some(steps) = fuse {
            lock(&self.disk).light_fuse(steps);
        }
        let random = &mut self.random.disk;
        let salts = |_| -> recovery::Salts {
            let mut random = Random::new(random.word(), "salts");
            Box::new(move || {
                let (a, b) = (random.word().to_le_bytes(), random.word().to_le_bytes());
                let mut salt = [0; 16];
                salt[..8].copy_from_slice(&a);
                salt[8..].copy_from_slice(&b);
                Salt(salt)
            })
        };
        let options = RecoverOptions::default();
        let recovered = recovery::run(&files, shards, self.settings.journal, options, salts);
        if lock(&self.disk).put_out_fuse() {
            self.counts.half_starts += 1;
            self.trace.note(self.now_us, "died-in-recovery", 0, 0);
            self.die(Death::PowerCut);
            return Ok(());
        }
        let recovered = match recovered {
            Ok((recovered, _)) => recovered,
            Err(error) => return Promise::Contract.broken(format!("the server does not start: {error}")),
        };
        self.trace.note(self.now_us, "boot", u64::from(self.epoch), u64::from(shards));
        self.start(recovered, shards, &files);
        self.check_states(&log)?;
        self.check_expired(&log)?;
        for shard in 0..usize::from(shards) {
            self.wake(shard, 1);
        }
        Ok(())
    }

    fn start(&mut self, recovered: Vec<recovery::Recovered>, shards: u16, files: &Arc<dyn Files>) {
        let settings = &self.settings;
        let terms = Arc::new(Terms {
            authenticator: Authenticator { development: true, keys: Vec::new() },
            heartbeat_ms: settings.heartbeat_ms,
            idle_timeout_s: settings.idle_timeout_s,
            handshake_timeout_s: settings.handshake_timeout_s,
            origins: Vec::new(),
            app: None,
            push: Rules::default(),
            tls: None,
            // Everybody in a world comes from one address, or from any.
            handshakes: None,
            limits: settings.limits.clone(),
        });
        let offer = trust::offer();
        let mut quics: VecDeque<Quic> =
            (0..shards).filter_map(|shard| self.new_quic(&offer, shard, shards)).collect();
        let sealed = Arc::new(AtomicBool::new(true));
        let meshes = mesh::meshes(shards, &settings.limits);
        let seats = meshes
            .into_iter()
            .zip(recovered)
            .zip(0..)
            .map(|((mesh, mut recovered), index)| {
                #[cfg(feature = "planted-bugs")]
                let mesh = {
                    let mut mesh = mesh;
                    mesh.drops_when_full = self.plant == Some(crate::plant::Plant::DropOnFullRing);
                    mesh
                };
                let sealed = Arc::clone(&sealed);
                recovered.log.notify_seals(Arc::new(move || sealed.store(true, Ordering::Relaxed)));
                let limits = terms.limits.clone();
                let conversations =
                    Conversations::new(recovered.states, recovered.amended, recovered.log, limits);
                #[cfg(feature = "planted-bugs")]
                let conversations = {
                    use crate::plant::Plant;
                    let mut conversations = conversations;
                    conversations.bugs.keeps_removed = self.plant == Some(Plant::KeepsRemoved);
                    conversations.bugs.shows_deleted = self.plant == Some(Plant::ShowsDeleted);
                    conversations.bugs.forgets_cursors = self.plant == Some(Plant::ForgetsCursors);
                    conversations
                };
                let sessions = Sessions::new(index, Arc::clone(&terms)).with_quic(quics.pop_front());
                let users =
                    Users::new(recovered.users, terms.push.active_within).with_memberships(recovered.belongs);
                #[cfg(feature = "planted-bugs")]
                let users = {
                    let mut users = users;
                    users.keeps_older = self.plant == Some(crate::plant::Plant::KeptSession);
                    users
                };
                let shard = Shard::new(mesh, sessions, conversations, users);
                Seat::new(shard, settings.connections_max)
            })
            .collect();
        self.process = Some(Process {
            epoch: self.epoch,
            seats,
            begun_us: self.now_us,
            is_ending: false,
            sealed,
            checkpointer: Checkpointer::new(Arc::clone(files), KeyFold, settings.checkpoint),
        });
        self.plan_checkpoint();
    }

    /// QUIC of a shard, where anybody speaks it. The secret is the same in every process, as where it is kept.
    fn new_quic(&self, offer: &Offer, shard: u16, shards: u16) -> Option<Quic> {
        let settings = &self.settings;
        if settings.datagrams.share == 0 {
            return None;
        }
        let mut seed = [0; 32];
        seed[..4].copy_from_slice(&self.epoch.to_le_bytes());
        seed[4..6].copy_from_slice(&shard.to_le_bytes());
        let setup = Setup {
            offer: offer.clone(),
            keys: Keys { secret: [1; 32], seed },
            patience: Patience { idle_s: settings.idle_timeout_s, handshake_s: settings.handshake_timeout_s },
            shard,
            shards,
            first_slot: CONNECTIONS_MAX,
            connections_max: settings.connections_max,
            unvalidated_max: settings.limits.quic_unvalidated_max,
            wide_max: settings.limits.quic_wide_max,
            frame_bytes_max: settings.limits.frame_bytes_max,
            origins: Vec::new(),
            handshakes: None,
            base: base(),
        };
        let quic = Quic::new(setup).expect("the configuration speaks QUIC");
        #[cfg(feature = "planted-bugs")]
        let quic = {
            let mut quic = quic;
            quic.asks_nobody = self.plant == Some(crate::plant::Plant::AsksNobody);
            quic
        };
        Some(quic)
    }

    /// A checkpoint is made some time after segments were sealed.
    pub(super) fn plan_checkpoint(&mut self) {
        let sealed =
            self.process.as_ref().is_some_and(|process| process.sealed.swap(false, Ordering::Relaxed));
        if sealed {
            let in_us = self.random.disk.within(10..=20_000);
            self.plan(in_us, Event::Checkpoint { epoch: self.epoch });
        }
    }

    pub(super) fn on_checkpoint(&mut self, epoch: u32) -> Verdict {
        let Some(process) = self.process.as_ref().filter(|process| process.epoch == epoch) else {
            return Ok(());
        };
        if let Some(steps) = self.fuse.take() {
            lock(&self.disk).light_fuse(steps);
        }
        let result = process.checkpointer.run(When::Worthwhile);
        if lock(&self.disk).put_out_fuse() {
            self.trace.note(self.now_us, "died-in-checkpoint", 0, 0);
            self.die(Death::PowerCut);
            return Ok(());
        }
        match result {
            Ok(Some(report)) => {
                self.counts.checkpoints += 1;
                self.trace.note(self.now_us, "checkpoint", report.number, report.conversations);
                if report.left_bytes > 0 {
                    self.plan(1_000, Event::Checkpoint { epoch });
                }
                self.retire()
            }
            Ok(None) => self.retire(),
            Err(error) => Promise::Contract.broken(format!("no checkpoint can be made: {error}")),
        }
    }

    /// What the server's tables say is what the journal says.
    fn check_states(&mut self, log: &Log) -> Verdict {
        let shards = self.process.as_ref().map_or(1, |process| process.seats.len());
        for (room, id) in self.ids.clone().into_iter().enumerate() {
            let owner = usize::from(owner_of(id, shards as u16));
            for (shard, seat) in self.seats().enumerate() {
                let state = seat.shard.conversations().state(id);
                Promise::Contract.holds(state.is_none() || shard == owner, || {
                    format!("shard {shard} has room {room}, which is shard {owner}'s")
                })?;
                if shard == owner {
                    check_state(log, room, state)?;
                }
            }
        }
        Ok(())
    }

    /// The process dies.
    pub(super) fn die(&mut self, death: Death) {
        self.counts.crashes += 1;
        for seat in self.process.iter().flat_map(|process| &process.seats).filter(|seat| !seat.is_over) {
            Self::take_counters(&mut self.counts, seat);
        }
        self.process = None;
        self.trace.note(self.now_us, "death", u64::from(self.epoch), u64::from(death == Death::Kill));
        self.counts.torn += u64::from(lock(&self.disk).die(death, &mut self.random.disk));
        let homeless: Vec<_> =
            self.network.open().filter(|(_, socket)| socket.home.is_some()).map(|(id, _)| id).collect();
        for id in homeless {
            // Mostly the system says so; a machine that is off says nothing.
            if death == Death::PowerCut && self.random.network.one_in(5) {
                if let Some(socket) = self.network.get(id) {
                    socket.is_silent = true;
                }
            } else {
                self.cut(id);
            }
            self.hang_up(id, true);
        }
        if self.stage != Stage::Over {
            self.plan_boot();
        }
    }
}

fn check_state(log: &Log, room: Room, state: Option<&State>) -> Verdict {
    let end = log.end(room);
    let Some(state) = state else {
        return Promise::Durability.holds(end == 0, || format!("the server does not know room {room}"));
    };
    Promise::Durability.holds(state.head == end, || {
        format!("the server begins room {room} behind {}, and the journal ends at {end}", state.head)
    })?;
    let mut members = std::collections::BTreeSet::new();
    let mut devices = std::collections::BTreeMap::new();
    for (_, entry) in log.entries(room) {
        match entry.change {
            Some((Action::Left | Action::Removed, user)) => {
                members.remove(&user);
            }
            Some((_, user)) => {
                members.insert(user);
            }
            None => {
                devices.insert((entry.sender, entry.origin), entry.client_sequence);
            }
        }
    }
    Promise::Isolation.holds(state.members.keys().eq(members.iter()), || {
        format!("the server has other members of room {room} than the journal")
    })?;
    let known = state.members.iter().map(|(user, member)| {
        let (read, delivered, muted_until_ms) = (member.read, member.delivered, member.muted_until_ms);
        (user, (member.role, Standing { read, delivered, muted_until_ms }))
    });
    let noted = log.rooms[room].members.iter().map(|(user, member)| (user, (member.role, member.standing)));
    Promise::Receipts.holds(known.eq(noted), || {
        format!("the server has other roles or cursors of room {room} than the journal")
    })?;
    let known = state.devices.iter().map(|(key, device)| (*key, device.last()));
    Promise::ExactlyOnce.holds(known.collect::<std::collections::BTreeMap<_, _>>() == devices, || {
        format!("the server has other client sequences of room {room} than the journal")
    })
}
