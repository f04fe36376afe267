//! Amplification: an address from which nobody answers is sent at most three times what came from it, so that the
//! server is no means to flood somebody (RFC 9000 §8.1).
//!
//! Where somebody has got a datagram of the server, he can prove that he is there, and nothing is counted any more. An
//! address from which something came for a connection that is there already may be asked whether it has moved, with a
//! datagram or two more, and is paid for by what comes for the connection from anywhere.

use super::{Promise, Verdict};

/// How many times what came may be sent.
const TIMES: u64 = 3;

/// What the first byte of a packet says that begins a connection (RFC 9000 §17.2.2), and where it says so.
const INITIAL: u8 = 0x80;
const FORM: u8 = 0xb0;

/// Two datagrams of full length, and what is paid for by datagrams that had come before and were passed on by another
/// shard.
const ASKED_BYTES: u64 = (2 + 4) * 1500;

/// One address.
#[derive(Clone, Copy, Debug, Default)]
struct Account {
    came_bytes: u64,
    sent_bytes: u64,
    /// What had come from everywhere, when something came from here for a connection that was there already.
    moved_at_bytes: Option<u64>,
    has_heard: bool,
}

/// See the module. Addresses are numbered.
#[derive(Debug, Default)]
pub struct Amplification {
    accounts: Vec<Account>,
    /// What has come from everywhere.
    came_bytes: u64,
}

impl Amplification {
    fn account(&mut self, address: u32) -> &mut Account {
        let at = address as usize;
        if at >= self.accounts.len() {
            self.accounts.resize(at + 1, Account::default());
        }
        &mut self.accounts[at]
    }

    /// A datagram from there has reached the server.
    pub fn on_came(&mut self, address: u32, datagram: &[u8]) {
        let before_bytes = self.came_bytes;
        self.came_bytes += datagram.len() as u64;
        let account = self.account(address);
        account.came_bytes += datagram.len() as u64;
        if datagram.first().is_some_and(|first| first & FORM != INITIAL) {
            account.moved_at_bytes.get_or_insert(before_bytes);
        }
    }

    /// The server sends one there.
    ///
    /// # Errors
    /// That is too much.
    pub fn on_sent(&mut self, address: u32, bytes: usize) -> Verdict {
        let all_bytes = self.came_bytes;
        let account = self.account(address);
        account.sent_bytes += bytes as u64;
        let Account { came_bytes, sent_bytes, moved_at_bytes, has_heard } = *account;
        let most = match moved_at_bytes {
            Some(before_bytes) => TIMES * (all_bytes - before_bytes) + ASKED_BYTES,
            None => TIMES * came_bytes,
        };
        Promise::Bounds.holds(has_heard || sent_bytes <= most, || {
            format!(
                "address {address}, where nobody has answered, is sent {sent_bytes} bytes for {came_bytes}"
            )
        })
    }

    /// One that the server sent has reached somebody there.
    pub fn on_heard(&mut self, address: u32) {
        self.account(address).has_heard = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canary_more_than_three_times_what_came() {
        let mut check = Amplification::default();
        check.on_came(4, &[INITIAL; 100]);
        assert!(check.on_sent(4, 200).is_ok() && check.on_sent(4, 100).is_ok());
        assert!(check.on_sent(4, 1).is_err());
        assert!(check.on_sent(3, 1).is_err(), "each address by itself");
        check.on_heard(4);
        assert!(check.on_sent(4, 10_000).is_ok());
        check.on_came(5, &[0x40; 30]);
        assert!(check.on_sent(5, 9_000).is_ok());
        assert!(check.on_sent(5, 91).is_err());
    }
}
