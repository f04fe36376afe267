//! Chance, from one seed.
//!
//! Each part of a world draws from a stream of its own, so that one more draw in one of them does not move
//! the others: a world with one more workload step still has the same network.
//!
//! The generator is xoshiro256++ (Blackman and Vigna, public domain): 256 bits of state, four shifts and adds
//! per draw. Its state is filled by SplitMix64 from the seed and the stream's name, as its authors advise.

use std::ops::RangeInclusive;

/// One stream of draws.
#[derive(Clone, Debug)]
pub struct Random {
    state: [u64; 4],
}

/// SplitMix64: also a good mixer of one word into another.
pub fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

impl Random {
    /// The stream of this name; equal seeds and names give equal draws.
    pub fn new(seed: u64, stream: &str) -> Self {
        let mut word = stream.bytes().fold(mix(seed), |word, byte| mix(word ^ u64::from(byte)));
        let mut state = [0; 4];
        for part in &mut state {
            word = mix(word);
            *part = word;
        }
        Self { state }
    }

    /// The next 64 bits.
    pub fn word(&mut self) -> u64 {
        let [a, b, c, d] = self.state;
        let drawn = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let (c, d) = (c ^ a, d ^ b);
        self.state = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        drawn
    }

    /// A number below `bound`, or 0 where that is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // The high half of the product: no division, and no remainder that favours small numbers.
        ((u128::from(self.word()) * u128::from(bound)) >> 64) as u64
    }

    /// A number in the range.
    pub fn within(&mut self, range: RangeInclusive<u64>) -> u64 {
        let (first, last) = range.into_inner();
        first + self.below((last - first).saturating_add(1))
    }

    /// An index below `len`, or 0.
    pub fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    /// True once in `often` times; never if that is 0.
    pub fn one_in(&mut self, often: u64) -> bool {
        often != 0 && self.below(often) == 0
    }

    /// One of them.
    ///
    /// # Panics
    /// If there is none.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.index(from.len())]
    }

    /// A wait that is `mean` on average, never twice as long.
    pub fn around(&mut self, mean: u64) -> u64 {
        self.within(0..=2 * mean)
    }
}

/// The streams of one world.
#[derive(Debug)]
pub struct Streams {
    /// Who is first when several things happen at once, how long a turn takes, who gets no turn.
    pub schedule: Random,
    /// Delays, segments, short sends.
    pub network: Random,
    /// What becomes of datagrams, and who moves.
    pub datagrams: Random,
    /// How long the disk takes, and what survives.
    pub disk: Random,
    /// What clients ask for.
    pub workload: Random,
    /// What clients are: their seeds, their limits.
    pub clients: Random,
    /// What goes wrong, and when.
    pub faults: Random,
}

impl Streams {
    /// All streams of a seed.
    pub fn new(seed: u64) -> Self {
        let stream = |name| Random::new(seed, name);
        Self {
            schedule: stream("schedule"),
            network: stream("network"),
            datagrams: stream("datagrams"),
            disk: stream("disk"),
            workload: stream("workload"),
            clients: stream("clients"),
            faults: stream("faults"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_and_names_give_equal_draws_and_others_do_not() {
        let draws = |seed, name| {
            let mut random = Random::new(seed, name);
            (0..8).map(|_| random.word()).collect::<Vec<_>>()
        };
        assert_eq!(draws(7, "disk"), draws(7, "disk"));
        assert_ne!(draws(7, "disk"), draws(8, "disk"));
        assert_ne!(draws(7, "disk"), draws(7, "network"));
    }

    #[test]
    fn numbers_stay_inside_and_reach_both_ends() {
        let mut random = Random::new(1, "test");
        let drawn: Vec<u64> = (0..1000).map(|_| random.within(3..=6)).collect();
        assert!(drawn.iter().all(|number| (3..=6).contains(number)));
        assert!((3..=6).all(|number| drawn.contains(&number)));
        assert_eq!(random.below(0), 0);
        assert_eq!(random.within(5..=5), 5);
        assert!(!random.one_in(0) && random.one_in(1));
    }
}
