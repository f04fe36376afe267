//! Bounded single-producer single-consumer rings between shards.
