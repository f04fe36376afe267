//! Clients against a small server in memory, over connections that break at any byte: thousands of seeds.
//!
//! The server is simple and obeys the protocol; everything around it does not: bytes come in pieces and late, connections
//! break and their last bytes are read long afterwards, publishes and fetches are refused for a moment or for good, live
//! messages are replaced by heads, pages are short, the server restarts and forgets what was not durable.
//!
//! What must hold all the same is at the end of [`World::check`].

mod server;
mod world;

use world::{Plan, World};

/// Seeds per test; more by RINGWIRE_CLIENT_SEEDS, for a night.
#[expect(clippy::disallowed_methods, reason = "how long a test runs is no configuration of the library")]
fn seeds() -> u64 {
    std::env::var("RINGWIRE_CLIENT_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000)
}

#[track_caller]
fn check(first: u64, plan: Plan) {
    for seed in first..first + seeds() {
        let mut world = World::new(seed, plan);
        world.run();
        if let Err(problem) = world.check() {
            panic!("seed {seed}: {problem}");
        }
    }
}

#[test]
fn every_publish_is_settled_once_and_every_reader_sees_everything_in_order() {
    check(0, Plan { restarts: false, fenced: true, counted: true, finals: true });
}

#[test]
fn the_same_when_the_server_restarts_and_loses_what_was_not_durable() {
    check(1 << 32, Plan { restarts: true, fenced: true, counted: true, finals: true });
}

/// Without final refusals nothing is renumbered, and then no fence is needed.
#[test]
fn the_same_without_a_fence_as_long_as_nothing_is_renumbered() {
    check(2 << 32, Plan { restarts: false, fenced: false, counted: false, finals: false });
}

/// The canary: renumbering against a server that still takes publishes from a session of the device that has been
/// superseded. If this stops failing, the model has stopped looking.
#[test]
fn without_a_fence_renumbering_is_caught_making_doubles() {
    let caught = (3 << 32..(3 << 32) + 4 * seeds()).any(|seed| {
        let mut world =
            World::new(seed, Plan { restarts: false, fenced: false, counted: false, finals: true });
        world.run();
        world.check().is_err()
    });
    assert!(caught, "no seed noticed the missing fence");
}

/// Another one: the first flight of a connection that was given up is read behind the next one's, and counts as newer.
#[test]
fn with_a_fence_that_goes_by_arrival_a_late_first_flight_is_caught_making_trouble() {
    let caught = (4 << 32..(4 << 32) + 4 * seeds()).any(|seed| {
        let mut world =
            World::new(seed, Plan { restarts: false, fenced: true, counted: false, finals: true });
        world.run();
        world.check().is_err()
    });
    assert!(caught, "no seed noticed that the order of arrival is not that of the client");
}
