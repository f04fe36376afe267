//! How many connections an address may begin: a handshake costs the server far more than whoever asks for it.
//!
//! ```text
//!   connection, or first datagram ──► slot of its address ──► room in it: on; else turned away
//! ```
//!
//! A table of fixed size, with one slot per hash: an address is four bytes of IPv4 or the /64 of IPv6, which is what one
//! site has. Who finds his slot taken by another address that still has something to pay off is let in uncounted, and
//! the other stays: who floods is never forgotten for somebody else, and no honest client is kept out by it. A slot is
//! free again as soon as its address has paid off, after some milliseconds with most.
//!
//! Owner: the shard, one over TCP and one over UDP. Lifetime: the process.
//!
//! Absent: what is done with who is turned away.

use std::hash::BuildHasher;
use std::net::IpAddr;

use foldhash::quality::RandomState;

use crate::limits::{GATE_SAYS_INTERVAL_S, GATE_SLOTS};
use crate::pace::Pace;

/// How many connections one address may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Per second, in the long run; not 0.
    pub per_second: u32,
    /// At once.
    pub burst: u32,
}

impl Rate {
    /// Microseconds between two.
    fn interval_us(self) -> u64 {
        (1_000_000 / u64::from(self.per_second.max(1))).max(1)
    }
}

#[derive(Clone, Copy, Default)]
struct Slot {
    /// Whose it is.
    key: u64,
    pace: Pace,
}

/// Counts, and says who is to be turned away.
pub struct Gate {
    rate: Option<Rate>,
    slots: Box<[Slot]>,
    hasher: RandomState,
    says: Pace,
    /// Turned away since that was said last.
    unsaid: u64,
}

impl Gate {
    /// Without a rate everybody passes, and nothing is kept.
    pub fn new(rate: Option<Rate>) -> Self {
        let slots = if rate.is_some() { GATE_SLOTS } else { 0 };
        Gate {
            rate,
            slots: vec![Slot::default(); slots].into_boxed_slice(),
            hasher: RandomState::default(),
            says: Pace::default(),
            unsaid: 0,
        }
    }

    /// Whether another connection of this address may begin now. `is_proven`: it is known to be the sender's own; the
    /// others are counted apart, so that nobody uses up what is another's by giving his address.
    ///
    /// # Errors
    /// The seconds until one may.
    pub fn try_pass(&mut self, now_us: u64, address: IpAddr, is_proven: bool) -> Result<(), u32> {
        let Some(Rate { burst, .. }) = self.rate else { return Ok(()) };
        let interval_us = self.rate.map_or(0, Rate::interval_us);
        let key = self.hasher.hash_one((site(address), is_proven));
        let slot = &mut self.slots[key as usize % GATE_SLOTS];
        if slot.key != key {
            // What a full burst has to wait for is what was begun; nothing of it left: the slot is free.
            if slot.pace.wait(now_us, interval_us, 1) > 0 {
                return Ok(());
            }
            *slot = Slot { key, pace: Pace::default() };
        }
        if slot.pace.take(now_us, interval_us, burst) {
            return Ok(());
        }
        let wait_us = slot.pace.wait(now_us, interval_us, burst);
        Err(u32::try_from(wait_us.div_ceil(1_000_000)).unwrap_or(u32::MAX).max(1))
    }

    /// Notes that one was turned away, and says so in the log now and then.
    pub fn on_turned_away(&mut self, now_us: u64, address: IpAddr) {
        self.unsaid += 1;
        if self.says.take(now_us, GATE_SAYS_INTERVAL_S * 1_000_000, 1) {
            let count = std::mem::take(&mut self.unsaid);
            tracing::warn!(
                %address, count,
                "turned away connections of addresses that begin too many, this one the latest; if many clients share \
                 it, raise limits.handshakes"
            );
        }
    }
}

/// What counts as one address.
fn site(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        // The bit is there so that it is never one of the others.
        IpAddr::V6(v6) => u128::from(v6) & !u128::from(u64::MAX) | 1 << 63,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    const RATE: Rate = Rate { per_second: 10, burst: 5 };

    fn passed(gate: &mut Gate, now_us: u64, address: impl Into<IpAddr>, tries: usize) -> usize {
        let address = address.into();
        (0..tries).filter(|_| gate.try_pass(now_us, address, true).is_ok()).count()
    }

    #[test]
    fn an_address_has_its_burst_and_its_rate_and_others_have_theirs() {
        let mut gate = Gate::new(Some(RATE));
        let (one, other) = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2));
        let start = 5_000_000;
        assert_eq!(passed(&mut gate, start, one, 100), 5);
        assert_eq!(gate.try_pass(start, one.into(), true), Err(1));
        assert_eq!(passed(&mut gate, start, other, 100), 5);
        assert_eq!(passed(&mut gate, start + 1_000_000, one, 100), 5, "a second is longer than the burst");
        assert_eq!(passed(&mut gate, start + 1_200_000, one, 100), 2);
        assert_eq!(passed(&mut gate, start + 1_200_000, one.to_ipv6_mapped(), 100), 0, "it is the same");
        assert!(
            gate.try_pass(start + 1_200_000, one.into(), false).is_ok(),
            "what others say is counted apart"
        );
    }

    #[test]
    fn a_site_of_ipv6_is_one_address() {
        let mut gate = Gate::new(Some(RATE));
        let host = |net: u16, host: u16| Ipv6Addr::new(0x2001, 0xdb8, 0, net, 0, 0, 0, host);
        let within: usize = (0..50).map(|n| passed(&mut gate, 1_000_000, host(1, n), 1)).sum();
        assert_eq!(within, 5);
        assert_eq!(passed(&mut gate, 1_000_000, host(2, 1), 9), 5);
    }

    #[test]
    fn a_full_table_forgets_nobody_who_has_to_pay_and_keeps_nobody_out() {
        let mut gate = Gate::new(Some(RATE));
        let flood = Ipv4Addr::new(198, 51, 100, 7);
        assert_eq!(passed(&mut gate, 1_000_000, flood, 100), 5);
        for n in 0..4 * GATE_SLOTS as u32 {
            assert_eq!(passed(&mut gate, 1_000_000, Ipv4Addr::from(0x0a00_0000 + n), 1), 1);
        }
        assert_eq!(passed(&mut gate, 1_000_000, flood, 100), 0);
        assert_eq!(gate.slots.len(), GATE_SLOTS);
    }

    #[test]
    fn without_a_rate_everybody_passes() {
        let mut gate = Gate::new(None);
        assert_eq!(passed(&mut gate, 1, Ipv4Addr::LOCALHOST, 100_000), 100_000);
        assert!(gate.slots.is_empty());
    }
}
