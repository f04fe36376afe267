//! Who is still there. One look at every connection per second, instead of a timer each: an idle connection
//! costs no memory for it and a few nanoseconds per look.

use ringwire_driver::ConnectionId;
use ringwire_protocol::code::Code;

use super::Sessions;
use crate::clock::Now;
use crate::fanout::mesh::Mesh;
use crate::transport::connection::Stage;

/// How long a peer has to answer our close, seconds.
const LINGER_S: u32 = 2;

enum Overdue {
    /// The peer has not come as far as it should have.
    Handshake,
    Silent,
    /// It was challenged and has not answered.
    Unproven,
    TokenExpired,
    /// It was told to close and does not.
    Lingers,
    /// It has not taken a byte of what waits for it.
    Stuck,
}

impl Sessions {
    /// When `sweep` has something to do again, in milliseconds from now; `None` without connections.
    pub fn next_sweep_ms(&self, now: Now) -> Option<u64> {
        if self.is_empty() {
            return None;
        }
        let next_ms = (u64::from(self.swept_s) + 1) * 1000;
        Some(next_ms.saturating_sub(now.monotonic_ms()).max(1))
    }

    /// Closes what is overdue, at most once per second.
    pub fn sweep(&mut self, now: Now, mesh: &mut Mesh) {
        if now.seconds() <= self.swept_s || self.is_empty() {
            return;
        }
        self.swept_s = now.seconds();
        for topic in self.subscribers.untold() {
            self.tell_head(now, topic);
        }
        let presence_ttl_s = self.terms.presence_ttl_s();
        let mut turned = Vec::new();
        let overdue: Vec<(ConnectionId, Overdue)> = self
            .connections
            .iter_mut()
            .flatten()
            .filter_map(|connection| {
                let silent_s = now.seconds().saturating_sub(connection.heard_s);
                let stuck_s =
                    connection.stalled.as_ref().map_or(0, |stalled| now.seconds() - stalled.since_s);
                if stuck_s > self.terms.limits.stall_timeout_s {
                    return Some((connection.id, Overdue::Stuck));
                }
                let overdue = match &mut connection.stage {
                    Stage::Handshake(_) | Stage::Greeting => {
                        (silent_s > self.terms.handshake_timeout_s).then_some(Overdue::Handshake)
                    }
                    Stage::Live(session) => {
                        let unproven = session.proof_s == 1;
                        session.proof_s = session.proof_s.saturating_sub(1);
                        let heard = silent_s <= presence_ttl_s;
                        if session.heard != heard {
                            turned.push((connection.id, heard));
                        }
                        if now.unix_ms > session.identity.expires_unix_ms {
                            Some(Overdue::TokenExpired)
                        } else if unproven {
                            Some(Overdue::Unproven)
                        } else {
                            (silent_s > self.terms.idle_timeout_s).then_some(Overdue::Silent)
                        }
                    }
                    Stage::Closing { .. } => (silent_s > LINGER_S).then_some(Overdue::Lingers),
                    Stage::Closed => None,
                };
                overdue.map(|overdue| (connection.id, overdue))
            })
            .collect();
        self.tell_heard(turned, mesh);
        for (id, overdue) in overdue {
            match overdue {
                Overdue::Handshake => self.expire_handshake(now, id, mesh),
                Overdue::Silent => {
                    self.counters.silent += 1;
                    let reason = "nothing was heard for longer than the idle time-out";
                    self.close(now, id, Code::IDLE_TIMEOUT, reason, mesh);
                }
                Overdue::Unproven => {
                    let reason = "another session of this device lives, and this one did not answer a ping";
                    self.close(now, id, Code::IDLE_TIMEOUT, reason, mesh);
                }
                Overdue::TokenExpired => {
                    let reason = "the token has expired; connect with a new one";
                    self.close(now, id, Code::TOKEN_EXPIRED, reason, mesh);
                }
                Overdue::Lingers => self.end(id, mesh),
                Overdue::Stuck => self.cut_slow(id, mesh),
            }
        }
    }

    /// Cuts a connection that does not keep up. It cannot be told: it does not read.
    pub(super) fn cut_slow(&mut self, id: ConnectionId, mesh: &mut Mesh) {
        self.counters.slow += 1;
        if let Some(connection) = self.get_mut(id) {
            tracing::info!(
                peer = %connection.peer,
                user = connection.session().map(|session| session.identity.name()),
                waiting_bytes = connection.stalled.as_ref().map_or(0, |stalled| stalled.bytes()),
                "cut a connection that does not keep up; it resumes when it comes back"
            );
        }
        // Over QUIC it can be told after all: the code does not wait behind what is not read.
        if self.is_quic(id) {
            return self.close_quic(id, Code::SLOW_CONSUMER, mesh);
        }
        self.end(id, mesh);
    }

    fn expire_handshake(&mut self, now: Now, id: ConnectionId, mesh: &mut Mesh) {
        self.counters.faults += 1;
        let upgraded = self.get_mut(id).is_some_and(|connection| matches!(connection.stage, Stage::Greeting));
        if upgraded {
            let reason = "no Hello came in time";
            self.close(now, id, Code::HANDSHAKE_TIMEOUT, reason, mesh);
        } else {
            // Somebody who sends a request head byte by byte is not owed an answer.
            self.end(id, mesh);
        }
    }
}
