//! What clients of tests say, with everything that a test does not care about.

use ringwire_protocol::id::{ConversationId, DeviceId};
use ringwire_protocol::message::{Direction, Durability, Fetch, Hello, Kind, Publish, VERSION, View};

/// Who somebody is.
pub fn hello<'a>(token: &'a str, device: &str, capabilities: u64) -> Hello<'a> {
    Hello {
        version_min: VERSION,
        version_max: VERSION,
        device: DeviceId::from_name(device),
        capabilities,
        token,
        agent: "test",
        cursors: Default::default(),
        attempt: 0,
    }
}

/// A text, to be synced.
pub fn publish<'a>(room: &str, client_sequence: u64, body: &'a [u8]) -> Publish<'a> {
    Publish {
        conversation: ConversationId::from_name(room),
        client_sequence,
        reference: 0,
        kind: Kind::Text,
        durability: Durability::Synced,
        body,
    }
}

/// As much history from a place on as there may be in a page.
pub fn fetch(room: &str, request: u32, from: u64) -> Fetch {
    Fetch {
        request,
        conversation: ConversationId::from_name(room),
        from,
        limit: 256,
        direction: Direction::Forward,
        view: View::Raw,
    }
}
