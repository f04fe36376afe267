//! A storm of reconnects: everybody is cut at once, misses messages, comes back and fetches them.
//!
//! The window is from the first connection attempt until everybody has everything. That nothing is missing
//! or doubled is checked by the adapter, page by page, while connections are set up.

use std::time::Duration;

use crate::fault::Result;
use crate::load::adapter::{Adapter, Role};
use crate::load::drive::{Plan, Seen, drive_count};
use crate::load::engine::Engine;
use crate::load::room::{Rooms, histogram};
use crate::scenario::Scenario;
use crate::system::now_ns;

/// Runs it, after everybody has subscribed.
///
/// # Errors
/// Somebody is refused, or does not get exactly what it missed.
pub fn run<A: Adapter>(
    scenario: &Scenario,
    engine: &mut Engine<A>,
    rooms: &mut Rooms,
    plan: &Plan,
    at_edge: &mut dyn FnMut() -> Result<()>,
    check: &mut dyn FnMut() -> Result<()>,
) -> Result<Seen> {
    // One message each with everybody there, so that everybody has a place to resume from.
    drive_count(engine, rooms, plan, 1, check)?;
    let back: Vec<(u32, Role)> = engine
        .connections()
        .iter()
        .zip(0..)
        .filter_map(|(connection, index)| match &connection.who.role {
            Role::Subscriber(of) => {
                let room = of.first().copied()?;
                Some((
                    index,
                    Role::Resumer {
                        room,
                        after: rooms.server_sequence(room),
                        missed: scenario.missed_each(),
                    },
                ))
            }
            _ => None,
        })
        .collect();
    for (index, _) in &back {
        engine.cut(*index);
        rooms.leave(*index);
    }
    drive_count(engine, rooms, plan, scenario.missed_each(), check)?;
    engine.sleeps = true;
    // Let the server notice that they are gone: coming back is what is measured.
    let until = now_ns() + 300_000_000;
    while now_ns() < until {
        engine.turn(Some(Duration::from_millis(10)), &mut |_, _, _, _| Ok(()))?;
    }
    at_edge()?;
    let (began, waited, received) = (now_ns(), engine.waited_ns, engine.received_bytes);
    engine.reconnect(back, check, &mut |_, _, _, _| Ok(()))?;
    let window_ns = now_ns() - began;
    at_edge()?;
    Ok(Seen {
        deliveries: u64::from(scenario.subscribers),
        publishes: 0,
        window_ns,
        latencies: histogram(),
        busy_share: 1.0 - (engine.waited_ns - waited) as f64 / window_ns as f64,
        received_bytes: engine.received_bytes - received,
    })
}
