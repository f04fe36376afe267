//! The core's only source of chance: a small generator with a seed, so that one seed is one history.
//!
//! Used for spreading reconnects over time, retries over time, and WebSocket masking keys. Not for secrets: the
//! masking key of a client that is not a browser protects no one, it only has to be there (RFC 6455 §10.3).

use std::time::Duration;

/// SplitMix64: one addition and three multiplications, full period, and no state that could be seeded badly.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The generator of this seed; equal seeds give equal draws.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A duration in `low..=high`, to the microsecond; `low` when the range is empty.
    pub fn between(&mut self, low: Duration, high: Duration) -> Duration {
        let span = high.saturating_sub(low).as_micros().min(u128::from(u64::MAX - 1)) as u64;
        // The multiplication keeps the whole width of the draw; a remainder would favour short waits.
        let drawn = ((u128::from(self.next_u64()) * u128::from(span + 1)) >> 64) as u64;
        low + Duration::from_micros(drawn)
    }
}
