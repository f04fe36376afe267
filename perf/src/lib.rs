//! Benchmarks, load and conformance servers of Ringwire.
