//! Scenarios: what is done to a server, as files in `perf/scenarios`.
//!
//! A scenario may have `steps`, which are measured one after the other within each turn and make the
//! horizontal axis of its plots, and a `versus`, the same scenario with something changed, which our server
//! is measured with in turns.

mod people;
mod steps;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::Duration;

use ringwire_protocol::message::Durability;
use serde::Deserialize;

use crate::fault::{Fault, Result};
use crate::load::drive::{Pace, Plan};

/// What a scenario does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Publishers publish, subscribers receive.
    Fanout,
    /// Every connection has one ping under way.
    Echo,
    /// Connections are opened and signed in as fast as the server takes them.
    Connect,
    /// All subscribers are cut at once, and come back for what they missed.
    Reconnect,
    /// Connections are signed in and say nothing: what they hold, and what they cost.
    Idle,
    /// No connections: records are appended to a store alone, a batch at a time.
    Append,
}

/// What a publish is acknowledged for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Promise {
    /// Nothing durable: what the peers promise.
    #[default]
    Memory,
    /// The disk has it.
    Synced,
}

impl Promise {
    /// The same on the wire.
    #[must_use]
    pub fn durability(self) -> Durability {
        match self {
            Promise::Memory => Durability::Memory,
            Promise::Synced => Durability::Synced,
        }
    }
}

impl std::fmt::Display for Promise {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Promise::Memory => "memory",
            Promise::Synced => "synced",
        })
    }
}

/// What is different in the other half of a comparison of our server with itself.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Versus {
    /// What it is called in tables.
    pub name: String,
    /// Shards of the server.
    pub shards: Option<u16>,
    /// Subscribers that stop reading.
    pub stopped_readers: Option<u32>,
}

/// One file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// The file's name.
    #[serde(skip)]
    pub name: String,
    /// One sentence.
    pub about: String,
    /// What is done.
    pub kind: Kind,
    /// Rooms (`append`: conversations that records are of).
    #[serde(default = "one")]
    pub rooms: u32,
    /// Connections that receive, spread evenly over the rooms (for `echo` and `connect`: that ping, or are
    /// opened; `append`: none).
    #[serde(default)]
    pub subscribers: u32,
    /// Rooms that each of them receives.
    #[serde(default = "one")]
    pub rooms_per_subscriber: u32,
    /// Connections that publish; room `r` belongs to publisher `r % publishers`.
    #[serde(default = "one")]
    pub publishers: u32,
    /// Distinct users; connections beyond are further devices of the same.
    #[serde(default = "many_users")]
    pub users: u32,
    /// Bytes of a body.
    #[serde(default = "small_body")]
    pub body_bytes: u32,
    /// Closed loop: messages of each room under way; with `read_every_ms`, of each publisher.
    pub window: Option<u32>,
    /// Closed loop: publish a whole window when the last one is complete.
    #[serde(default)]
    pub whole_windows: bool,
    /// Closed loop: subscribers are read only so often, and acknowledgements pace the publishers: many
    /// deliveries come with one read, so that the generator costs little beside the server. Latencies have
    /// this wait in them.
    pub read_every_ms: Option<u32>,
    /// Open loop: publishes per second in all.
    pub per_second: Option<f64>,
    /// Open loop: how uneven the rooms are (0: all alike; 1: the n-th gets 1/n of the first).
    #[serde(default)]
    pub zipf: f64,
    /// Subscribers that stop reading before the warm-up; nothing is expected of them.
    #[serde(default)]
    pub stopped_readers: u32,
    /// What publishes ask for.
    #[serde(default)]
    pub durability: Promise,
    /// `reconnect`: messages that are published meanwhile, over all rooms.
    #[serde(default = "missed")]
    pub missed: u32,
    /// Seconds before the window.
    #[serde(default = "warm_up")]
    pub warm_up_s: f64,
    /// Seconds of the window.
    #[serde(default = "window")]
    pub window_s: f64,
    /// Shards of the server, on as many processors; 0: its default, on one.
    #[serde(default = "one_shard")]
    pub shards: u16,
    /// Settings of the server, as after `--set`.
    #[serde(default)]
    pub settings: Vec<String>,
    /// Whether the bare loop that joins the messages of one read is compared with as well.
    #[serde(default)]
    pub coalescing: bool,
    /// Values of `per_second` (a fanout), `subscribers` (idle) or of records per batch (append) that are measured
    /// one after the other.
    #[serde(default)]
    pub steps: Vec<f64>,
    /// Our server with something changed, measured in turns with this.
    pub versus: Option<Versus>,
}

fn one() -> u32 {
    1
}
fn many_users() -> u32 {
    32
}
fn small_body() -> u32 {
    64
}
fn missed() -> u32 {
    1000
}
fn warm_up() -> f64 {
    0.3
}
fn window() -> f64 {
    1.0
}
fn one_shard() -> u16 {
    1
}

/// The folder of scenarios.
#[must_use]
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")
}

/// Names of all scenarios, sorted.
///
/// # Errors
/// The folder cannot be read.
pub fn names() -> Result<Vec<String>> {
    let folder = folder();
    let entries =
        std::fs::read_dir(&folder).map_err(Fault::system(format!("reading {}", folder.display())))?;
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".toml").map(str::to_owned))
        .collect();
    names.sort_unstable();
    Ok(names)
}

/// Reads the scenario of a name, or a file where `name` ends in `.toml`.
///
/// # Errors
/// There is none, or something in it does not exist or contradicts something else.
pub fn read(name: &str) -> Result<Scenario> {
    let path =
        if name.ends_with(".toml") { PathBuf::from(name) } else { folder().join(format!("{name}.toml")) };
    let text = std::fs::read_to_string(&path).map_err(|error| {
        let known = names().map(|names| names.join(", ")).unwrap_or_default();
        Fault::Usage(format!("no scenario {}: {error}; there are {known}", path.display()))
    })?;
    let mut scenario = parse(&text).map_err(|what| Fault::Usage(format!("{}: {what}", path.display())))?;
    scenario.name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or(name).to_owned();
    Ok(scenario)
}

fn parse(text: &str) -> std::result::Result<Scenario, String> {
    let scenario: Scenario = toml::from_str(text).map_err(|error| error.to_string())?;
    for step in scenario.steps() {
        for scenario in [Some(scenario.at(step)), scenario.at(step).versus()].into_iter().flatten() {
            scenario.check_people()?;
            scenario.check_pace()?;
        }
    }
    Ok(scenario)
}

fn wrong(what: &str) -> std::result::Result<(), String> {
    Err(what.to_owned())
}

impl Scenario {
    fn check_people(&self) -> std::result::Result<(), String> {
        if self.rooms == 0 || self.publishers == 0 || self.users == 0 || self.rooms_per_subscriber == 0 {
            return wrong("rooms, rooms_per_subscriber, publishers and users are at least 1");
        }
        if self.rooms_per_subscriber > self.rooms {
            return wrong("rooms_per_subscriber is more than there are rooms");
        }
        if self.kind == Kind::Append {
            return self.check_append();
        }
        if self.rooms.div_ceil(self.publishers) > 250 || self.rooms_per_subscriber > 250 {
            return wrong("one connection has 250 rooms at most: raise publishers");
        }
        if self.kind == Kind::Fanout && self.subscribers == 0 && self.publishers != self.rooms {
            return wrong(
                "without subscribers every room has a publisher of its own, whose acknowledgements count",
            );
        }
        if self.kind != Kind::Fanout && self.subscribers == 0 {
            return wrong("subscribers is at least 1: nobody else connects in this kind of scenario");
        }
        if self.stopped_readers > self.subscribers {
            return wrong("stopped_readers is more than there are subscribers");
        }
        Ok(())
    }

    fn check_append(&self) -> std::result::Result<(), String> {
        if self.subscribers > 0 || self.versus.is_some() || self.window.is_some() {
            return wrong("nobody connects while records are appended: no subscribers, window or versus");
        }
        if self.steps.is_empty() || self.steps.iter().any(|batch| !(1.0..=65536.0).contains(batch)) {
            return wrong("steps says how many records a batch has, 1 to 65,536 each");
        }
        Ok(())
    }

    fn check_pace(&self) -> std::result::Result<(), String> {
        if self.kind == Kind::Fanout && self.window.is_some() == self.per_second.is_some() {
            return wrong("a fanout is either closed (window) or open (per_second)");
        }
        if self.window.is_some_and(|window| !(1..=64).contains(&window)) {
            return wrong("window is 1 to 64: the server grants no more");
        }
        if self.per_second.is_some_and(|rate| !(rate > 0.0 && rate <= 1e7)) {
            return wrong("per_second is more than 0 and at most 10,000,000");
        }
        if self.zipf != 0.0 && self.per_second.is_none() {
            return wrong("zipf needs an open loop (per_second)");
        }
        if self.read_every_ms.is_some_and(|wait| !(1..=1000).contains(&wait)) {
            return wrong("read_every_ms is 1 to 1000");
        }
        if self.read_every_ms.is_some()
            && (self.window.is_none() || self.whole_windows || self.subscribers == 0)
        {
            return wrong("read_every_ms needs subscribers and a closed loop without whole_windows");
        }
        if !(self.window_s > 0.0 && self.warm_up_s >= 0.0 && self.window_s + self.warm_up_s < 3600.0) {
            return wrong("window_s is more than 0, warm_up_s at least 0, both together less than an hour");
        }
        Ok(())
    }

    /// All connections of a run.
    #[must_use]
    pub fn connections(&self) -> u32 {
        self.subscribers + if self.publishes() { self.publishers } else { 0 }
    }

    /// Whether anybody publishes.
    #[must_use]
    pub fn publishes(&self) -> bool {
        matches!(self.kind, Kind::Fanout | Kind::Reconnect)
    }

    /// `reconnect`: what every room publishes meanwhile.
    #[must_use]
    pub fn missed_each(&self) -> u32 {
        self.missed / self.rooms
    }

    /// How it is driven.
    #[must_use]
    pub fn plan(&self, is_acknowledged: bool) -> Plan {
        let pace = match (self.per_second, self.read_every_ms) {
            (Some(per_second), _) => Pace::Open { per_second },
            (None, Some(wait)) => Pace::Acknowledged {
                window: self.window.unwrap_or(1),
                read_every: Duration::from_millis(wait.into()),
            },
            (None, None) => Pace::Closed { window: self.window.unwrap_or(1), whole: self.whole_windows },
        };
        Plan {
            pace,
            publishers: (0..self.rooms).map(|room| room % self.publishers).collect(),
            order: self.order(),
            warm_up: Duration::from_secs_f64(self.warm_up_s),
            window: Duration::from_secs_f64(self.window_s),
            is_acknowledged,
        }
    }
}
