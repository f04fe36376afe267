//! Whether the other side is still there, and whether it knows that we are.
//!
//! Any frame counts, in both directions. When the client has said nothing for most of a heartbeat, or heard nothing for
//! one, it asks; a server that has been silent for more than two heartbeats, and for one since it was asked, is gone.
//! The second condition is for a computer that slept: it asks before it judges.

use std::time::Duration;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beat {
    /// Nothing until then.
    Wait(Duration),
    /// Ask now.
    Ping,
    /// The server has been silent for so long.
    Dead(Duration),
}

/// The heartbeat of one live connection.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    interval: Duration,
    heard: Duration,
    said: Duration,
    asked: Option<Duration>,
}

impl Heartbeat {
    pub(crate) fn new(interval: Duration, now: Duration) -> Self {
        Self { interval, heard: now, said: now, asked: None }
    }

    /// Something came.
    pub(crate) fn heard(&mut self, now: Duration) {
        self.heard = now;
        self.asked = None;
    }

    /// Something was sent.
    pub(crate) fn said(&mut self, now: Duration) {
        self.said = now;
    }

    /// Looks at the clock. A `Ping` counts as sent and as asked.
    pub(crate) fn check(&mut self, now: Duration) -> Beat {
        if let Some(asked) = self.asked {
            let dead = (self.heard + self.interval * 9 / 4).max(asked + self.interval);
            if now >= dead {
                return Beat::Dead(now - self.heard);
            }
        }
        // A quarter is left for the way to the server, whose patience is the heartbeat that it has named.
        let say = self.said + self.interval * 3 / 4;
        let ask = self.heard + self.interval;
        if now >= say || (now >= ask && self.asked.is_none()) {
            self.said = now;
            self.asked.get_or_insert(now);
            return Beat::Ping;
        }
        let due = match self.asked {
            Some(asked) => (self.heard + self.interval * 9 / 4).max(asked + self.interval),
            None => ask,
        };
        Beat::Wait(say.min(due))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEAT: Duration = Duration::from_secs(20);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_idle_client_speaks_within_every_heartbeat() {
        let mut heartbeat = Heartbeat::new(BEAT, at(0));
        let mut last = at(0);
        let mut now = at(0);
        while now < at(600) {
            match heartbeat.check(now) {
                Beat::Wait(until) => {
                    assert!(until > now);
                    now = until;
                }
                Beat::Ping => {
                    assert!(now - last < BEAT, "silent from {last:?} to {now:?}");
                    last = now;
                    heartbeat.heard(now + Duration::from_millis(50));
                }
                Beat::Dead(_) => panic!("dead although every ping was answered"),
            }
        }
    }

    #[test]
    fn a_talkative_client_still_notices_a_silent_server() {
        let mut heartbeat = Heartbeat::new(BEAT, at(0));
        let mut asked = None;
        for second in 1..200 {
            heartbeat.said(at(second));
            match heartbeat.check(at(second)) {
                Beat::Ping => asked = asked.or(Some(second)),
                Beat::Dead(silence) => {
                    assert_eq!(asked, Some(20));
                    assert_eq!(second, 45);
                    assert_eq!(silence, at(45));
                    return;
                }
                Beat::Wait(_) => {}
            }
        }
        panic!("never noticed");
    }

    #[test]
    fn after_a_long_sleep_it_asks_before_it_judges() {
        let mut heartbeat = Heartbeat::new(BEAT, at(0));
        assert_eq!(heartbeat.check(at(5_000)), Beat::Ping);
        assert!(matches!(heartbeat.check(at(5_001)), Beat::Wait(_)));
        heartbeat.heard(at(5_002));
        assert!(matches!(heartbeat.check(at(5_003)), Beat::Wait(_)));
    }

    #[test]
    fn an_unanswered_question_ends_it_after_a_heartbeat() {
        let mut heartbeat = Heartbeat::new(BEAT, at(0));
        assert_eq!(heartbeat.check(at(5_000)), Beat::Ping);
        assert!(!matches!(heartbeat.check(at(5_019)), Beat::Dead(_)));
        assert!(matches!(heartbeat.check(at(5_020)), Beat::Dead(_)));
    }
}
