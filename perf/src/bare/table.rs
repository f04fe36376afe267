//! The bare loop's sockets: by slot, and by room in one piece of memory, so that a fan-out is a walk.

use std::collections::HashMap;
use std::net::TcpStream;
use std::rc::Rc;

/// One socket.
pub(super) struct Peer {
    pub(super) stream: TcpStream,
    pub(super) rooms: Vec<u32>,
    pub(super) is_upgraded: bool,
}

/// All sockets.
#[derive(Default)]
pub(super) struct Table {
    slots: Vec<Option<Rc<Peer>>>,
    free: Vec<usize>,
    rooms: HashMap<u32, Vec<Rc<Peer>>>,
}

impl Table {
    pub(super) fn next_slot(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        })
    }

    pub(super) fn put(&mut self, slot: usize, peer: Peer) {
        self.slots[slot] = Some(Rc::new(peer));
    }

    pub(super) fn get(&self, slot: usize) -> Option<&Peer> {
        self.slots.get(slot)?.as_deref()
    }

    /// The socket is upgraded and receives these rooms.
    pub(super) fn subscribe(&mut self, slot: usize, rooms: &[u32]) {
        let Some(peer) = self.slots.get_mut(slot).and_then(Option::take) else { return };
        // Nobody else refers to it before it is in a room.
        let Ok(mut peer) = Rc::try_unwrap(peer) else { return };
        peer.is_upgraded = true;
        peer.rooms = rooms.to_vec();
        let peer = Rc::new(peer);
        for room in rooms {
            self.rooms.entry(*room).or_default().push(Rc::clone(&peer));
        }
        self.slots[slot] = Some(peer);
    }

    pub(super) fn streams(&self, room: u32) -> impl Iterator<Item = &TcpStream> {
        self.rooms.get(&room).into_iter().flatten().map(|peer| &peer.stream)
    }

    pub(super) fn remove(&mut self, slot: usize) {
        let Some(peer) = self.slots[slot].take() else { return };
        for room in &peer.rooms {
            if let Some(list) = self.rooms.get_mut(room) {
                list.retain(|other| !Rc::ptr_eq(other, &peer));
            }
        }
        self.free.push(slot);
    }
}
