//! Presence of ten thousand users who watch each other: what it costs while nobody moves, and while some come and
//! go all the time.

use std::time::Duration;

use ringwire_protocol::UserId;
use ringwire_protocol::message::{Ping, PresenceState, ServerFrame, Watch};

use super::crowd::Crowd;
use super::{hello, sign_in_all};
use crate::fault::{Fault, Result};
use crate::system::processor::used_ns;
use crate::system::server::{Ringwire, Setup};
use crate::system::{now_ns, want_descriptors};

/// What to measure.
#[derive(Clone, Debug)]
pub struct Options {
    /// How the server is started.
    pub setup: Setup,
    /// How many users, each with one connection.
    pub users: usize,
    /// How many others each of them watches.
    pub watched: usize,
    /// How many of a hundred come and go.
    pub flapping_percent: usize,
    /// How long each of those stays, and stays away, milliseconds.
    pub period_ms: u64,
    /// How long each phase is measured, seconds.
    pub seconds: u64,
}

/// One phase, per second.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    /// Users who came or went.
    pub changes: f64,
    /// `Presence` frames that arrived.
    pub frames: f64,
    /// Users whom they spoke of.
    pub entries: f64,
    /// Bytes that arrived, of whatever.
    pub bytes: f64,
    /// Of one processor, percent.
    pub server_percent: f64,
}

/// What a crowd hears in one phase.
#[derive(Default)]
struct Heard {
    frames: u64,
    entries: u64,
    /// Entries that said what had been said before.
    stale: u64,
}

/// Runs both phases and prints a table; the figures of the idle one and the flapping one.
///
/// # Errors
/// The server does not start, breaks off, or tells somebody what he was told already.
pub fn run(options: &Options) -> Result<[Figures; 2]> {
    want_descriptors(options.users as u64 + 64)?;
    let server = Ringwire::start(&options.setup)?;
    let mut crowd = Crowd::new(server.address, options.users)?;
    sign_in_all(&mut crowd, 0, &mut |_, _| Ok(()))?;
    let ids: Vec<UserId> =
        (0..options.users).map(|user| UserId::from_name(&format!("user-{user}"))).collect();
    let mut told: Vec<Vec<Option<PresenceState>>> = vec![vec![None; options.watched]; options.users];
    for client in 0..options.users {
        watch(&mut crowd, client, options, &ids)?;
    }
    let place = |client: usize, user: UserId| {
        (0..options.watched).find(|nth| ids[(client + nth + 1) % options.users] == user)
    };
    let mut heard = Heard::default();
    let mut hear = |heard: &mut Heard, client: usize, frame: &ServerFrame<'_>| {
        match frame {
            ServerFrame::Presence(presence) => {
                heard.frames += 1;
                for entry in presence.entries.iter() {
                    heard.entries += 1;
                    let nth = place(client, entry.user)
                        .ok_or_else(|| Fault::Server(format!("client {client} is told of {}", entry.user)))?;
                    let before = told[client][nth].replace(entry.state);
                    heard.stale += u64::from(before == Some(entry.state));
                }
            }
            ServerFrame::Reject(reject) => {
                return Err(Fault::Server(format!("client {client}: {} {}", reject.code, reject.reason)));
            }
            _ => {}
        }
        Ok(())
    };
    // What everybody is told at first is not part of either phase.
    let first = (options.users * options.watched) as u64;
    let until = now_ns() + 120_000_000_000;
    while heard.entries < first && now_ns() < until {
        crowd.turn(Duration::from_millis(100), &mut |client, frame| hear(&mut heard, client, frame))?;
    }
    if heard.entries < first {
        return Err(Fault::Server(format!("{} of {first} states were told at first", heard.entries)));
    }
    let pid = server.process.pid();
    let mut phases = [Figures::default(); 2];
    for (phase, flapping) in [0, options.users * options.flapping_percent / 100].into_iter().enumerate() {
        heard = Heard::default();
        let (began, bytes, used) = (now_ns(), crowd.received_bytes, used_ns(pid)?);
        let (mut changes, mut step) = (0_u64, 0_u64);
        let until = began + options.seconds * 1_000_000_000;
        while now_ns() < until {
            // Evenly spread: each of those that flap has one change per period, in turn.
            let due = (now_ns() - began) / 1000 * flapping as u64 / (options.period_ms * 1000);
            while changes < due {
                let client = (step as usize % flapping) * (options.users / flapping);
                if (step / flapping as u64).is_multiple_of(2) {
                    crowd.cut(client);
                } else {
                    crowd.connect(client, ringwire_protocol::ws::PATH)?;
                    hello(&mut crowd, client, 0, &[]);
                    watch(&mut crowd, client, options, &ids)?;
                    // It is told everything anew.
                    told_anew(&mut crowd, client)?;
                }
                (changes, step) = (changes + 1, step + 1);
            }
            crowd.turn(Duration::from_millis(5), &mut |client, frame| hear(&mut heard, client, frame))?;
        }
        let seconds = (now_ns() - began) as f64 / 1e9;
        let per_second = |count: u64| count as f64 / seconds;
        phases[phase] = Figures {
            changes: per_second(changes),
            frames: per_second(heard.frames),
            entries: per_second(heard.entries),
            bytes: per_second(crowd.received_bytes - bytes),
            server_percent: (used_ns(pid)? - used) as f64 / 1e7 / seconds,
        };
    }
    println!(
        "{} users, each watches {}; {} % come and go, every {} ms; {} s per phase; {} driver",
        options.users,
        options.watched,
        options.flapping_percent,
        options.period_ms,
        options.seconds,
        options.setup.driver
    );
    println!("             changes/s   frames/s  entries/s    bytes/s   server");
    for (name, phase) in ["idle", "flapping"].iter().zip(&phases) {
        println!(
            "  {name:9} {:>10.0} {:>10.0} {:>10.0} {:>10.0} {:>6.1} %",
            phase.changes, phase.frames, phase.entries, phase.bytes, phase.server_percent
        );
    }
    Ok(phases)
}

fn watch(crowd: &mut Crowd, client: usize, options: &Options, ids: &[UserId]) -> Result<()> {
    let users: Vec<UserId> = (1..=options.watched).map(|nth| ids[(client + nth) % options.users]).collect();
    let watch = Watch { request: 1, users: users.as_slice().into() };
    crowd.say(client, |encoder, out| watch.encode(encoder, out));
    crowd.send(client)
}

fn told_anew(crowd: &mut Crowd, client: usize) -> Result<()> {
    crowd.say(client, |encoder, out| Ping { token: 1 }.encode(encoder, out));
    crowd.send(client)
}
