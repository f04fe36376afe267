//! Bytes between clients and shards: written, moved, read, and what happens when one end is gone.

use bytes::Bytes;
use ringwire_driver::ConnectionId;

use super::{Event, World};
use crate::check::{Promise, Verdict};
use crate::driver::Happened;
use crate::network::{Chunk, Dialler, Side, SocketId};
use crate::plant::Plant;

impl World {
    /// A shard sends.
    pub(super) fn send(
        &mut self,
        epoch: u32,
        shard: usize,
        connection: ConnectionId,
        payload: &Bytes,
    ) -> Verdict {
        let Some(seat) = self.seat(epoch, shard) else { return Ok(()) };
        let Some(occupant) = seat.driver.slots.get(connection) else { return Ok(()) };
        Promise::Contract.holds(!occupant.is_stalled, || {
            format!("shard {shard} sends to {connection:?}, which is stalled")
        })?;
        Promise::Contract
            .holds(!payload.is_empty(), || format!("shard {shard} sends nothing to {connection:?}"))?;
        let id = occupant.socket;
        if occupant.is_disconnected || occupant.is_closing {
            return Ok(());
        }
        let short = self.random.network.one_in(self.settings.network.short);
        let any = self.random.network.below(payload.len() as u64) as usize;
        let Some(socket) = self.network.get(id) else { return Ok(()) };
        let room = socket.down.room();
        let sent = if short { any.min(room) } else { payload.len().min(room) };
        let mut bytes = payload.slice(..sent);
        if self.plant == Some(Plant::Overtaking) && sent == payload.len() {
            bytes = super::listen::swap_messages(&bytes).unwrap_or(bytes);
        }
        if sent == payload.len() {
            match self.plant {
                Some(Plant::LostPresence) => bytes = super::listen::without_changes(&bytes),
                Some(Plant::DoubledInbox) => bytes = super::listen::with_twins(&bytes),
                _ => {}
            }
            if bytes.is_empty() {
                return Ok(());
            }
        }
        self.trace.note(self.now_us, "send", u64::from(id.0), sent as u64);
        self.hear(id, &bytes)?;
        self.transmit(id, Side::Client, bytes);
        if sent == payload.len() {
            return Ok(());
        }
        self.counts.stalls += 1;
        if let Some(seat) = self.seat(epoch, shard) {
            if let Some(occupant) = seat.driver.slots.get(connection) {
                occupant.is_stalled = true;
            }
            seat.driver.inbox.push_back(Happened::Stalled(connection, payload.clone(), sent));
        }
        if let Some(socket) = self.network.get(id) {
            socket.down.is_starved = true;
        }
        self.tell_writer(id, Side::Client);
        self.wake(shard, 1);
        Ok(())
    }

    /// How many bytes a reader is given at once.
    pub(super) fn piece(&mut self) -> usize {
        let random = &mut self.random.network;
        let most = if random.one_in(8) { 3 } else { self.settings.network.piece as u64 };
        random.within(1..=most) as usize
    }

    /// Puts bytes on their way to that side, in some pieces.
    pub(super) fn transmit(&mut self, id: SocketId, to: Side, mut bytes: Bytes) {
        let mut chunks = self.random.network.within(1..=self.settings.network.chunks);
        while !bytes.is_empty() {
            chunks -= 1;
            let piece = if chunks == 0 { bytes.len() } else { 1 + self.random.network.index(bytes.len()) };
            let chunk = Chunk::Bytes(bytes.split_to(piece));
            self.put_on_way(id, to, chunk);
            chunks = chunks.max(1);
        }
    }

    /// Writes to the server as much of this as the socket takes, and wants to hear when it takes more. Whether that was
    /// anything.
    pub(super) fn write_some(&mut self, id: SocketId, out: &mut Vec<u8>) -> bool {
        let Some(socket) = self.network.get(id) else { return false };
        let room = socket.up.room().min(out.len());
        socket.up.is_starved = room < out.len();
        if room == 0 {
            return false;
        }
        let bytes: Vec<u8> = out.drain(..room).collect();
        self.transmit(id, Side::Server, Bytes::from(bytes));
        true
    }

    fn put_on_way(&mut self, id: SocketId, to: Side, chunk: Chunk) {
        let now_us = self.now_us;
        let jitter_us = self.random.network.within(0..=self.settings.network.jitter_us);
        let Some(socket) = self.network.get(id) else { return };
        let delay_us = socket.delay_us[usize::from(to == Side::Client)] + jitter_us;
        let pipe = socket.towards(to);
        // None overtakes another.
        let at_us = (now_us + delay_us).max(pipe.last_us);
        pipe.last_us = at_us;
        if pipe.push(chunk) {
            self.plan(at_us - now_us, Event::Arrive(id, to));
        }
    }

    pub(super) fn on_arrive(&mut self, id: SocketId, side: Side) -> Verdict {
        let now_us = self.now_us;
        let Some(socket) = self.network.get(id) else { return Ok(()) };
        if socket.is_silent {
            socket.towards(side).vanish();
            return Ok(());
        }
        if socket.held_until_us > now_us {
            let in_us = socket.held_until_us - now_us;
            self.plan(in_us, Event::Arrive(id, side));
            return Ok(());
        }
        if !socket.towards(side).arrive() {
            return Ok(());
        }
        if !socket.is_open(side) {
            // Nobody is there: the system says so to whoever still writes.
            let mut any_bytes = false;
            while let Some(chunk) = socket.towards(side).read(usize::MAX) {
                any_bytes |= matches!(chunk, Chunk::Bytes(_));
            }
            if any_bytes && socket.is_open(side.other()) {
                self.put_on_way(id, side.other(), Chunk::Reset);
            }
            return Ok(());
        }
        match (side, socket.home, socket.dialler) {
            (Side::Server, Some(home), _) => {
                if let Some(seat) = self.seat(home.epoch, home.shard) {
                    seat.driver.on_readable(home.connection);
                    let in_us = self.random.schedule.within(0..=5);
                    self.wake(home.shard, in_us);
                }
                Ok(())
            }
            (Side::Client, _, Dialler::Client(client)) => self.read_client(client),
            (Side::Client, _, Dialler::Intruder(intruder)) => {
                self.read_intruder(intruder);
                Ok(())
            }
            (Side::Client, _, Dialler::Onlooker(onlooker)) => self.read_onlooker(onlooker, id),
            (Side::Server, None, _) => Ok(()),
        }
    }

    /// That side has read: a writer who waits for room is told, when there is some.
    pub(super) fn tell_writer(&mut self, id: SocketId, side: Side) {
        let Some(socket) = self.network.get(id) else { return };
        let delay_us = socket.delay_us[usize::from(side == Side::Server)];
        let pipe = socket.towards(side);
        // A system does not wake a writer for a few bytes.
        if pipe.is_starved && pipe.room() * 3 >= pipe.window {
            self.plan(delay_us, Event::Room(id, side));
        }
    }

    pub(super) fn on_room(&mut self, id: SocketId, side: Side) -> Verdict {
        let Some(socket) = self.network.get(id) else { return Ok(()) };
        let (home, dialler, is_silent) = (socket.home, socket.dialler, socket.is_silent);
        let pipe = socket.towards(side);
        if is_silent || !std::mem::take(&mut pipe.is_starved) {
            return Ok(());
        }
        match (side, home, dialler) {
            (Side::Client, Some(home), _) => {
                if let Some(seat) = self.seat(home.epoch, home.shard) {
                    seat.driver.inbox.push_back(Happened::Writable(home.connection));
                    self.wake(home.shard, 1);
                }
                Ok(())
            }
            (Side::Server, _, Dialler::Client(client)) => self.pump(client),
            (Side::Server, _, Dialler::Intruder(intruder)) => {
                self.write_intruder(intruder);
                Ok(())
            }
            (Side::Server, _, Dialler::Onlooker(onlooker)) => {
                self.write_onlooker(onlooker);
                Ok(())
            }
            (Side::Client, None, _) => Ok(()),
        }
    }

    /// A shard closes a connection: what it has sent still goes out, and the slot is free after `Closed`.
    pub(super) fn close(&mut self, epoch: u32, shard: usize, connection: ConnectionId) {
        let Some(seat) = self.seat(epoch, shard) else { return };
        let Some(occupant) = seat.driver.slots.get(connection).filter(|occupant| !occupant.is_closing) else {
            return;
        };
        occupant.is_closing = true;
        let id = occupant.socket;
        self.trace.note(self.now_us, "close", shard as u64, u64::from(connection.slot));
        let unread = self.network.get(id).is_some_and(|socket| socket.up.outstanding() > 0);
        self.hang_up(id, unread);
        let in_us = self.random.schedule.within(0..=200);
        self.plan(in_us, Event::Released { epoch, shard, connection });
    }

    pub(super) fn on_released(&mut self, epoch: u32, shard: usize, connection: ConnectionId) -> Verdict {
        if let Some(seat) = self.seat(epoch, shard) {
            seat.driver.inbox.push_back(Happened::Closed(connection));
            self.wake(shard, 1);
        }
        Ok(())
    }

    /// The server lets go of its end.
    pub(super) fn hang_up(&mut self, id: SocketId, resets: bool) {
        let Some(socket) = self.network.get(id) else { return };
        if socket.home.take().is_none() {
            return;
        }
        self.checks.order.on_closed(id.0);
        self.put_on_way(id, Side::Client, if resets { Chunk::Reset } else { Chunk::End });
        self.network.forget_if_closed(id);
    }

    /// The client lets go of its end.
    pub(super) fn let_go(&mut self, id: SocketId, resets: bool) {
        let Some(socket) = self.network.get(id) else { return };
        if !std::mem::take(&mut socket.client_open) {
            return;
        }
        self.put_on_way(id, Side::Server, if resets { Chunk::Reset } else { Chunk::End });
        self.network.forget_if_closed(id);
    }

    /// The connection breaks: somewhere in what flies, in both directions.
    pub(super) fn cut(&mut self, id: SocketId) {
        self.counts.cuts += 1;
        self.trace.note(self.now_us, "cut", u64::from(id.0), 0);
        for side in [Side::Server, Side::Client] {
            let Some(socket) = self.network.get(id) else { return };
            let flying = socket.towards(side).flying_bytes();
            let keep = self.random.network.index(flying + 1);
            let Some(socket) = self.network.get(id) else { return };
            if socket.towards(side).cut(keep) {
                let last_us = socket.towards(side).last_us;
                let in_us = last_us.saturating_sub(self.now_us) + 1;
                self.plan(in_us, Event::Arrive(id, side));
            }
        }
    }
}
