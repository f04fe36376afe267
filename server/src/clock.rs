//! Time as an input: the shard loop reads the clocks once per turn, the simulation invents them.

/// One instant, on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Now {
    /// Nanoseconds since an arbitrary point, never backwards; the same clock in all shards.
    pub monotonic_ns: u64,
    /// Milliseconds since 1970, as messages carry it.
    pub unix_ms: u64,
}

impl Now {
    /// Whole seconds on the monotonic clock; enough for time-outs, and four bytes per connection.
    pub fn seconds(self) -> u32 {
        (self.monotonic_ns / 1_000_000_000) as u32
    }

    /// Milliseconds on the monotonic clock.
    pub fn monotonic_ms(self) -> u64 {
        self.monotonic_ns / 1_000_000
    }
}
