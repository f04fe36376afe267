//! Connections of QUIC, at the end of those who dial: what they bring, what they are told, and when they want their turn.

use ringwire_client::core::Cause;

use super::datagrams::base;
use super::listen::Line;
use super::{Event, World};
use crate::check::Verdict;
use crate::client::quic::{Brought, Manner, Quic};
use crate::network::trust::Tickets;
use crate::network::{Dialler, Side, SocketId};
use crate::plant::Plant;

impl World {
    /// Whether this client's next connection is one of QUIC. After one that did not come about it is not: clients
    /// fall back.
    pub(super) fn wants_quic(&mut self, client: usize) -> bool {
        let drawn = self.random.datagrams.one_in(self.settings.datagrams.share);
        let fell_back = std::mem::take(&mut self.clients[client].falls_back);
        drawn && !fell_back
    }

    /// Somebody dials from an address of his own: the connection, and the number that is its name.
    pub(super) fn begin_quic(&mut self, whose: Dialler, tickets: Tickets) -> (SocketId, Box<Quic>) {
        let path = self.new_path(Some(whose));
        let is_ordered = self.plant != Some(Plant::UnorderedStream);
        let manner = Manner { tickets, window: self.settings.datagrams.window, is_ordered };
        let quic = Quic::dial(self.client_instant(), path, manner, &mut self.random.datagrams);
        let id = self.network.reserve();
        self.add_line(whose, Line::of_stream);
        self.counts.quic_dials += 1;
        self.trace.note(self.now_us, "dial-quic", u64::from(id.0), u64::from(path.0));
        (id, Box::new(quic))
    }

    /// A client dials.
    fn dial_quic(&mut self, client: usize) {
        let is_browser = self.random.datagrams.one_in(self.settings.datagrams.browsers);
        let tickets = &mut self.clients[client].tickets;
        let tickets = tickets.get_or_insert_with(|| Tickets::new(is_browser)).clone();
        self.counts.web_dials += u64::from(tickets.is_browser);
        let (id, quic) = self.begin_quic(Dialler::Client(client), tickets);
        let now = self.client_now();
        let this = &mut self.clients[client];
        this.falls_back = true;
        this.socket = Some((id, quic.is_early()));
        if quic.is_early() {
            this.link.on_open_stream(now);
        }
        this.quic = Some(quic);
    }

    /// The connection of somebody who has one.
    pub(super) fn quic_of(&mut self, whose: Dialler) -> Option<&mut Quic> {
        match whose {
            Dialler::Client(client) => self.clients[client].quic.as_deref_mut(),
            Dialler::Intruder(intruder) => self.intruders[intruder].quic.as_deref_mut(),
            Dialler::Onlooker(onlooker) => self.onlookers[onlooker].quic.as_deref_mut(),
        }
    }

    /// Somebody's connection has something to look at.
    pub(super) fn serve_quic(&mut self, whose: Dialler) -> Verdict {
        match whose {
            Dialler::Client(client) => self.serve_client_quic(client),
            Dialler::Intruder(intruder) => self.serve_intruder_quic(intruder),
            Dialler::Onlooker(onlooker) => self.serve_onlooker_quic(onlooker),
        }
    }

    pub(super) fn serve_client_quic(&mut self, client: usize) -> Verdict {
        if self.is_frozen(client) {
            return Ok(());
        }
        let (now, instant, epoch) = (self.client_now(), self.client_instant(), self.epoch);
        if let Some(quic) = &mut self.clients[client].quic {
            quic.serve(instant);
        }
        loop {
            let most = self.piece_of_stream();
            let this = &mut self.clients[client];
            let (Some(quic), Some((id, _))) = (&mut this.quic, this.socket) else { break };
            match quic.poll(most) {
                None => break,
                Some(Brought::Open) => {
                    self.counts.web_opened += u64::from(quic.is_browser());
                    this.socket = Some((id, true));
                    this.link.on_open_stream(now);
                }
                Some(Brought::Confirmed(early)) => {
                    this.falls_back = false;
                    quic.epoch = epoch;
                    self.counts.quic_opened += 1;
                    self.counts.proven += u64::from(self.settings.limits.quic_unvalidated_max == 0);
                    self.counts.early += u64::from(early == Some(true));
                    self.counts.early_refused += u64::from(early == Some(false));
                }
                Some(Brought::Stream(bytes)) => {
                    self.counts.moves_survived += u64::from(std::mem::take(&mut quic.has_moved));
                    self.hear(id, &bytes)?;
                    self.clients[client].link.on_bytes(now, &mut bytes.to_vec());
                }
                Some(Brought::Beside(frame)) => {
                    self.hear_beside(id, &frame)?;
                    self.clients[client].link.on_frame(now, &frame);
                }
                Some(Brought::Fault(fault)) => this.link.on_fault(fault),
                Some(Brought::Lost(cause)) => {
                    self.counts.resets += u64::from(quic.was_reset);
                    self.end_quic(client, cause);
                }
            }
        }
        self.pump(client)
    }

    fn piece_of_stream(&mut self) -> usize {
        let random = &mut self.random.datagrams;
        let most = if random.one_in(8) { 3 } else { self.settings.network.piece as u64 };
        random.within(1..=most) as usize
    }

    /// The connection is over, for the client.
    pub(super) fn end_quic(&mut self, client: usize, cause: Cause) {
        let now = self.client_now();
        let this = &mut self.clients[client];
        this.quic = None;
        this.out.clear();
        this.is_welcome = false;
        let socket = this.socket.take();
        self.trace.tell(self.now_us, || format!("client {}: QUIC is over: {cause:?}", this.life));
        this.link.on_closed(now, cause);
        if let Some((id, _)) = socket {
            self.trace.note(self.now_us, "end-quic", u64::from(id.0), 0);
            self.checks.order.on_closed(id.0);
        }
    }

    /// All clients lose their QUIC connections; what they do about it, they do when they are served next.
    pub(super) fn end_all_quic(&mut self) {
        for client in 0..self.clients.len() {
            if self.clients[client].quic.is_some() {
                self.end_quic(client, Cause::Network("the network begins anew".to_owned()));
            }
        }
        self.end_quic_of_onlookers();
    }

    /// Writes what the client has to say. Whether that was anything.
    pub(super) fn write_quic(&mut self, client: usize) -> bool {
        let now = self.client_now();
        let this = &mut self.clients[client];
        let mut any = false;
        while let (Some(quic), Some((_, true))) = (&mut this.quic, this.socket) {
            if this.out.is_empty() {
                this.link.poll_output(now, &mut this.out);
            }
            while let Some(frame) = this.link.poll_datagram() {
                any = true;
                if !quic.tell(frame.clone()) {
                    this.out.extend_from_slice(&frame);
                }
            }
            // To write nothing is something, too: a frame of the stream without bytes.
            if this.out.is_empty() && !quic.repeats() {
                break;
            }
            let repeats = quic.repeats();
            let written = quic.write(&this.out);
            if repeats && !quic.repeats() {
                any = true;
                continue;
            }
            this.out.drain(..written);
            any |= written > 0;
            if written == 0 {
                break;
            }
        }
        any
    }

    /// The client gives the connection up, with a last word.
    pub(super) fn close_quic(&mut self, client: usize) {
        let instant = self.client_instant();
        self.write_quic(client);
        let this = &mut self.clients[client];
        let (code, reason) = this.link.take_goodbye();
        if let Some(quic) = &mut this.quic {
            quic.say_end(code, &reason);
        }
        self.flush_quic(Dialler::Client(client));
        let this = &mut self.clients[client];
        if let Some(quic) = &mut this.quic {
            quic.close(instant, code, &reason);
        }
        self.flush_quic(Dialler::Client(client));
        self.end_quic(client, Cause::Wanted);
    }

    /// Sends what the connection has to send, and sets its timer.
    pub(super) fn flush_quic(&mut self, whose: Dialler) {
        let instant = self.client_instant();
        let (now_us, version) = (self.now_us, self.quic_wakes + 1);
        while let Some(quic) = self.quic_of(whose) {
            let path = quic.path;
            let Some((ecn, datagrams)) = quic.transmit(instant) else { break };
            for bytes in datagrams {
                self.put_datagram(path, Side::Server, ecn, bytes);
            }
        }
        let Some(quic) = self.quic_of(whose) else { return };
        let at_us = quic.deadline().map(|at| {
            let age = at.saturating_duration_since(base()).as_nanos().div_ceil(1000);
            u64::try_from(age).unwrap_or(u64::MAX).max(now_us + 1)
        });
        if at_us == quic.wake_at_us {
            return;
        }
        quic.wake_at_us = at_us;
        quic.wake_version = version;
        self.quic_wakes = version;
        if let Some(at_us) = at_us {
            self.plan(at_us - now_us, Event::QuicWake { whose, version });
        }
    }

    pub(super) fn on_quic_wake(&mut self, whose: Dialler, version: u32) -> Verdict {
        match self.quic_of(whose) {
            Some(quic) if quic.wake_version == version => quic.wake_at_us = None,
            _ => return Ok(()),
        }
        self.serve_quic(whose)
    }

    /// Whether the connection with this number is one of QUIC to a process that lives, on a path that does.
    pub(super) fn is_alive_on_quic(&mut self, id: SocketId) -> bool {
        let epoch = self.process.as_ref().map(|process| process.epoch);
        let clients = self.clients.iter().map(|client| (client.socket, &client.quic));
        let onlookers = self.onlookers.iter().map(|onlooker| (onlooker.socket, &onlooker.quic));
        let mut all = clients.chain(onlookers);
        let found = all.find(|(socket, _)| socket.is_some_and(|(socket, _)| socket == id));
        let Some(quic) = found.and_then(|(_, quic)| quic.as_ref()) else { return false };
        let (path, dialled) = (quic.path, quic.epoch);
        Some(dialled) == epoch && !self.paths.get(path).is_silent
    }

    /// A client wants a connection.
    pub(super) fn dial_for(&mut self, client: usize) {
        if self.wants_quic(client) {
            return self.dial_quic(client);
        }
        let id = self.dial(Dialler::Client(client));
        self.clients[client].socket = Some((id, false));
    }
}
