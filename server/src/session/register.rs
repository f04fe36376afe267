//! How a device asks to be woken, and not to be. What cannot be used is refused here; the user's home keeps it.

use ringwire_driver::ConnectionId;
use ringwire_protocol::code::Code;
use ringwire_protocol::id::ConversationId;
use ringwire_protocol::message::{Register, Reject, Unregister};

use super::Sessions;
use crate::clock::Now;
use crate::conversation::BUSY_RETRY_MS;
use crate::fanout::letter::{Request, home_of};
use crate::fanout::mesh::Mesh;
use crate::limits::{REGISTER_BURST, REGISTER_INTERVAL_MS};
use crate::plane::push::target::Target;
use crate::user::letter::HomeLetter;

impl Sessions {
    pub(super) fn on_register(
        &mut self,
        now: Now,
        id: ConnectionId,
        register: &Register<'_>,
        mesh: &mut Mesh,
    ) {
        let target = Target {
            provider: register.provider,
            token: register.token.into(),
            app: register.app.into(),
            key: register.key.into(),
            secret: register.secret.into(),
        };
        if let Err(fault) = self.terms.push.check(&target) {
            let reason = fault.to_string();
            return self.refuse_register(id, register.request, Code::PUSH_TOKEN_INVALID, 0, &reason);
        }
        self.ask_to_be_woken(now, id, register.request, Some(Box::new(target)), mesh);
    }

    pub(super) fn on_unregister(
        &mut self,
        now: Now,
        id: ConnectionId,
        unregister: Unregister,
        mesh: &mut Mesh,
    ) {
        self.ask_to_be_woken(now, id, unregister.request, None, mesh);
    }

    fn ask_to_be_woken(
        &mut self,
        now: Now,
        id: ConnectionId,
        request: u32,
        target: Option<Box<Target>>,
        mesh: &mut Mesh,
    ) {
        let Some(author) = self.author_of(id) else { return };
        let (now_ms, pace) = (now.monotonic_ms(), &mut self.doings.entry(id.slot).or_default().registrations);
        if !pace.take(now_ms, REGISTER_INTERVAL_MS, REGISTER_BURST) {
            let retry_after_ms = pace.wait(now_ms, REGISTER_INTERVAL_MS, REGISTER_BURST) as u32;
            let reason = "how the device is woken changes too often";
            return self.refuse_register(id, request, Code::RATE_LIMITED, retry_after_ms, reason);
        }
        let letter = Request::Home(HomeLetter::Register { author, request, target });
        if mesh.request(home_of(author.user, mesh.shards()), letter).is_err() {
            let reason = "the user's shard is behind; send again";
            self.refuse_register(id, request, Code::OVERLOADED, BUSY_RETRY_MS, reason);
        }
    }

    fn refuse_register(
        &mut self,
        id: ConnectionId,
        request: u32,
        code: Code,
        retry_after_ms: u32,
        reason: &str,
    ) {
        let conversation = ConversationId::ZERO;
        self.reject(id, &Reject { request, conversation, client_sequence: 0, code, retry_after_ms, reason });
    }
}
