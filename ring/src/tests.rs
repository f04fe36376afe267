//! What the ring promises: small claims here, a model, threads, and (with `--cfg loom`) every interleaving.

#[cfg(not(loom))]
mod claims;
#[cfg(not(loom))]
mod counted;
#[cfg(loom)]
mod interleavings;
#[cfg(not(loom))]
mod model;
#[cfg(not(loom))]
mod stress;
