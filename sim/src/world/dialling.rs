//! How connections come about.

use ringwire_protocol::UserId;

use super::listen::Line;
use super::{Event, Stage, World};
use crate::check::Verdict;
use crate::driver::Happened;
use crate::network::{Dialler, Home, Pipe, Side, Socket, SocketId};

/// Windows and pieces once nothing goes wrong any more: what a healthy system has.
const HEALTHY_WINDOW: usize = 256 * 1024;

impl World {
    /// Somebody wants a connection.
    pub(super) fn dial(&mut self, dialler: Dialler) -> SocketId {
        let network = &self.settings.network;
        let (first, last) = network.delay_us;
        let random = &mut self.random.network;
        let delay_us = [random.within(first..=last), random.within(first..=last)];
        let (up, down) = match self.stage {
            Stage::Active => (network.window_up, network.window_down),
            _ => (HEALTHY_WINDOW, HEALTHY_WINDOW),
        };
        let id = self.network.add(Socket {
            dialler,
            home: None,
            client_open: true,
            up: Pipe::new(up),
            down: Pipe::new(down),
            delay_us,
            is_silent: false,
            held_until_us: 0,
        });
        let user = self.add_line(dialler, Line::new);
        self.trace.note(self.now_us, "dial", u64::from(id.0), user.as_bytes()[0].into());
        self.plan(delay_us[0], Event::Dial(id));
        id
    }

    /// The line of a new connection: who it is that speaks there.
    pub(super) fn add_line(&mut self, dialler: Dialler, line: fn(UserId, u64, u32) -> Line) -> UserId {
        let (user, origin, life) = match dialler {
            Dialler::Client(client) => {
                let client = &self.clients[client];
                (client.user, client.origin, client.life)
            }
            Dialler::Intruder(intruder) => {
                let intruder = &self.intruders[intruder];
                (intruder.user, intruder.origin, intruder.life)
            }
            Dialler::Onlooker(onlooker) => {
                let onlooker = &self.onlookers[onlooker];
                (onlooker.user, onlooker.origin, 0)
            }
        };
        self.lines.push(line(user, origin, life));
        self.checks.typing.on_dialled(user, self.now_us);
        self.counts.dials += 1;
        user
    }

    /// The wish reaches the server: some shard takes it, if any takes connections.
    pub(super) fn on_dial(&mut self, id: SocketId) -> Verdict {
        let taking: Vec<usize> = self
            .process
            .iter()
            .flat_map(|process| process.seats.iter().enumerate())
            .filter(|(_, seat)| !seat.is_over && seat.driver.is_accepting)
            .map(|(shard, _)| shard)
            .collect();
        let Some(socket) = self.network.get(id).filter(|socket| !socket.is_silent) else { return Ok(()) };
        let (delay_us, client_open) = (socket.delay_us[1], socket.client_open);
        if taking.is_empty() || !client_open {
            self.plan(delay_us, Event::Answered(id, false));
            return Ok(());
        }
        self.plan(delay_us, Event::Answered(id, true));
        let shard = self.random.network.pick(&taking);
        let epoch = self.epoch;
        let Some(seat) = self.seat(epoch, shard) else { return Ok(()) };
        let Some(connection) = seat.driver.slots.insert(id) else {
            // No room: taken by the system, closed at once by the driver.
            let now_us = self.now_us;
            if let Some(socket) = self.network.get(id) {
                socket.down.last_us = now_us + delay_us + 1;
                socket.home = Some(Home {
                    epoch,
                    shard,
                    connection: ringwire_driver::ConnectionId { slot: u32::MAX, generation: 0 },
                });
            }
            self.hang_up(id, true);
            return Ok(());
        };
        seat.driver.inbox.push_back(Happened::Accepted(connection, id));
        if let Some(socket) = self.network.get(id) {
            socket.home = Some(Home { epoch, shard, connection });
        }
        self.wake(shard, 1);
        Ok(())
    }

    /// The answer reaches whoever dialled.
    pub(super) fn on_answered(&mut self, id: SocketId, accepted: bool) -> Verdict {
        let Some(socket) = self.network.get(id).filter(|socket| !socket.is_silent) else { return Ok(()) };
        if !socket.client_open {
            return Ok(());
        }
        match socket.dialler {
            Dialler::Client(client) => self.on_client_answered(client, id, accepted),
            Dialler::Onlooker(onlooker) => {
                self.on_onlooker_answered(onlooker, id, accepted);
                Ok(())
            }
            Dialler::Intruder(intruder) => {
                self.on_intruder_answered(intruder, id, accepted);
                Ok(())
            }
        }
    }

    /// From now on the network is healthy, but for connections that are dead already.
    pub(super) fn heal_network(&mut self) {
        let now_us = self.now_us;
        self.settings.network.piece = 16 * 1024;
        self.settings.network.short = 0;
        let datagrams = &mut self.settings.datagrams;
        (datagrams.loss, datagrams.double, datagrams.damage) = (0, 0, 0);
        (datagrams.strangers, datagrams.congestion) = (0, 0);
        let was_narrow = std::mem::replace(&mut datagrams.window, u32::MAX) != u32::MAX;
        self.paths.release(now_us);
        // A window of QUIC cannot be widened: whoever has a narrow one comes again.
        if was_narrow {
            self.end_all_quic();
        }
        let mut starved = Vec::new();
        for (id, socket) in self.network.open() {
            socket.held_until_us = socket.held_until_us.min(now_us);
            for side in [Side::Server, Side::Client] {
                socket.towards(side).window = HEALTHY_WINDOW;
                starved.extend(socket.towards(side).is_starved.then_some((id, side)));
            }
        }
        for (id, side) in starved {
            self.tell_writer(id, side);
        }
    }
}
