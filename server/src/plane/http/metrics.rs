//! `/metrics` in Prometheus' text format: what the shards have counted, added up.
//!
//! One table says every metric's name, kind and meaning; a counter that a shard keeps and that is not in it is
//! not shown.

use std::fmt::Write;

use http::{Response, StatusCode};

use super::Service;
use super::reply::{self, Body, Problem};
use crate::conversation::{DELAY_BUCKETS, Delays};
use crate::plane::exchange::Snapshot;
use crate::plane::push::target::{PROVIDERS, index, name};
use crate::plane::push::{Counters, ProviderCounters};
use crate::transport::way::Way;

/// How a metric behaves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Only grows while the process lives.
    Counter,
    /// What is now.
    Gauge,
}

/// One metric of a shard.
struct Metric {
    name: &'static str,
    kind: Kind,
    help: &'static str,
    read: Read,
}

/// Finds a number.
type Find = fn(&Snapshot) -> u64;

/// Where a metric's numbers are.
enum Read {
    /// One number.
    One(Find),
    /// Several, with the labels that tell them apart.
    Each(&'static [(&'static str, Find)]),
}

const fn counter(name: &'static str, help: &'static str, read: Find) -> Metric {
    Metric { name, kind: Kind::Counter, help, read: Read::One(read) }
}

const fn gauge(name: &'static str, help: &'static str, read: Find) -> Metric {
    Metric { name, kind: Kind::Gauge, help, read: Read::One(read) }
}

const METRICS: &[Metric] = &[
    Metric {
        name: "ringwire_connections_accepted_total",
        kind: Kind::Counter,
        help: "Connections accepted.",
        read: Read::Each(&[
            ("transport=\"ws\"", |s| s.sessions.ways[Way::Ws as usize].accepted),
            ("transport=\"wss\"", |s| s.sessions.ways[Way::Wss as usize].accepted),
            ("transport=\"quic\"", |s| s.sessions.ways[Way::Quic as usize].accepted),
            ("transport=\"webtransport\"", |s| s.sessions.ways[Way::WebTransport as usize].accepted),
        ]),
    },
    Metric {
        name: "ringwire_connections",
        kind: Kind::Gauge,
        help: "Connections open now.",
        read: Read::Each(&[
            ("transport=\"ws\"", |s| s.sessions.ways[Way::Ws as usize].open),
            ("transport=\"wss\"", |s| s.sessions.ways[Way::Wss as usize].open),
            ("transport=\"quic\"", |s| s.sessions.ways[Way::Quic as usize].open),
            ("transport=\"webtransport\"", |s| s.sessions.ways[Way::WebTransport as usize].open),
        ]),
    },
    Metric {
        name: "ringwire_handshakes_total",
        kind: Kind::Counter,
        help: "Handshakes of TLS: full with certificate and signature, resumed by what the client kept, or failed.",
        read: Read::Each(&[
            ("transport=\"wss\",result=\"full\"", |s| s.sessions.tls.full),
            ("transport=\"wss\",result=\"resumed\"", |s| s.sessions.tls.resumed),
            ("transport=\"wss\",result=\"failed\"", |s| s.sessions.tls.failed),
            ("transport=\"quic\",result=\"full\"", |s| s.quic.native.full),
            ("transport=\"quic\",result=\"resumed\"", |s| s.quic.native.resumed),
            ("transport=\"quic\",result=\"failed\"", |s| s.quic.native.failed),
            ("transport=\"webtransport\",result=\"full\"", |s| s.quic.web.full),
            ("transport=\"webtransport\",result=\"resumed\"", |s| s.quic.web.resumed),
            ("transport=\"webtransport\",result=\"failed\"", |s| s.quic.web.failed),
        ]),
    },
    Metric {
        name: "ringwire_connections_limited_total",
        kind: Kind::Counter,
        help: "Connections turned away because their address begins too many: closed, or asked to prove it.",
        read: Read::Each(&[("over=\"tcp\"", |s| s.sessions.limited), ("over=\"udp\"", |s| s.quic.limited)]),
    },
    counter(
        "ringwire_connections_overflown_total",
        "Connections closed at once, because there are as many as there may be.",
        |s| s.driver.refused,
    ),
    counter(
        "ringwire_accept_pauses_total",
        "Times that no connections were taken for a while, for want of descriptors or memory.",
        |s| s.driver.accept_pauses,
    ),
    gauge("ringwire_quic_connections", "QUIC connections now, those that begin or end included.", |s| {
        s.quic.connections
    }),
    gauge(
        "ringwire_quic_connections_wide",
        "QUIC connections that have more room than others for what is not acknowledged.",
        |s| s.quic.wide,
    ),
    gauge("ringwire_quic_handshakes", "QUIC connections in handshake now.", |s| s.quic.handshakes),
    counter("ringwire_quic_connections_accepted_total", "QUIC connections begun.", |s| s.quic.accepted),
    counter(
        "ringwire_quic_connections_refused_total",
        "QUIC connections refused: there are too many.",
        |s| s.quic.refused,
    ),
    counter("ringwire_quic_retries_total", "Clients asked to prove their address first.", |s| s.quic.retried),
    counter(
        "ringwire_quic_connections_overdue_total",
        "QUIC connections that opened no stream in time.",
        |s| s.quic.overdue,
    ),
    counter("ringwire_quic_early_total", "Clients whose early data (0-RTT) was taken.", |s| s.quic.early),
    counter("ringwire_quic_datagrams_in_total", "Datagrams that came.", |s| s.quic.datagrams_in),
    counter("ringwire_quic_datagrams_out_total", "Datagrams that left.", |s| s.quic.datagrams_out),
    Metric {
        name: "ringwire_quic_datagrams_dropped_total",
        kind: Kind::Counter,
        help: "Datagrams dropped on this machine: in, because the socket's buffer was full; out, because the kernel \
               took no more, or refused them.",
        read: Read::Each(&[
            ("direction=\"in\"", |s| s.driver.datagrams_overflown),
            ("direction=\"out\"", |s| s.driver.datagrams_dropped),
        ]),
    },
    Metric {
        name: "ringwire_frames_in_datagrams_total",
        kind: Kind::Counter,
        help: "Frames of the moment sent in datagrams, where they may be lost.",
        read: Read::Each(&[
            ("kind=\"typing\"", |s| s.sessions.typing_datagrams),
            ("kind=\"presence\"", |s| s.sessions.presence_datagrams),
        ]),
    },
    counter(
        "ringwire_presence_settled_total",
        "Frames that said on a stream again what was said of presence in datagrams.",
        |s| s.sessions.presence_settled,
    ),
    counter(
        "ringwire_quic_strays_total",
        "Datagrams passed on to the shard that has their connection.",
        |s| s.quic.strays,
    ),
    counter("ringwire_quic_strays_dropped_total", "Of those, thrown away because it is behind.", |s| {
        s.quic.strays_dropped
    }),
    counter(
        "ringwire_quic_moves_refused_total",
        "Datagrams thrown away because their connection has moved too often.",
        |s| s.quic.moves_refused,
    ),
    gauge("ringwire_sessions", "Sessions signed in now.", |s| s.sessions.signed_in),
    counter("ringwire_frames_received_total", "Frames received.", |s| s.sessions.frames_in),
    counter("ringwire_messages_delivered_total", "Messages queued to connections.", |s| s.sessions.delivered),
    counter("ringwire_heads_told_total", "Heads told to who has a large conversation not open.", |s| {
        s.sessions.heads
    }),
    counter("ringwire_messages_demoted_total", "Messages told as a head to a stalled connection.", |s| {
        s.sessions.demoted
    }),
    counter("ringwire_connections_slow_total", "Connections cut because they did not keep up.", |s| {
        s.sessions.slow
    }),
    counter("ringwire_connections_faulty_total", "Connections closed for a fault of the peer.", |s| {
        s.sessions.faults
    }),
    counter("ringwire_connections_silent_total", "Connections closed for silence.", |s| s.sessions.silent),
    gauge("ringwire_conversations", "Conversations that shards own.", |s| s.conversations_owned as u64),
    counter("ringwire_messages_published_total", "Messages that became visible.", |s| {
        s.conversations.published
    }),
    counter("ringwire_messages_from_memory_total", "Of those, shown before they were synced.", |s| {
        s.conversations.published_from_memory
    }),
    counter("ringwire_publishes_repeated_total", "Publishes that were answered from memory.", |s| {
        s.conversations.duplicates
    }),
    counter("ringwire_publishes_refused_total", "Publishes that were refused.", |s| s.conversations.refused),
    counter("ringwire_messages_pushed_total", "Messages pushed to all attached sessions.", |s| {
        s.conversations.pushed
    }),
    counter(
        "ringwire_messages_announced_total",
        "Messages fed to who has the conversation open only.",
        |s| s.conversations.announced,
    ),
    counter(
        "ringwire_conversations_expired_total",
        "Times that the oldest messages of a conversation were given up.",
        |s| s.conversations.expired,
    ),
    gauge("ringwire_requests_waiting", "Requests that wait for a full ring.", |s| {
        s.levels.requests_waiting as u64
    }),
    gauge("ringwire_deliveries_waiting", "Deliveries that wait for a full ring.", |s| {
        s.levels.deliveries_waiting as u64
    }),
    gauge("ringwire_entries_awaiting_sync", "Entries that wait for a sync.", |s| {
        s.levels.awaiting_sync as u64
    }),
    gauge("ringwire_journal_pending_bytes", "Bytes that wait for the disk.", |s| {
        s.levels.journal_bytes as u64
    }),
    gauge("ringwire_fetches_waiting", "Fetches that wait for the disk.", |s| s.levels.fetches as u64),
    gauge("ringwire_cache_bytes", "Bytes of recent messages in memory.", |s| s.levels.tail_bytes as u64),
    counter(
        "ringwire_sessions_replaced_total",
        "Sessions that gave way to a newer one of their device.",
        |s| s.users.replaced,
    ),
    counter("ringwire_presence_changes_total", "Times that a user came or went.", |s| {
        s.users.presence_changes
    }),
    counter("ringwire_presence_frames_total", "Frames that told watchers of it.", |s| {
        s.users.presence_frames
    }),
    gauge("ringwire_counts_watched", "Conversations whose counts this owner tells.", |s| {
        s.levels.counting as u64
    }),
    counter(
        "ringwire_counts_letters_total",
        "Letters about counts: from homes to owners, and from owners to shards with watchers.",
        |s| s.users.counts_told + s.conversations.counts_told,
    ),
    counter("ringwire_counts_frames_total", "Frames with counts queued to connections.", |s| {
        s.sessions.counts
    }),
    counter("ringwire_wakes_total", "Wake-ups of users who are away, handed to the plane.", |s| {
        s.users.wakes
    }),
    counter(
        "ringwire_wakes_inactive_total",
        "Wake-ups left out: the user was not there for too long.",
        |s| s.users.wakes_inactive,
    ),
    counter("ringwire_registrations_dropped_total", "Registrations whose device is gone.", |s| {
        s.users.registrations_dropped
    }),
    counter("ringwire_plane_letters_total", "Letters of shards to the plane: wake-ups and returns.", |s| {
        s.outlet.letters
    }),
    counter("ringwire_plane_letters_dropped_total", "Of those, how many found every queue full.", |s| {
        s.outlet.letters_dropped
    }),
];

/// Asks every shard, one after the other: a page is asked for every few seconds.
pub(super) async fn page(service: &Service) -> Result<Response<Body>, Problem> {
    let mut snapshots = Vec::new();
    for shard in 0..service.shards.len() {
        snapshots.push(service.shards.snapshot(shard).await?);
    }
    let uptime = service.status.uptime().as_secs_f64();
    let mut text = write(&snapshots, uptime);
    write_push(&mut text, &service.push.counters(), service.push.levels());
    let mut response = reply::text(StatusCode::OK, text);
    response.headers_mut().insert(
        http::header::CONTENT_TYPE,
        http::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
    );
    Ok(response)
}

/// One metric of a push provider.
struct PushMetric {
    name: &'static str,
    help: &'static str,
    read: fn(&ProviderCounters) -> u64,
}

const PUSH_METRICS: &[PushMetric] = &[
    PushMetric {
        name: "ringwire_pushes_delivered_total",
        help: "Pushes that their service has taken.",
        read: |p| p.delivered,
    },
    PushMetric {
        name: "ringwire_push_tries_failed_total",
        help: "Tries that failed and are made again.",
        read: |p| p.failed,
    },
    PushMetric {
        name: "ringwire_push_devices_gone_total",
        help: "Devices that their service does not know any more.",
        read: |p| p.gone,
    },
    PushMetric {
        name: "ringwire_pushes_dead_total",
        help: "Pushes that became dead letters.",
        read: |p| p.dead,
    },
];

/// What the plane itself has counted.
fn write_push(out: &mut String, counters: &Counters, (jobs, dead): (usize, usize)) {
    for (name, help, kind, value) in [
        ("ringwire_wakes_taken_total", "Wake-ups taken, each counted once.", Kind::Counter, counters.wakes),
        (
            "ringwire_wakes_repeated_total",
            "Wake-ups left out: the user was woken for that conversation and was not back.",
            Kind::Counter,
            counters.wakes_repeated,
        ),
        ("ringwire_pushes_waiting", "Pushes that wait to be delivered.", Kind::Gauge, jobs as u64),
        ("ringwire_dead_letters", "Pushes that were given up.", Kind::Gauge, dead as u64),
    ] {
        head(out, name, help, kind);
        let _ = writeln!(out, "{name} {value}");
    }
    for metric in PUSH_METRICS {
        head(out, metric.name, metric.help, Kind::Counter);
        for provider in PROVIDERS {
            let value = (metric.read)(&counters.by_provider[index(provider)]);
            let _ = writeln!(out, "{}{{provider=\"{}\"}} {value}", metric.name, name(provider));
        }
    }
}

fn head(out: &mut String, name: &str, help: &str, kind: Kind) {
    let kind = if kind == Kind::Counter { "counter" } else { "gauge" };
    // Writing into a string does not fail.
    let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
}

fn write(snapshots: &[Box<Snapshot>], uptime_s: f64) -> String {
    let mut out = String::new();
    head(&mut out, "ringwire_uptime_seconds", "How long the process runs.", Kind::Gauge);
    let _ = writeln!(out, "ringwire_uptime_seconds {uptime_s:.3}");
    for metric in METRICS {
        head(&mut out, metric.name, metric.help, metric.kind);
        for (shard, snapshot) in snapshots.iter().enumerate() {
            let name = metric.name;
            match metric.read {
                Read::One(read) => {
                    let _ = writeln!(out, "{name}{{shard=\"{shard}\"}} {}", read(snapshot));
                }
                Read::Each(lines) => {
                    for (labels, read) in lines {
                        let _ = writeln!(out, "{name}{{shard=\"{shard}\",{labels}}} {}", read(snapshot));
                    }
                }
            }
        }
    }
    for (shard, snapshot) in snapshots.iter().enumerate() {
        write_delays(&mut out, shard, &snapshot.conversations.delays);
    }
    out
}

/// A histogram, in the format's own words.
fn write_delays(out: &mut String, shard: usize, delays: &Delays) {
    const NAME: &str = "ringwire_delivery_seconds";
    if shard == 0 {
        let help = "From a publish to the turn that hands the synced message to everybody.";
        let _ = write!(out, "# HELP {NAME} {help}\n# TYPE {NAME} histogram\n");
    }
    let mut count = 0;
    for (bucket, times) in delays.buckets.iter().enumerate() {
        count += times;
        let end = match bucket + 1 == DELAY_BUCKETS {
            true => "+Inf".to_owned(),
            // Whole milliseconds were counted, so a bucket ends where the next begins.
            false => format!("{}", f64::from(1_u32 << bucket) / 1000.0),
        };
        let _ = writeln!(out, "{NAME}_bucket{{shard=\"{shard}\",le=\"{end}\"}} {count}");
    }
    let sum = delays.sum_ms as f64 / 1000.0;
    let _ = writeln!(out, "{NAME}_sum{{shard=\"{shard}\"}} {sum}\n{NAME}_count{{shard=\"{shard}\"}} {count}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_say_what_they_count() {
        for (at, metric) in METRICS.iter().enumerate() {
            assert!(METRICS[..at].iter().all(|other| other.name != metric.name), "{}", metric.name);
            assert_eq!(metric.kind == Kind::Counter, metric.name.ends_with("_total"), "{}", metric.name);
        }
    }

    #[test]
    fn every_shard_has_a_line_of_its_own() {
        let mut second = Snapshot::default();
        second.sessions.ways[Way::Wss as usize].open = 7;
        second.quic.web.failed = 3;
        second.conversations.delays.buckets[..3].copy_from_slice(&[5, 0, 2]);
        second.conversations.delays.sum_ms = 6;
        let text = write(&[Box::default(), Box::new(second)], 1.5);
        for line in [
            "# TYPE ringwire_connections gauge",
            "ringwire_sessions{shard=\"0\"} 0",
            "ringwire_connections{shard=\"0\",transport=\"wss\"} 0",
            "ringwire_connections{shard=\"1\",transport=\"wss\"} 7",
            "ringwire_connections{shard=\"1\",transport=\"ws\"} 0",
            "ringwire_handshakes_total{shard=\"1\",transport=\"webtransport\",result=\"failed\"} 3",
            "ringwire_uptime_seconds 1.500",
            "# TYPE ringwire_delivery_seconds histogram",
            "ringwire_delivery_seconds_bucket{shard=\"1\",le=\"0.001\"} 5",
            "ringwire_delivery_seconds_bucket{shard=\"1\",le=\"0.004\"} 7",
            "ringwire_delivery_seconds_bucket{shard=\"1\",le=\"+Inf\"} 7",
            "ringwire_delivery_seconds_sum{shard=\"1\"} 0.006",
            "ringwire_delivery_seconds_count{shard=\"0\"} 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
    }
}
