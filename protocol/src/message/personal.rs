//! What clients say about their user and their device: how it is woken, what it has, what others may see.

use super::encoder::Encoder;
use super::layout;
use super::value::Provider;
use super::verify::{self, known, text};
use crate::fault::Fault;
use crate::frame::FrameType;
use crate::generated as wire;
use crate::id::ConversationId;
use crate::limits;

/// How this device is woken when it is away; replaces what it said before. Answered by `Done`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Register<'a> {
    /// Comes back in the answer.
    pub request: u32,
    /// Who wakes it.
    pub provider: Provider,
    /// The device's token (APNs, FCM), the URL (Web Push), or what the operator's backend is to get (webhook); at
    /// most [`limits::PUSH_TOKEN_BYTES_MAX`] bytes.
    pub token: &'a str,
    /// The application, where the operator serves several (APNs: the topic, FCM: the project); at most
    /// [`limits::PUSH_APP_BYTES_MAX`] bytes, may be empty.
    pub app: &'a str,
    /// Web Push: the browser's public key (`p256dh`); else empty.
    pub key: &'a [u8],
    /// Web Push: the shared secret (`auth`); else empty.
    pub secret: &'a [u8],
}

/// Without what wakes a device or is secret, so that no log has it.
impl core::fmt::Debug for Register<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Register")
            .field("request", &self.request)
            .field("provider", &self.provider)
            .field("app", &self.app)
            .finish_non_exhaustive()
    }
}

impl<'a> Register<'a> {
    /// Appends the frame to `out`.
    pub fn encode(&self, encoder: &mut Encoder, out: &mut Vec<u8>) {
        let builder = &mut encoder.builder;
        let secret = Some(builder.create_vector(self.secret));
        let key = Some(builder.create_vector(self.key));
        let app = Some(builder.create_string(self.app));
        let token = Some(builder.create_string(self.token));
        let fixed = wire::RegisterFixed::new(self.request, self.provider.wire());
        let args = wire::RegisterArgs { fixed: Some(&fixed), token, app, key, secret };
        let root = wire::Register::create(builder, &args);
        encoder.frame(FrameType::Register, root, out);
    }

    pub(crate) fn from_body(body: &'a [u8]) -> Result<Self, Fault> {
        let kind = FrameType::Register;
        let table = verify::root::<wire::Register<'_>>(kind, body)?;
        let fixed = table.fixed();
        let provider = fixed.provider().0;
        Ok(Self {
            request: fixed.request(),
            provider: known(kind, "provider", provider, Provider::from_number(provider))?,
            token: text(kind, "token", table.token(), limits::PUSH_TOKEN_BYTES_MAX)?,
            app: text(kind, "app", table.app(), limits::PUSH_APP_BYTES_MAX)?,
            key: verify::bytes(kind, "key", table.key().bytes(), limits::PUSH_KEY_BYTES_MAX)?,
            secret: verify::bytes(kind, "secret", table.secret().bytes(), limits::PUSH_KEY_BYTES_MAX)?,
        })
    }
}

/// This device is not woken any more. Answered by `Done`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unregister {
    /// Comes back in the answer.
    pub request: u32,
}

impl Unregister {
    /// Appends the frame to `out`.
    pub fn encode(&self, _encoder: &mut Encoder, out: &mut Vec<u8>) {
        layout::write(FrameType::Unregister, &wire::UnregisterFixed::new(self.request).0, out);
    }

    pub(crate) fn from_body(body: &[u8]) -> Result<Self, Fault> {
        let kind = FrameType::Unregister;
        let fixed = verify::fixed::<wire::Unregister<'_>, _>(kind, body, |table| table.fixed().0)?;
        Ok(Self { request: wire::UnregisterFixed(fixed).request() })
    }
}

/// The device has handed everything up to here to its reader. No answer; the highest one of all devices
/// counts. Sent with `OPTIONAL` set: a server that does not know it misses nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// Which conversation.
    pub conversation: ConversationId,
    /// Everything up to here.
    pub sequence: u64,
}

impl Delivered {
    /// Appends the frame to `out`.
    pub fn encode(&self, _encoder: &mut Encoder, out: &mut Vec<u8>) {
        let fixed = wire::DeliveredFixed::new(&self.conversation.wire(), self.sequence);
        layout::write(FrameType::Delivered, &fixed.0, out);
    }

    pub(crate) fn from_body(body: &[u8]) -> Result<Self, Fault> {
        let kind = FrameType::Delivered;
        let fixed = verify::fixed::<wire::Delivered<'_>, _>(kind, body, |table| table.fixed().0)?;
        let fixed = wire::DeliveredFixed(fixed);
        Ok(Self {
            conversation: ConversationId::from_bytes(fixed.conversation().0),
            sequence: fixed.sequence(),
        })
    }
}

/// How many members are there and how far they are, instead of who. Answered by `Done`, then by `Counts` as
/// they change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchCounts {
    /// Comes back in the answer.
    pub request: u32,
    /// Of which conversation.
    pub conversation: ConversationId,
    /// `false`: no more of them.
    pub active: bool,
}

impl WatchCounts {
    /// Appends the frame to `out`.
    pub fn encode(&self, _encoder: &mut Encoder, out: &mut Vec<u8>) {
        let fixed = wire::WatchCountsFixed::new(&self.conversation.wire(), self.request, self.active);
        layout::write(FrameType::WatchCounts, &fixed.0, out);
    }

    pub(crate) fn from_body(body: &[u8]) -> Result<Self, Fault> {
        let kind = FrameType::WatchCounts;
        let fixed = verify::fixed::<wire::WatchCounts<'_>, _>(kind, body, |table| table.fixed().0)?;
        let fixed = wire::WatchCountsFixed(fixed);
        Ok(Self {
            request: fixed.request(),
            conversation: ConversationId::from_bytes(fixed.conversation().0),
            active: fixed.active(),
        })
    }
}

/// What others may see of the user. Answered by `Done`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Comes back in the answer.
    pub request: u32,
    /// Those who watch the user are told when the user was last seen; kept.
    pub share_last_seen: bool,
    /// The user is here, but not looking; until said otherwise, or the last session ends.
    pub away: bool,
}

impl Settings {
    /// Appends the frame to `out`.
    pub fn encode(&self, _encoder: &mut Encoder, out: &mut Vec<u8>) {
        let fixed = wire::SettingsFixed::new(self.request, self.share_last_seen, self.away);
        layout::write(FrameType::Settings, &fixed.0, out);
    }

    pub(crate) fn from_body(body: &[u8]) -> Result<Self, Fault> {
        let kind = FrameType::Settings;
        let fixed = verify::fixed::<wire::Settings<'_>, _>(kind, body, |table| table.fixed().0)?;
        let fixed = wire::SettingsFixed(fixed);
        Ok(Self { request: fixed.request(), share_last_seen: fixed.share_last_seen(), away: fixed.away() })
    }
}
