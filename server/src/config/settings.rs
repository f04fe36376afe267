//! Every setting there is: one row each. The file, the environment, `--set`, `ringwire config default` and
//! `ringwire config doc` all read this table.

/// What a setting's text may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Any text.
    Text,
    /// A whole number.
    Number,
    /// Such as "25s".
    Duration,
    /// Such as "128 KiB".
    Size,
    /// `true` or `false`.
    Flag,
    /// Texts; with commas between them in the environment and after `--set`.
    List,
}

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// `section.key`; the environment's name is `RINGWIRE_SECTION_KEY`.
    pub name: &'static str,
    /// What its text may be.
    pub kind: Kind,
    /// As it would be written; empty where there is none.
    pub default: &'static str,
    /// What it is for.
    pub about: &'static str,
}

const fn row(name: &'static str, kind: Kind, default: &'static str, about: &'static str) -> Setting {
    Setting { name, kind, default, about }
}

/// The table, by section.
pub const SETTINGS: &[Setting] = &[
    row("serve.listen", Kind::Text, "127.0.0.1:7400", "Address of WebSocket connections."),
    row(
        "serve.data",
        Kind::Text,
        "ringwire-data",
        "Directory of everything durable; made where it is missing.",
    ),
    row(
        "serve.plane",
        Kind::Text,
        "127.0.0.1:7401",
        "Address of the operators' HTTP: health, metrics, admin interface; off: none.",
    ),
    row("serve.shards", Kind::Number, "0", "Threads that serve; 0: one per processor."),
    row("serve.driver", Kind::Text, "auto", "auto, uring or epoll; auto falls back to epoll with a warning."),
    row(
        "serve.connections_per_shard",
        Kind::Number,
        "16384",
        "Connections that each shard takes over TCP, and as many over QUIC.",
    ),
    row(
        "serve.drain",
        Kind::Duration,
        "5s",
        "How long clients have to go elsewhere after SIGTERM before they are cut.",
    ),
    row(
        "auth.dev",
        Kind::Text,
        "auto",
        "Accept development tokens (dev:NAME): true, false, or auto: true where no key is configured and the \
         address is loopback. Never anything but loopback.",
    ),
    row("auth.hs256_secret", Kind::Text, "", "Shared secret of HS256 tokens; better in a file."),
    row("auth.hs256_secret_file", Kind::Text, "", "File with the shared secret of HS256 tokens."),
    row("auth.ed25519_public_key_file", Kind::Text, "", "PEM file with the public key of EdDSA tokens."),
    row(
        "plane.tls",
        Kind::Flag,
        "true",
        "With a certificate: speak TLS on serve.plane, too, and nothing else; false: for a front on the same machine.",
    ),
    row(
        "plane.admin_key_file",
        Kind::Text,
        "",
        "File with the key of the admin interface; without one the interface is closed.",
    ),
    row(
        "push.active_within",
        Kind::Duration,
        "14d",
        "Users who were not connected for longer are not woken by pushes.",
    ),
    row(
        "push.ttl",
        Kind::Duration,
        "1d",
        "How long a push service keeps a wake-up for a device that is off.",
    ),
    row(
        "push.attempts",
        Kind::Number,
        "12",
        "Tries, further and further apart, before a push is a dead letter.",
    ),
    row("push.concurrency", Kind::Number, "32", "Tries of one push service under way at a time."),
    row("push.timeout", Kind::Duration, "15s", "How long one try may take."),
    row(
        "push.roots_file",
        Kind::Text,
        "",
        "PEM file with certificates that push trusts beside those of the system.",
    ),
    row("push.apns_key_file", Kind::Text, "", "APNs: the token key that Apple gave (.p8)."),
    row("push.apns_key_id", Kind::Text, "", "APNs: the key's id."),
    row("push.apns_team_id", Kind::Text, "", "APNs: the team's id."),
    row(
        "push.apns_topics",
        Kind::List,
        "",
        "APNs: bundle ids of the applications; the first is meant where a registration names none.",
    ),
    row(
        "push.apns_url",
        Kind::Text,
        "https://api.push.apple.com",
        "APNs: where to; https://api.sandbox.push.apple.com for development builds.",
    ),
    row("push.fcm_account_file", Kind::Text, "", "FCM: the service account's key file (JSON)."),
    row("push.fcm_url", Kind::Text, "https://fcm.googleapis.com", "FCM: where to."),
    row("push.fcm_token_url", Kind::Text, "", "FCM: where tokens are fetched; empty: as the key file says."),
    row(
        "push.vapid_key_file",
        Kind::Text,
        "",
        "Web Push: PEM file with the P-256 key that pages subscribe with.",
    ),
    row(
        "push.vapid_subject",
        Kind::Text,
        "",
        "Web Push: mailto: or https: address for the services' operators.",
    ),
    row(
        "push.web_push_hosts",
        Kind::List,
        "fcm.googleapis.com,updates.push.services.mozilla.com,*.push.apple.com,*.notify.windows.com",
        "Web Push: hosts that clients' endpoints may be on; *. stands for any subdomain.",
    ),
    row(
        "push.webhook_url",
        Kind::Text,
        "",
        "Webhook: where wake-ups are posted to, for a backend of your own.",
    ),
    row("push.webhook_secret_file", Kind::Text, "", "Webhook: file with the secret that signs them."),
    row(
        "tls.certificate_file",
        Kind::Text,
        "",
        "PEM file with the certificate and those that signed it; with it, serve.listen and serve.plane speak TLS only.",
    ),
    row("tls.key_file", Kind::Text, "", "PEM file with the certificate's private key, not encrypted."),
    row("tls.version_min", Kind::Text, "1.3", "Oldest version of TLS that clients may speak: 1.3 or 1.2."),
    row(
        "tls.dev",
        Kind::Flag,
        "false",
        "Speak TLS with a certificate for localhost that is made at every start and kept in memory.",
    ),
    row(
        "tls.quic",
        Kind::Flag,
        "true",
        "With a certificate: speak QUIC and WebTransport, too, over UDP on the port of serve.listen.",
    ),
    row("sessions.heartbeat", Kind::Duration, "20s", "A client sends something at least this often."),
    row("sessions.idle_timeout", Kind::Duration, "45s", "Silence after which a connection is closed."),
    row("sessions.handshake_timeout", Kind::Duration, "10s", "Time from connecting to Hello."),
    row(
        "sessions.origins",
        Kind::List,
        "",
        "Origins of web pages that may connect; empty: any. Native clients send none.",
    ),
    row("sessions.app", Kind::Flag, "true", "Serve the chat app at / to browsers that ask for a page."),
    row("limits.body", Kind::Size, "32 KiB", "Longest message body."),
    row("limits.frame", Kind::Size, "64 KiB", "Longest frame."),
    row("limits.outbox", Kind::Size, "256 KiB", "What a reader that does not read may hold in user memory."),
    row(
        "limits.send_buffer",
        Kind::Size,
        "256 KiB",
        "What it may hold in the kernel, about half of it payload.",
    ),
    row(
        "limits.stall_timeout",
        Kind::Duration,
        "30s",
        "How long a reader may take nothing of what waits for it before it is cut.",
    ),
    row(
        "limits.handshakes",
        Kind::Number,
        "200",
        "Connections that one address (IPv4, or /64 of IPv6) may begin per second and shard, over TCP and over UDP each; 0: any number.",
    ),
    row("limits.handshakes_burst", Kind::Number, "1000", "How many of them at once."),
    row("limits.members", Kind::Number, "100000", "Members of one conversation."),
    row("limits.subscriptions", Kind::Number, "1024", "Conversations one connection receives at a time."),
    row(
        "fanout.push_below",
        Kind::Number,
        "100",
        "Conversations with fewer members are pushed to everybody; larger ones only to those who have them open.",
    ),
    row("store.segment", Kind::Size, "64 MiB", "Size of one journal file."),
    row(
        "store.accept_corruption",
        Kind::Flag,
        "false",
        "Start although stored messages are damaged; what is missing is reported and served as a gap.",
    ),
    row("store.cache", Kind::Size, "32 MiB", "Recent messages kept in memory, per shard."),
    row(
        "retention.group_age",
        Kind::Duration,
        "0s",
        "How long messages of groups are kept; 0s: for ever. Whole journal files go, when nothing in them is kept.",
    ),
    row(
        "retention.group_messages",
        Kind::Number,
        "0",
        "How many of the newest are kept of each group; 0: all.",
    ),
    row("retention.direct_age", Kind::Duration, "0s", "The same of conversations of two; 0s: for ever."),
    row(
        "retention.direct_messages",
        Kind::Number,
        "0",
        "How many of the newest are kept of each conversation of two; 0: all.",
    ),
    row("retention.sweep", Kind::Duration, "10m", "How often one looks whether journal files can go."),
    row(
        "media.store",
        Kind::Text,
        "",
        "Where media are kept: a folder, s3://BUCKET/PREFIX, or off; empty: the folder media in serve.data.",
    ),
    row("media.s3_endpoint", Kind::Text, "", "URL of an S3 that is not Amazon's."),
    row("media.s3_region", Kind::Text, "us-east-1", "Region of the bucket."),
    row("media.s3_key_id", Kind::Text, "", "Access key; without one, the machine's own role is used."),
    row("media.s3_secret_file", Kind::Text, "", "File with the secret of that key."),
    row(
        "media.spool",
        Kind::Text,
        "",
        "Folder of uploads under way; empty: media-spool in serve.data. Best on a disk that the journal is not on.",
    ),
    row("media.bytes_max", Kind::Size, "100 MiB", "Largest upload."),
    row("media.spool_bytes", Kind::Size, "4 GiB", "Bytes announced of all uploads under way."),
    row("media.uploads_per_user", Kind::Number, "4", "Uploads that a user may have under way."),
    row("media.upload_expires", Kind::Duration, "24h", "How long an upload may take, from its beginning."),
    row(
        "media.stall_timeout",
        Kind::Duration,
        "30s",
        "How long an upload or a download may stand still before it is cut; an upload can be resumed.",
    ),
    row(
        "media.types",
        Kind::List,
        "image/jpeg,image/png,image/gif,image/webp,image/avif,video/mp4,video/webm,video/quicktime,audio/mpeg,\
         audio/mp4,audio/ogg,audio/wav,audio/webm,application/pdf,application/zip,text/plain,\
         application/octet-stream",
        "Types that are taken; audio/* stands for all of a kind. Images have to be what they say.",
    ),
    row(
        "media.retention",
        Kind::Duration,
        "365d",
        "How long a conversation refers to an object; without a reference it is removed.",
    ),
    row("media.sweep", Kind::Duration, "6h", "Time in which all objects are looked at once for removal."),
    row(
        "log.level",
        Kind::Text,
        "info",
        "error, warn, info, debug or trace; or a filter such as ringwire=debug.",
    ),
];

/// The setting of a name.
pub fn find(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

/// The known name that is most like `name`, if any is like it.
pub fn suggest(name: &str) -> Option<&'static str> {
    SETTINGS
        .iter()
        .map(|setting| (distance(name, setting.name), setting.name))
        .min()
        .filter(|(distance, known)| *distance <= known.len() / 3)
        .map(|(_, known)| known)
}

/// Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_what_was_meant() {
        assert_eq!(suggest("serve.lisen"), Some("serve.listen"));
        assert_eq!(suggest("session.heartbeat"), Some("sessions.heartbeat"));
        assert_eq!(suggest("entirely.different"), None);
    }

    #[test]
    fn names_are_unique_and_have_a_section() {
        for (at, setting) in SETTINGS.iter().enumerate() {
            assert!(setting.name.contains('.'), "{}", setting.name);
            assert!(SETTINGS[..at].iter().all(|other| other.name != setting.name), "{}", setting.name);
        }
    }
}
