//! Where datagrams go between clients and the server: each at its own pace, or not at all.
//!
//! A path is one address of somebody, towards the one address of the server. A client that moves has another one,
//! and what is on its way on the former is for nobody. Which shard's socket gets a datagram follows from the address,
//! as the kernel's hash does: mostly that is not the shard that has the connection.
//!
//! Owner: the world, which moves the datagrams by events. Lifetime: the world's; a path is never given twice.
//!
//! Invariants: a datagram arrives whole or not at all, and none that is longer than its path is wide.
//!
//! Deliberately absent: fragments (the product's sockets forbid them) and congestion (loss does not depend on load).

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::Dialler;
use crate::random::mix;

/// The server's one address.
pub const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(172, 31, 255, 1)), 7400);

/// The first host that clients are at.
const FIRST_HOST: u32 = 0xac10_0001;

/// Which path.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct PathId(pub u32);

/// See the module.
#[derive(Clone, Debug)]
pub struct Path {
    /// Whose address it is; `None`: somebody's who only sends.
    pub owner: Option<Dialler>,
    /// The address.
    pub address: SocketAddr,
    /// Time one way, microseconds, without what varies; to the server and to the client.
    pub delay_us: [u64; 2],
    /// The longest datagram that passes, bytes.
    pub width: usize,
    /// Marks of congestion do not pass.
    pub bleaches: bool,
    /// Nothing arrives any more, in either direction.
    pub is_silent: bool,
    /// Nothing arrives before this time.
    pub held_until_us: u64,
    /// What left before this time is lost.
    pub cut_us: u64,
}

/// All paths of a world.
#[derive(Debug, Default)]
pub struct Paths {
    paths: Vec<Path>,
    by_address: BTreeMap<SocketAddr, PathId>,
    hosts: u32,
}

impl Paths {
    /// A path from a host that nobody was at.
    pub fn add(
        &mut self,
        owner: Option<Dialler>,
        delay_us: [u64; 2],
        width: usize,
        bleaches: bool,
    ) -> PathId {
        let host = Ipv4Addr::from(FIRST_HOST + self.hosts);
        self.hosts += 1;
        self.insert(Path {
            owner,
            address: SocketAddr::new(IpAddr::V4(host), 4000),
            delay_us,
            width,
            bleaches,
            is_silent: false,
            held_until_us: 0,
            cut_us: 0,
        })
    }

    /// Another port of the same host, as who translates addresses gives after a while.
    pub fn add_port(&mut self, before: PathId) -> PathId {
        let mut path = self.get(before).clone();
        path.address.set_port(path.address.port() + 1);
        self.insert(path)
    }

    fn insert(&mut self, path: Path) -> PathId {
        let id = PathId(self.paths.len() as u32);
        self.by_address.insert(path.address, id);
        self.paths.push(path);
        id
    }

    /// The path of that number.
    pub fn get(&mut self, id: PathId) -> &mut Path {
        &mut self.paths[id.0 as usize]
    }

    /// The path to this address, if it is anybody's.
    pub fn find(&self, address: SocketAddr) -> Option<PathId> {
        self.by_address.get(&address).copied()
    }

    /// Lets all go that is held up.
    pub fn release(&mut self, now_us: u64) {
        for path in &mut self.paths {
            path.held_until_us = path.held_until_us.min(now_us);
        }
    }
}

/// Which of so many sockets of one port gets what comes from this address.
pub fn socket_of(address: SocketAddr, sockets: usize) -> usize {
    let host = match address.ip() {
        IpAddr::V4(ip) => u64::from(u32::from(ip)),
        IpAddr::V6(ip) => u128::from(ip) as u64,
    };
    (mix(host << 16 | u64::from(address.port())) % sockets.max(1) as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_has_an_address_of_its_own_and_a_port_changes_alone() {
        let mut paths = Paths::default();
        let owner = Some(Dialler::Client(3));
        let first = paths.add(owner, [1, 2], 1300, false);
        let second = paths.add(owner, [1, 2], 1300, false);
        let third = paths.add_port(first);
        let addresses = [first, second, third].map(|id| paths.get(id).address);
        assert_eq!(addresses.map(|address| paths.find(address)), [Some(first), Some(second), Some(third)]);
        assert_ne!(addresses[0].ip(), addresses[1].ip());
        assert_eq!(addresses[0].ip(), addresses[2].ip());
        assert_eq!(paths.find(SERVER), None);
    }

    #[test]
    fn every_socket_gets_something() {
        let mut paths = Paths::default();
        let mut got = [0; 4];
        for _ in 0..100 {
            let path = paths.add(None, [0, 0], 1200, false);
            got[socket_of(paths.get(path).address, 4)] += 1;
        }
        assert!(got.iter().all(|count| *count > 5), "{got:?}");
    }
}
