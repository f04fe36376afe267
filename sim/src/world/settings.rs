//! What kind of world a seed makes: drawn once, before anything happens.
//!
//! Worlds differ on purpose: one has tiny rings and a calm network, another a torn disk and roomy rings. Where
//! all were average, the corners would be rare. Limits are mostly far below those of production, because a
//! queue of two is full all the time and one of a thousand never.

use std::time::Duration;

use ringwire::limits::{Limits, QUIC_UNVALIDATED_MAX, QUIC_WIDE_MAX};
use ringwire::store::retention::{Kept, Rules};
use ringwire_client::limits::Limits as ClientLimits;
use ringwire_store::CheckpointConfig;

use crate::random::Random;

/// How often each thing goes wrong, on average once in so many faults; 0: never.
#[derive(Clone, Debug)]
pub struct FaultSettings {
    /// Mean time between two faults, microseconds.
    pub every_us: u64,
    /// The whole process dies.
    pub crash: u64,
    /// The process is asked to end, and ends in good order.
    pub drain: u64,
    /// One connection breaks.
    pub cut: u64,
    /// One connection goes silent for good.
    pub silence: u64,
    /// One connection is held up for a while.
    pub hold: u64,
    /// One shard gets no turn for a while.
    pub starve: u64,
    /// One client gets no turn for a while: it does not read either.
    pub freeze: u64,
    /// One client dies and comes back with another device and no memory.
    pub forget: u64,
    /// One client ends in good order, and comes back with what it had stored.
    pub restart: u64,
    /// The clock on the wall is set.
    pub clock: u64,
    /// The disk fails once.
    pub disk: u64,
    /// The disk is slow for a while.
    pub slow_disk: u64,
    /// The process dies in the middle of what it does on the disk next.
    pub fuse: u64,
}

/// How the network behaves.
#[derive(Clone, Debug)]
pub struct NetworkSettings {
    /// Least and greatest time one way, drawn per connection, microseconds.
    pub delay_us: (u64, u64),
    /// What is added to each chunk, at most, microseconds.
    pub jitter_us: u64,
    /// Window to the server, bytes.
    pub window_up: usize,
    /// Window to the client, bytes.
    pub window_down: usize,
    /// Most bytes that a reader is given at once; now and then it is very few, whatever this says.
    pub piece: usize,
    /// Pieces that one write is cut into, at most.
    pub chunks: u64,
    /// One write in so many is cut short although there is room; 0: none.
    pub short: u64,
}

/// How datagrams fare, and who uses them.
#[derive(Clone, Debug)]
pub struct DatagramSettings {
    /// One dial of a client in so many is for QUIC; 0: none.
    pub share: u64,
    /// One client in so many of those is a browser, with WebTransport; 0: none.
    pub browsers: u64,
    /// What is added to the time of each, at most, in per cent of that; the more, the more of them overtake.
    pub jitter_percent: u64,
    /// One in so many is lost; 0: none.
    pub loss: u64,
    /// One in so many arrives twice; 0: none.
    pub double: u64,
    /// One in so many arrives damaged; 0: none.
    pub damage: u64,
    /// After one in so many to the server, somebody else sends the same or noise; 0: nobody does.
    pub strangers: u64,
    /// One in so many that says that it may be marked meets congestion and is; 0: none.
    pub congestion: u64,
    /// One path in so many wipes such marks out; 0: none.
    pub bleach: u64,
    /// The longest that pass a path, bytes; drawn for each.
    pub widths: [usize; 2],
    /// Bytes of a stream that a client takes ahead.
    pub window: u32,
    /// Mean time between two moves of somebody, microseconds; 0: nobody moves.
    pub move_us: u64,
}

/// How the disk behaves.
#[derive(Clone, Debug)]
pub struct DiskSettings {
    /// Least and greatest time of one operation, microseconds.
    pub time_us: (u64, u64),
}

/// One world.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Shards of the first process.
    pub shards: u16,
    /// The server's bounds.
    pub limits: Limits,
    /// The journal's sizes.
    pub journal: ringwire_store::Config,
    /// Connections that each shard takes.
    pub connections_max: u32,
    /// What `Welcome` says, milliseconds.
    pub heartbeat_ms: u32,
    /// See the server's configuration.
    pub idle_timeout_s: u32,
    /// See the server's configuration.
    pub handshake_timeout_s: u32,
    /// How long clients have to go elsewhere, milliseconds.
    pub drain_ms: u64,
    /// Users.
    pub users: usize,
    /// Clients, shared out to the users.
    pub clients: usize,
    /// Conversations.
    pub rooms: usize,
    /// People who do not play by the rules.
    pub intruders: usize,
    /// People who look on.
    pub onlookers: usize,
    /// How long things go wrong and clients are active, microseconds.
    pub active_us: u64,
    /// One publish in so many asks for no sync; 0: none.
    pub memory: u64,
    /// When a checkpoint is made, and what one takes.
    pub checkpoint: CheckpointConfig,
    /// Mean time between two acts of one client, microseconds.
    pub act_us: u64,
    /// One act in so many is to leave.
    pub leave: u64,
    /// One act in so many is about members, cursors and messages that are there already; 0: none, and nobody talks
    /// in twos.
    pub people: u64,
    /// What is kept of conversations.
    pub retention: Rules,
    /// The clients' bounds.
    pub client_limits: ClientLimits,
    /// Messages that a reader takes before it grants more.
    pub credit: u64,
    /// See there.
    pub network: NetworkSettings,
    /// See there.
    pub datagrams: DatagramSettings,
    /// See there.
    pub disk: DiskSettings,
    /// See there.
    pub faults: FaultSettings,
}

impl Settings {
    /// Draws a world.
    pub fn draw(seed: u64) -> Self {
        let random = &mut Random::new(seed, "settings");
        let limits = Limits {
            quic_unvalidated_max: unvalidated_max(seed),
            quic_wide_max: wide_max(seed),
            ..limits(random)
        };
        let clients = random.within(2..=7) as usize;
        let active_us = random.within(1_500..=8_000) * 1_000;
        let acts = random.within(40..=180);
        let heartbeat_ms = random.within(800..=6_000) as u32;
        Settings {
            shards: random.pick(&[1, 2, 2, 3, 4]),
            journal: ringwire_store::Config {
                segment_bytes: random.pick(&[2048, 2600, 4096, 16_384]),
                batch_bytes: random.pick(&[300, 700, 4096]),
                pending_bytes: random.pick(&[600, 3000, 1 << 20]),
            },
            connections_max: random.pick(&[3, 8, 64]),
            heartbeat_ms,
            idle_timeout_s: heartbeat_ms.div_ceil(1000) * 2 + random.below(5) as u32,
            handshake_timeout_s: random.within(1..=4) as u32,
            drain_ms: random.within(100..=2_000),
            users: random.within(1..=clients.min(4) as u64) as usize,
            clients,
            rooms: random.within(1..=4) as usize,
            intruders: random.pick(&[0, 0, 1, 2, 3]),
            active_us,
            act_us: (active_us * clients as u64 / acts).max(1),
            memory: random.pick(&[0, 0, 2, 8]),
            checkpoint: CheckpointConfig {
                after_bytes: random.pick(&[1, 6_000, 1 << 40]),
                input_bytes: random.pick(&[1, 10_000, 1 << 30]),
                input_records: random.pick(&[10, 1 << 30]),
                memory_bytes: random.pick(&[1, 5_000, 1 << 30]),
            },
            leave: random.pick(&[0, 15, 40]),
            client_limits: client_limits(random),
            credit: random.pick(&[u64::MAX, u64::MAX, 1, 3]),
            network: network(random),
            datagrams: datagrams(&mut Random::new(seed, "paths"), active_us),
            disk: DiskSettings { time_us: random.pick(&[(5, 50), (50, 500), (100, 5_000), (1_000, 40_000)]) },
            faults: faults(random, active_us),
            onlookers: random.pick(&[0, 0, 1, 2, 3]),
            people: random.pick(&[0, 2, 2, 3, 8]),
            retention: retention(random),
            limits,
        }
    }
}

/// Of most worlds everything is kept; of some very little.
fn retention(random: &mut Random) -> Rules {
    if !random.one_in(3) {
        return Rules::default();
    }
    let mut kept = || Kept {
        age: Duration::from_millis(random.pick(&[0, 0, 200, 2_000])),
        messages: random.pick(&[0, 1, 3, 12]),
    };
    Rules { group: kept(), direct: kept() }
}

fn limits(random: &mut Random) -> Limits {
    let request_ring = random.pick(&[2, 2, 4, 64]);
    let body_bytes_max = random.pick(&[40, 200, 1500]);
    let page_bytes_max = random.pick(&[200, 1000, 8000]);
    Limits {
        request_ring,
        delivery_ring: random.pick(&[2, 2, 4, 64]),
        delivery_backlog: request_ring * random.pick(&[1, 2, 8]),
        outbox_bytes_max: random.pick(&[300, 2_000, 64 * 1024]),
        page_bytes_max,
        page_messages_max: random.pick(&[1, 2, 5, 256]),
        awaiting_sync_max: random.pick(&[2, 8, 4096]),
        tail_bytes: random.pick(&[0, 300, 2_000, 1 << 20]),
        subscriptions_per_connection: random.pick(&[2, 64, 64, 64]),
        body_bytes_max,
        frame_bytes_max: random.pick(&[10_000, 64 * 1024]),
        members_max: random.pick(&[2, 1000, 1000, 1000]),
        push_below: random.pick(&[0, 2, 100, 100]),
        reserve_ahead: random.pick(&[1, 4, 40]),
        stall_timeout_s: random.within(1..=5) as u32,
        presence_ttl_s: random.within(1..=4) as u32,
        watches_max: random.pick(&[64, 1000]),
        segment_age_ms: random.pick(&[u64::MAX, u64::MAX, u64::MAX, 50, 400]),
        ..Limits::default()
    }
}

/// In some worlds everybody has to prove his address, in some all but one, in most nobody.
fn unvalidated_max(seed: u64) -> usize {
    Random::new(seed, "proofs").pick(&[QUIC_UNVALIDATED_MAX, QUIC_UNVALIDATED_MAX, 0, 1])
}

/// In some worlds nobody has more room than little for what is not acknowledged, in some two at a time.
fn wide_max(seed: u64) -> usize {
    Random::new(seed, "room").pick(&[QUIC_WIDE_MAX, QUIC_WIDE_MAX, 0, 2])
}

fn client_limits(random: &mut Random) -> ClientLimits {
    let held_messages_max = random.pick(&[1, 2, 8, 256]);
    ClientLimits {
        outbox_entries_max: random.pick(&[2, 10, 1024]),
        outbox_bytes_max: random.pick(&[200, 2_000, 1 << 20]),
        outbox_total_bytes_max: random.pick(&[400, 4_000, 1 << 24]),
        flight_max: random.pick(&[1, 2, 5, 64]),
        held_messages_max,
        held_bytes_max: random.pick(&[60, 500, 1 << 20]),
        requests_max: random.pick(&[6, 256]),
        fills_max: random.pick(&[1, 4]),
        conversations_max: 64,
        fill_page_messages_max: random.pick(&[1, 3, 256]),
        batch_bytes_max: random.pick(&[1, 300, 16 * 1024]),
        early_bytes_max: random.pick(&[0, 300, 8 * 1024, 8 * 1024]),
    }
}

fn network(random: &mut Random) -> NetworkSettings {
    NetworkSettings {
        delay_us: random.pick(&[(10, 20), (50, 500), (200, 5_000), (5_000, 60_000)]),
        jitter_us: random.pick(&[0, 10, 500, 20_000]),
        window_up: random.pick(&[90, 700, 64 * 1024]),
        window_down: random.pick(&[90, 700, 4_000, 64 * 1024]),
        piece: random.pick(&[20, 100, 1000, 16 * 1024, 16 * 1024]),
        chunks: random.within(1..=4),
        short: random.pick(&[0, 0, 20, 4]),
    }
}

/// In half of the worlds nobody speaks QUIC; in some all do.
fn datagrams(random: &mut Random, active_us: u64) -> DatagramSettings {
    // The narrowest is what QUIC asks of every path, the widest more than it tries.
    let widths: [[usize; 2]; 4] = [[1200, 1200], [1200, 1500], [1300, 1400], [1500, 1500]];
    DatagramSettings {
        share: random.pick(&[0, 0, 0, 1, 2, 4]),
        browsers: random.pick(&[0, 3, 3, 1]),
        jitter_percent: random.pick(&[0, 10, 100, 400]),
        loss: random.pick(&[0, 100, 20, 5]),
        double: random.pick(&[0, 50, 5]),
        damage: random.pick(&[0, 0, 100, 10]),
        strangers: random.pick(&[0, 40, 5]),
        congestion: random.pick(&[0, 50, 5]),
        bleach: random.pick(&[0, 0, 4, 1]),
        widths: random.pick(&widths),
        window: random.pick(&[600, 5_000, u32::MAX, u32::MAX]),
        move_us: active_us / random.pick(&[1, 5, 20]),
    }
}

fn faults(random: &mut Random, active_us: u64) -> FaultSettings {
    // Each kind is there in some worlds only, and in some of those often.
    let mut kind = |weights: &[u64]| random.pick(weights);
    FaultSettings {
        crash: kind(&[0, 10, 4, 2]),
        drain: kind(&[0, 0, 10, 4]),
        cut: kind(&[0, 4, 2]),
        silence: kind(&[0, 0, 10]),
        hold: kind(&[0, 6]),
        starve: kind(&[0, 4]),
        freeze: kind(&[0, 0, 5]),
        forget: kind(&[0, 0, 10, 4]),
        restart: kind(&[0, 0, 10, 4]),
        clock: kind(&[0, 8]),
        disk: kind(&[0, 0, 0, 6]),
        slow_disk: kind(&[0, 0, 8]),
        fuse: kind(&[0, 0, 4]),
        every_us: active_us / random.pick(&[1, 4, 10, 20]),
    }
}
