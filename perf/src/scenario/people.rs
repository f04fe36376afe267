//! Who connects in a scenario, and which rooms are published to in which order: the same in every run.

use super::Scenario;
use crate::load::adapter::{Role, Who};

impl Scenario {
    /// Publishers first, then subscribers.
    #[must_use]
    pub fn people(&self) -> Vec<Who> {
        let publishers = if self.publishes() { self.publishers } else { 0 };
        let who = |index: u32, role| Who { index, user: index % self.users, role };
        let rooms_of =
            |publisher| (0..self.rooms).filter(|room| room % self.publishers == publisher).collect();
        let publishing = (0..publishers).map(|index| who(index, Role::Publisher(rooms_of(index))));
        let receiving = (0..self.subscribers).map(|nth| {
            let role = if self.publishes() { Role::Subscriber(self.rooms_of(nth)) } else { Role::Idle };
            who(publishers + nth, role)
        });
        publishing.chain(receiving).collect()
    }

    /// The rooms of the `nth` subscriber: spread so that every room has the same number (to one).
    fn rooms_of(&self, nth: u32) -> Vec<u32> {
        let step = (self.rooms / self.rooms_per_subscriber).max(1);
        (0..self.rooms_per_subscriber).map(|which| (nth + which * step) % self.rooms).collect()
    }

    /// Which rooms an open loop publishes to, in which order: the same in every run.
    pub(super) fn order(&self) -> Vec<u32> {
        if self.zipf == 0.0 {
            return (0..self.rooms).collect();
        }
        let weights: Vec<f64> = (1..=self.rooms).map(|rank| f64::from(rank).powf(-self.zipf)).collect();
        let total: f64 = weights.iter().sum();
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        (0..16_384)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                let mut left = (state >> 11) as f64 / (1u64 << 53) as f64 * total;
                let found = weights.iter().position(|weight| {
                    left -= weight;
                    left < 0.0
                });
                found.unwrap_or(0) as u32
            })
            .collect()
    }
}
