//! Deterministic simulation of shards, clients, network and disk: one world, one thread, one seed.
