//! Where a session meets people: its home learns of it, and the other sessions of its device give way.

use ringwire_driver::ConnectionId;
use ringwire_protocol::code::Code;
use ringwire_protocol::id::ConversationId;
use ringwire_protocol::ws::{self, Opcode};

use super::Sessions;
use crate::clock::Now;
use crate::fanout::encoded::Encoded;
use crate::fanout::letter::{Author, Reach, Request, SessionRef, home_of};
use crate::fanout::mesh::Mesh;
use crate::fanout::queues::Queue;
use crate::user::letter::HomeLetter;

/// How long a challenged session has to answer, seconds: a few round trips of a bad network.
const PROOF_S: u8 = 15;

impl Sessions {
    /// A session has begun: its home is told.
    pub(super) fn sign_in(&mut self, author: Author, mesh: &mut Mesh) {
        let home = home_of(author.user, mesh.shards());
        mesh.tell(home, Request::Home(HomeLetter::SignIn { author }));
    }

    /// A session is over.
    pub(super) fn sign_out(&mut self, author: Author, mesh: &mut Mesh) {
        let (user, session) = (author.user, author.session);
        mesh.tell(home_of(user, mesh.shards()), Request::Home(HomeLetter::SignOut { user, session }));
    }

    /// There is another session of the device. What its client has sent already proves nothing, because it may
    /// have given the connection up since; the answer to a ping that is sent now does.
    pub(super) fn on_challenge(&mut self, session: SessionRef) {
        let Some(live) = self.of_session(session).and_then(|connection| connection.session_mut()) else {
            return;
        };
        live.proof_s = PROOF_S;
        let payload = session.number.to_le_bytes();
        let frame = self.queues.written(|out| ws::write_message(out, Opcode::Ping, &payload, None));
        self.enqueue(session.connection, frame);
    }

    /// A pong; perhaps the answer to a challenge.
    pub(super) fn on_pong(&mut self, id: ConnectionId, payload: &[u8], mesh: &mut Mesh) {
        let Some(session) = self.get_mut(id).and_then(|connection| connection.session_mut()) else { return };
        if session.proof_s == 0 || payload != session.number.to_le_bytes() {
            return;
        }
        session.proof_s = 0;
        let Some(Author { user, session, .. }) = self.author_of(id) else { return };
        mesh.tell(home_of(user, mesh.shards()), Request::Home(HomeLetter::Proven { user, session }));
    }

    pub(super) fn on_replaced(&mut self, now: Now, session: SessionRef, mesh: &mut Mesh) {
        if self.of_session(session).is_some() {
            let reason = "this device has signed in again, on another connection";
            self.close(now, session.connection, Code::REPLACED, reason, mesh);
        }
    }

    /// A frame of this moment for those who receive a conversation; who is stalled does without.
    pub(super) fn on_notice(
        &mut self,
        conversation: ConversationId,
        reach: Reach,
        frame: &Encoded,
        except: Option<SessionRef>,
    ) {
        let Some(topic) = self.subscribers.find(conversation) else { return };
        let frame = self.queues.shared(frame.websocket().clone());
        let me = self.me;
        let mut tell = |slot: u32| {
            let Some(connection) = self.connections[slot as usize].as_deref_mut() else { return };
            if except.is_some_and(|except| (except.shard, except.connection) == (me, connection.id)) {
                return;
            }
            if connection.stalled.is_some() {
                self.counters.notices_dropped += 1;
                return;
            }
            if connection.queue == Queue::EMPTY {
                self.due.push(connection.id);
            }
            connection.queue = self.queues.push(connection.queue, frame);
            self.counters.notices += 1;
        };
        self.subscribers.open(topic).for_each(&mut tell);
        if reach == Reach::Everybody {
            self.subscribers.closed(topic).for_each(&mut tell);
        }
    }
}
