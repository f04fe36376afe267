//! Datagrams of any content from several addresses, and those of real clients, spoiled, doubled, late and from
//! elsewhere: never more than three times what came to an address that nobody has proven, never more connections than
//! there may be, and nothing left when all are silent.

#![no_main]

use std::net::SocketAddr;
use std::sync::LazyLock;

use quinn_proto::{ClientConfig, Dir};
use ringwire_fuzz::input::Input;
use ringwire_fuzz::quic::{Client, Server, address, config};

/// Steps of one script, and clients in it: a handshake is not for nothing.
const STEPS_MAX: usize = 200;
const CLIENTS_MAX: usize = 3;

/// Datagrams kept to be sent again.
const SEEN_MAX: usize = 64;

/// The first address of who never hears anything.
const STRANGERS: usize = 100;

/// What an address may be sent, beyond three times what came, where somebody may have moved there: some datagrams.
const ASKED_BYTES: usize = 6 * 1500;

static NATIVE: LazyLock<ClientConfig> = LazyLock::new(|| config("ringwire/1"));
static WEB: LazyLock<ClientConfig> = LazyLock::new(|| config("h3"));

struct World {
    server: Server,
    clients: Vec<Client>,
    /// Datagrams of clients, as they left.
    seen: Vec<(SocketAddr, Vec<u8>)>,
    /// Something came from a stranger for a connection that was there already, perhaps.
    moved: bool,
}

impl World {
    fn step(&mut self, input: &mut Input<'_>, what: u8) {
        match what % 10 {
            0 => {
                let from = address(STRANGERS + input.number() % 8);
                let mut datagram = input.piece().to_vec();
                // Long enough to be an Initial, where it looks like one.
                if what & 0x80 != 0 && !datagram.is_empty() {
                    datagram.resize(1200, what);
                }
                self.strange(from, &datagram);
            }
            1 if self.clients.len() < CLIENTS_MAX => {
                let config = if what & 0x80 == 0 { &*NATIVE } else { &*WEB };
                let nth = self.clients.len();
                self.clients.push(Client::new(self.server.instant(), nth, config));
            }
            2 => self.keep_flights(),
            3 | 4 => {
                let Some((from, mut datagram)) = self.pick(input.number()) else { return };
                if what % 10 == 4 {
                    input.spoil(&mut datagram);
                }
                self.server.receive(from, what >> 6, &datagram);
            }
            5 => {
                let Some((_, mut datagram)) = self.pick(input.number()) else { return };
                let from = address(STRANGERS + input.number() % 8);
                input.spoil(&mut datagram);
                self.strange(from, &datagram);
            }
            6 => {
                self.server.pass(1 << (input.number() % 14));
                self.turn(what & 0x80 == 0);
            }
            7 => {
                let nth = input.number();
                let Some(client) = nth.checked_rem(self.clients.len()).map(|at| &mut self.clients[at]) else {
                    return;
                };
                self.server.exchange(client);
            }
            8 => {
                let nth = input.number();
                let Some(client) = nth.checked_rem(self.clients.len()).map(|at| &mut self.clients[at]) else {
                    return;
                };
                let dir = if what & 0x80 == 0 { Dir::Bi } else { Dir::Uni };
                let bytes = input.piece();
                if let Some(stream) = client.connection.streams().open(dir) {
                    let _ = client.connection.send_stream(stream).write(bytes);
                }
                let _ = client.connection.datagrams().send(bytes.to_vec().into(), true);
            }
            _ => {
                let nth = input.number();
                if let Some(at) = nth.checked_rem(self.clients.len()) {
                    // It is somewhere else now, and notices or does not.
                    self.clients[at].address = address(10 + nth);
                    if what & 0x80 == 0 {
                        self.clients[at].connection.local_address_changed();
                    }
                }
            }
        }
    }

    fn strange(&mut self, from: SocketAddr, datagram: &[u8]) {
        self.moved |= datagram.first().is_some_and(|first| first & 0xb0 != 0x80);
        self.server.receive(from, 0, datagram);
    }

    fn pick(&self, nth: usize) -> Option<(SocketAddr, Vec<u8>)> {
        nth.checked_rem(self.seen.len()).map(|at| self.seen[at].clone())
    }

    /// What clients have to say is on its way, and comes when the script says so.
    fn keep_flights(&mut self) {
        let now = self.server.instant();
        for client in &mut self.clients {
            let address = client.address;
            self.seen.extend(client.flight(now).into_iter().map(|datagram| (address, datagram)));
        }
        let excess = self.seen.len().saturating_sub(SEEN_MAX);
        self.seen.drain(..excess);
    }

    /// What the server says reaches clients, or nobody.
    fn turn(&mut self, arrives: bool) {
        let now = self.server.instant();
        for (to, datagram) in self.server.turn() {
            if let Some(client) = self.clients.iter_mut().find(|client| arrives && client.address == to) {
                client.receive(now, &datagram);
            }
        }
        self.check();
    }

    fn check(&self) {
        let came_bytes: usize = self.server.accounts.values().map(|account| account.came_bytes).sum();
        for nth in STRANGERS..STRANGERS + 8 {
            let Some(account) = self.server.accounts.get(&address(nth)) else { continue };
            let most = match self.moved {
                true => 3 * came_bytes + ASKED_BYTES,
                false => 3 * account.came_bytes,
            };
            assert!(account.sent_bytes <= most, "{account:?}, and at most {most}");
        }
    }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let server = Server::new();
    let mut world = World { server, clients: Vec::new(), seen: Vec::new(), moved: false };
    for _ in 0..STEPS_MAX {
        let Some(what) = input.byte() else { break };
        world.step(&mut input, what);
    }
    world.turn(false);
    world.server.come_to_rest();
    world.check();
});
