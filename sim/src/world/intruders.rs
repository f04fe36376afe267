//! The sockets of those who do not play by the rules.

use bytes::Bytes;

use super::{Event, Stage, World};
use crate::check::Verdict;
use crate::check::exactly_once::Author;
use crate::network::{Chunk, Dialler, Side, SocketId};
use crate::workload::Intruder;

/// Steps after which an intruder hangs up and tries something else.
const STEPS: u32 = 60;

impl World {
    pub(super) fn add_intruder(&mut self) {
        self.lives += 1;
        let intruder = Intruder::new(self.lives, self.ids.len(), &mut self.random.workload);
        self.intruders.push(intruder);
        let in_us = self.random.workload.around(100_000);
        self.plan(in_us, Event::Intrude { intruder: self.intruders.len() - 1 });
    }

    pub(super) fn on_intruder_answered(&mut self, intruder: usize, id: SocketId, accepted: bool) {
        match &mut self.intruders[intruder].socket {
            Some((socket, connected)) if *socket == id && accepted => *connected = true,
            Some((socket, _)) if *socket == id => self.intruders[intruder].socket = None,
            _ => {}
        }
        if !accepted {
            self.let_go(id, false);
        }
    }

    /// Takes what has arrived and throws it away.
    pub(super) fn read_intruder(&mut self, intruder: usize) {
        while let Some((id, _)) = self.intruders[intruder].socket {
            if !self.intruders[intruder].reads() {
                return;
            }
            let Some(socket) = self.network.get(id) else { return };
            let Some(chunk) = socket.down.read(usize::MAX) else { return };
            self.tell_writer(id, Side::Client);
            if !matches!(chunk, Chunk::Bytes(_)) {
                self.intruders[intruder].socket = None;
                self.let_go(id, false);
            }
        }
    }

    pub(super) fn write_intruder(&mut self, intruder: usize) {
        let this = &mut self.intruders[intruder];
        let Some((id, true)) = this.socket else { return };
        let Some(socket) = self.network.get(id) else { return };
        let room = socket.up.room().min(this.out.len());
        socket.up.is_starved = room < this.out.len();
        if room > 0 {
            let bytes: Vec<u8> = this.out.drain(..room).collect();
            self.transmit(id, Side::Server, Bytes::from(bytes));
        }
    }

    pub(super) fn on_intrude(&mut self, intruder: usize) -> Verdict {
        if self.stage != Stage::Active {
            if let Some((id, _)) = self.intruders[intruder].socket.take() {
                self.let_go(id, false);
            }
            return Ok(());
        }
        let in_us = self.random.workload.around(60_000);
        self.plan(in_us, Event::Intrude { intruder });
        let over = self.intruders[intruder].steps > STEPS || self.random.workload.one_in(50);
        match self.intruders[intruder].socket {
            None => {
                self.lives += 1;
                let next = Intruder::new(self.lives, self.ids.len(), &mut self.random.workload);
                self.intruders[intruder] = next;
                let id = self.dial(Dialler::Intruder(intruder));
                self.intruders[intruder].socket = Some((id, false));
            }
            Some((_, false)) => {}
            Some((id, true)) if over => {
                self.intruders[intruder].socket = None;
                let resets = self.random.workload.one_in(2);
                self.let_go(id, resets);
            }
            Some((_, true)) => self.intruder_steps(intruder),
        }
        Ok(())
    }

    fn intruder_steps(&mut self, intruder: usize) {
        let body = self.settings.limits.body_bytes_max.min(300);
        let this = &mut self.intruders[intruder];
        // Several at once: what is in one segment is handled in one turn.
        for _ in 0..self.random.workload.within(1..=4) {
            let published = this.step(&mut self.random.workload, &self.ids, &self.names, body);
            if let Some((room, token)) = published {
                let author = Author { room, user: this.user, origin: this.origin };
                self.checks.exactly_once.on_wish(token, author, true);
                self.counts.wishes += 1;
            }
        }
        self.write_intruder(intruder);
    }
}
