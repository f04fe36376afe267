//! Scenarios: what is done to a server, as files in `perf/scenarios`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ringwire_protocol::message::Durability;
use serde::Deserialize;

use crate::fault::{Fault, Result};
use crate::load::adapter::{Role, Who};
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
    /// Rooms.
    #[serde(default = "one")]
    pub rooms: u32,
    /// Connections that receive, spread evenly over the rooms (for `echo` and `connect`: that ping, or are
    /// opened).
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
    /// Closed loop: messages of each room under way.
    pub window: Option<u32>,
    /// Closed loop: publish a whole window when the last one is complete.
    #[serde(default)]
    pub whole_windows: bool,
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
    /// Shards of the server; 0: its default.
    #[serde(default = "one_shard")]
    pub shards: u16,
    /// Settings of the server, as after `--set`.
    #[serde(default)]
    pub settings: Vec<String>,
    /// Whether the bare loop that joins the messages of one read is compared with as well.
    #[serde(default)]
    pub coalescing: bool,
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
    let wrong = |what: &str| Err(what.to_owned());
    if scenario.rooms == 0
        || scenario.publishers == 0
        || scenario.users == 0
        || scenario.rooms_per_subscriber == 0
    {
        return wrong("rooms, rooms_per_subscriber, publishers and users are at least 1");
    }
    if scenario.rooms_per_subscriber > scenario.rooms {
        return wrong("rooms_per_subscriber is more than there are rooms");
    }
    if scenario.rooms.div_ceil(scenario.publishers) > 250 || scenario.rooms_per_subscriber > 250 {
        return wrong("one connection has 250 rooms at most: raise publishers");
    }
    if scenario.kind == Kind::Fanout && scenario.window.is_some() == scenario.per_second.is_some() {
        return wrong("a fanout is either closed (window) or open (per_second)");
    }
    if scenario.window.is_some_and(|window| !(1..=64).contains(&window)) {
        return wrong("window is 1 to 64: the server grants no more");
    }
    if scenario.per_second.is_some_and(|rate| !(rate > 0.0 && rate <= 1e7)) {
        return wrong("per_second is more than 0 and at most 10,000,000");
    }
    if scenario.zipf != 0.0 && scenario.per_second.is_none() {
        return wrong("zipf needs an open loop (per_second)");
    }
    if scenario.subscribers == 0 && scenario.publishers != scenario.rooms {
        return wrong(
            "without subscribers every room has a publisher of its own, whose acknowledgements count",
        );
    }
    if scenario.stopped_readers > scenario.subscribers {
        return wrong("stopped_readers is more than there are subscribers");
    }
    if !(scenario.window_s > 0.0
        && scenario.warm_up_s >= 0.0
        && scenario.window_s + scenario.warm_up_s < 3600.0)
    {
        return wrong("window_s is more than 0, warm_up_s at least 0, both together less than an hour");
    }
    Ok(scenario)
}

impl Scenario {
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

    /// Publishers first, then subscribers.
    #[must_use]
    pub fn people(&self) -> Vec<Who> {
        let publishers = if self.publishes() { self.publishers } else { 0 };
        let who = |index: u32, role| Who { index, user: index % self.users, role };
        let rooms_of =
            |publisher| (0..self.rooms).filter(|room| room % self.publishers == publisher).collect();
        let publishing = (0..publishers).map(|index| who(index, Role::Publisher(rooms_of(index))));
        let receiving = (0..self.subscribers).map(|nth| {
            let role = if self.publishes() { Role::Subscriber(self.rooms_of(nth)) } else { Role::Idle };
            who(publishers + nth, role)
        });
        publishing.chain(receiving).collect()
    }

    /// The rooms of the `nth` subscriber: spread so that every room has the same number (to one).
    fn rooms_of(&self, nth: u32) -> Vec<u32> {
        let step = (self.rooms / self.rooms_per_subscriber).max(1);
        (0..self.rooms_per_subscriber).map(|which| (nth + which * step) % self.rooms).collect()
    }

    /// How it is driven.
    #[must_use]
    pub fn plan(&self, is_acknowledged: bool) -> Plan {
        let pace = match (self.window, self.per_second) {
            (_, Some(per_second)) => Pace::Open { per_second },
            (window, None) => Pace::Closed { window: window.unwrap_or(1), whole: self.whole_windows },
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

    /// Which rooms an open loop publishes to, in which order: the same in every run.
    fn order(&self) -> Vec<u32> {
        if self.zipf == 0.0 {
            return (0..self.rooms).collect();
        }
        let weights: Vec<f64> = (1..=self.rooms).map(|rank| f64::from(rank).powf(-self.zipf)).collect();
        let total: f64 = weights.iter().sum();
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        (0..16_384)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                let mut left = (state >> 11) as f64 / (1u64 << 53) as f64 * total;
                let found = weights.iter().position(|weight| {
                    left -= weight;
                    left < 0.0
                });
                found.unwrap_or(0) as u32
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_file_is_valid() {
        let names = names().expect("the folder is there");
        assert!(names.len() >= 10, "{names:?}");
        for name in names {
            read(&name).expect(&name);
        }
    }

    #[test]
    fn unknown_keys_and_contradictions_are_refused() {
        let good = "about = \"a\"\nkind = \"fanout\"\nsubscribers = 10\nwindow = 1\n";
        assert!(parse(good).is_ok());
        let cases = [
            ("subscriber = 10", "unknown field"),
            ("per_second = 5.0", "either closed"),
            ("rooms_per_subscriber = 2", "more than there are rooms"),
            ("stopped_readers = 11", "stopped_readers"),
            ("rooms = 1000", "raise publishers"),
        ];
        for (line, says) in cases {
            let error = parse(&format!("{good}{line}\n")).expect_err(line);
            assert!(error.contains(says), "{line}: {error}");
        }
        assert!(parse(&good.replace("window = 1", "window = 65")).is_err());
    }

    #[test]
    fn rooms_have_the_same_number_of_subscribers() {
        let text =
            "about=\"\"\nkind=\"fanout\"\nsubscribers=2000\nrooms=200\nwindow=1\nrooms_per_subscriber=3\n";
        let scenario = parse(text).expect("valid");
        let mut counts = vec![0; 200];
        for who in scenario.people() {
            if let Role::Subscriber(rooms) = who.role {
                for room in rooms {
                    counts[room as usize] += 1;
                }
            }
        }
        assert!(counts.iter().all(|count| *count == 30), "{counts:?}");
    }

    #[test]
    fn a_zipf_order_prefers_the_first_rooms() {
        let text = "about=\"\"\nkind=\"fanout\"\nsubscribers=100\nrooms=100\nper_second=1.0\nzipf=1.0\n";
        let order = parse(text).expect("valid").order();
        let share = |room| order.iter().filter(|other| **other == room).count() as f64 / order.len() as f64;
        assert!(share(0) > 0.15 && share(0) > 5.0 * share(20), "{} {}", share(0), share(20));
    }
}
