//! The connections of those who do not play by the rules, and what they send without having one.

use bytes::Bytes;

use super::{Event, Stage, World};
use crate::check::exactly_once::Author;
use crate::check::{Promise, Verdict};
use crate::client::quic::{Brought, Manner, Quic};
use crate::network::trust::Tickets;
use crate::network::{Chunk, Dialler, Side, SocketId};
use crate::workload::{Conduct, Intruder};

/// Steps after which an intruder hangs up and tries something else.
const STEPS: u32 = 60;

/// Datagrams that one sends at once who floods.
const FLOOD: u64 = 40;

/// The shortest datagram that may begin a connection (RFC 9000 §14.1).
const INITIAL_BYTES_MIN: usize = 1200;

impl World {
    pub(super) fn add_intruder(&mut self) {
        let intruder = self.new_intruder();
        self.intruders.push(intruder);
        let in_us = self.random.workload.around(100_000);
        self.plan(in_us, Event::Intrude { intruder: self.intruders.len() - 1 });
    }

    fn new_intruder(&mut self) -> Intruder {
        self.lives += 1;
        let is_on_quic = self.random.datagrams.one_in(self.settings.datagrams.share);
        let random = &mut self.random.workload;
        let conduct = if is_on_quic { Conduct::draw_on_quic(random) } else { Conduct::draw(random) };
        Intruder::new(self.lives, self.ids.len(), conduct, is_on_quic)
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
        if let Some(quic) = &mut this.quic {
            let written = quic.write(&this.out);
            this.out.drain(..written);
            for frame in this.beside.drain(..) {
                self.counts.noise += 1;
                quic.tell(frame);
            }
            for (dir, said) in this.streams.drain(..) {
                self.counts.streams_too_many += u64::from(quic.open_more(dir, &said));
            }
            return self.flush_quic(Dialler::Intruder(intruder));
        }
        let mut out = std::mem::take(&mut this.out);
        self.write_some(id, &mut out);
        self.intruders[intruder].out = out;
    }

    /// An intruder's connection has something to look at.
    pub(super) fn serve_intruder_quic(&mut self, intruder: usize) -> Verdict {
        let (instant, epoch) = (self.client_instant(), self.epoch);
        if let Some(quic) = &mut self.intruders[intruder].quic {
            quic.serve(instant);
        }
        while self.intruders[intruder].reads() {
            let this = &mut self.intruders[intruder];
            let (Some(quic), Some((id, connected))) = (&mut this.quic, &mut this.socket) else { break };
            let id = *id;
            match quic.poll(usize::MAX) {
                None => break,
                Some(Brought::Open) => *connected = true,
                Some(Brought::Confirmed(_)) => quic.epoch = epoch,
                Some(Brought::Stream(bytes)) => self.hear(id, &bytes)?,
                Some(Brought::Beside(frame)) => self.hear_beside(id, &frame)?,
                Some(Brought::Fault(fault)) => {
                    return Promise::Contract.broken(format!("an intruder gets {fault}"));
                }
                Some(Brought::Lost(_)) => self.let_intruder_go(intruder, false),
            }
        }
        self.write_intruder(intruder);
        self.flush_quic(Dialler::Intruder(intruder));
        Ok(())
    }

    /// An intruder gives up its connection, with a word or without.
    fn let_intruder_go(&mut self, intruder: usize, resets: bool) {
        let instant = self.client_instant();
        let this = &mut self.intruders[intruder];
        let Some((id, _)) = this.socket.take() else { return };
        let Some(quic) = &mut this.quic else { return self.let_go(id, resets) };
        if !resets {
            quic.close(instant, 3000, "");
            self.flush_quic(Dialler::Intruder(intruder));
        }
        self.intruders[intruder].quic = None;
        self.checks.order.on_closed(id.0);
    }

    pub(super) fn on_intrude(&mut self, intruder: usize) -> Verdict {
        if self.stage != Stage::Active {
            self.let_intruder_go(intruder, false);
            return Ok(());
        }
        let in_us = self.random.workload.around(60_000);
        self.plan(in_us, Event::Intrude { intruder });
        let over = self.intruders[intruder].steps > STEPS || self.random.workload.one_in(50);
        match self.intruders[intruder].socket {
            None if !self.intruders[intruder].conduct.connects() && !over => {
                self.intrude_unconnected(intruder)
            }
            None => {
                self.intruders[intruder] = self.new_intruder();
                self.dial_intruder(intruder);
            }
            Some((_, false)) => {}
            Some((_, true)) if over => {
                let resets = self.random.workload.one_in(2);
                self.let_intruder_go(intruder, resets);
            }
            Some((_, true)) => self.intruder_steps(intruder),
        }
        Ok(())
    }

    fn dial_intruder(&mut self, intruder: usize) {
        let whose = Dialler::Intruder(intruder);
        let this = &self.intruders[intruder];
        if !this.conduct.connects() {
            return;
        }
        if this.is_on_quic() {
            let (id, quic) = self.begin_quic(whose, Tickets::new(false));
            self.intruders[intruder].quic = Some(quic);
            self.intruders[intruder].socket = Some((id, false));
            return self.flush_quic(whose);
        }
        let id = self.dial(whose);
        self.intruders[intruder].socket = Some((id, false));
    }

    /// Sends what begins a connection, or looks so, and is not heard of again.
    fn intrude_unconnected(&mut self, intruder: usize) {
        let this = &mut self.intruders[intruder];
        this.steps += 1;
        let is_flood = this.conduct == Conduct::Flood;
        for _ in 0..self.random.datagrams.within(1..=if is_flood { FLOOD } else { 3 }) {
            let path = self.new_path(None);
            let random = &mut self.random.datagrams;
            if is_flood {
                let mut datagram: Vec<u8> = (0..32).map(|_| random.word() as u8).collect();
                datagram.resize(INITIAL_BYTES_MIN, 0);
                datagram[..6].copy_from_slice(&[0xc3, 0, 0, 0, 1, 8]);
                self.counts.half_begun += 1;
                self.put_datagram(path, Side::Server, 0, Bytes::from(datagram));
                continue;
            }
            let manner = Manner { tickets: Tickets::new(false), window: u32::MAX, is_ordered: true };
            let (now, cut) = (self.client_instant(), self.random.datagrams.below(4));
            let mut quic = Quic::dial(now, path, manner, &mut self.random.datagrams);
            let Some((ecn, datagrams)) = quic.transmit(now) else { continue };
            // Whole, without its end, or without its beginning.
            let datagrams = datagrams.into_iter().map(|datagram| match cut {
                0 => datagram.slice(..datagram.len() / 2),
                _ => datagram,
            });
            for datagram in datagrams.skip(usize::from(cut == 1)) {
                self.counts.half_begun += 1;
                self.put_datagram(path, Side::Server, ecn, datagram);
            }
        }
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
