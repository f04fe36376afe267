//! Claims about whole worlds.

use ringwire_sim::{Counts, Options, run};

/// How many worlds a plain test run looks at; `ringwire-sim` runs as many as one likes.
const WORLDS: u64 = 120;

#[test]
fn equal_seeds_tell_equal_stories() {
    for seed in 0..12 {
        let stories = [run(seed, Options::default()), run(seed, Options::default())];
        assert_eq!(stories[0].hash, stories[1].hash, "seed {seed}");
        assert_eq!(stories[0].counts, stories[1].counts, "seed {seed}");
        assert_ne!(stories[0].hash, run(seed + 1000, Options::default()).hash, "seed {seed}");
    }
}

#[test]
fn every_promise_is_kept_whatever_goes_wrong() {
    let mut counts = Counts::default();
    for seed in 0..WORLDS {
        let outcome = run(seed, Options::default());
        assert_eq!(outcome.violation, None, "again: ringwire-sim --seed {seed} --trace");
        counts.add(&outcome.counts);
    }
    // A simulation in which nothing happens would keep every promise, too.
    let Counts { crashes, drains, failures, torn, half_starts, checkpoints, disk_reads, .. } = counts;
    for (what, often) in [
        ("crashes", crashes),
        ("ends in good order", drains),
        ("failed journals", failures),
        ("lost or torn writes", torn),
        ("starts that died half way", half_starts),
        ("checkpoints", checkpoints),
        ("reads of the journal", disk_reads),
        ("stored messages", counts.stored),
        ("answers to repeated publishes", counts.duplicates),
        ("messages shown before they were synced", counts.from_memory),
        ("pages", counts.pages),
        ("refusals for the moment", counts.busy),
        ("short sends", counts.stalls),
        ("messages left out for slow connections", counts.demoted),
        ("slow connections that were cut", counts.slow),
        ("heads", counts.heads),
        ("faults of peers", counts.faults),
        ("broken connections", counts.cuts),
        ("segments that were given up", counts.given_up),
        ("gaps over what has expired", counts.expired),
        ("QUIC connections", counts.quic_opened),
        ("sessions over WebTransport", counts.web_opened),
        ("flights of early data", counts.early),
        ("flights of early data that came to nothing", counts.early_refused),
        ("QUIC connections turned away", counts.quic_refused),
        ("lost datagrams", counts.datagrams_lost),
        ("datagrams too long for their path", counts.too_wide),
        ("datagrams that came to another shard", counts.strays),
        ("datagrams of strangers", counts.from_strangers),
        ("beginnings of connections that never go on", counts.half_begun),
        ("what onlookers heard over QUIC", counts.looked_on),
        ("what intruders sent beside their streams", counts.noise),
        ("streams that intruders may not have", counts.streams_too_many),
        ("datagrams marked for congestion", counts.marked),
        ("datagrams whose marks were wiped out", counts.bleached),
        ("clients asked to prove their address", counts.retried),
        ("connections of clients that had to", counts.proven),
        ("resets of connections that a new process does not know", counts.resets),
        ("connections that went on at another address", counts.moves_survived),
    ] {
        assert!(often > 5, "{what}: {often} in {WORLDS} worlds");
    }
}
