//! Messages as lines for people.
//!
//! ```text
//! ──────── Monday 23 November 2026 ────────
//! 14:02 7 ada  hello, is anybody there?
//! 14:02 — bob joined
//! 14:03 9 bob  yes                          (✓ behind one's own)
//!         👍 2
//! 14:04 — ada edited 7: hello, is somebody there?
//! ```
//!
//! Messages have their numbers, for `/edit`, `/delete` and `/react`. What is already on the screen stays there: that it has
//! changed is a line of its own; what is drawn later, on entry or from history, is drawn as it stands.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use ringwire_client::media::Attachment;
use ringwire_client::timeline::Entry;
use ringwire_client::{
    Action, ConversationId, ConversationKind, Gap, InboxEntry, Kind, Member, Message, Role, UserId,
};
use unicode_width::UnicodeWidthStr;

use super::style::Style;
use super::{files, text};

/// Columns of names; longer ones are cut.
const NAME_COLUMNS: usize = 16;
/// What stands before rows that do not begin a message.
const INDENT: &str = "        ";

/// Draws messages; remembers the day of the last one.
#[derive(Debug)]
pub(super) struct Renderer {
    style: Style,
    zone: TimeZone,
    day: Option<Date>,
    me: UserId,
    columns: usize,
}

impl Renderer {
    pub(super) fn new(style: Style, zone: TimeZone, me: UserId) -> Self {
        Self { style, zone, day: None, me, columns: 80 }
    }

    /// The terminal has so many columns now.
    pub(super) fn resize(&mut self, columns: usize) {
        self.columns = columns.max(INDENT.len() + NAME_COLUMNS);
    }

    /// The lines of a message, the day before it if that is another one. `name` gives names of users.
    pub(super) fn message(&mut self, message: &Message, name: impl Fn(UserId) -> String) -> String {
        let zoned = timestamp(message.time_ms).to_zoned(self.zone.clone());
        let mut out = String::new();
        if self.day.replace(zoned.date()) != Some(zoned.date()) {
            let day = zoned.strftime("──────── %A %-d %B %Y ────────").to_string();
            out.push_str(&self.style.dim(&day));
            out.push('\n');
        }
        let time = zoned.strftime("%H:%M").to_string();
        if let Some(notice) = notice(message, &name) {
            out.push_str(&self.block(&format!("{time} "), &format!("— {notice}"), Style::dim));
            return out;
        }
        let sender = text::name(&name(message.sender), NAME_COLUMNS);
        let own = message.sender == self.me;
        let body = if own { format!("{} ✓", body(message)) } else { body(message) };
        let number = message.sequence;
        let head = format!("{time} {number} {sender}  ");
        let drawn = self.block(&head, &body, |_, row| row.to_owned());
        // The head is as wide as it was measured; only now it gets its colours.
        let numbered = self.style.dim(&format!("{time} {number}"));
        let coloured = format!("{numbered} {}  ", self.style.name(message.sender, &sender));
        out.push_str(&drawn.replacen(&head, &coloured, 1));
        if own {
            out.truncate(out.len() - "✓\n".len());
            out.push_str(&self.style.good("✓"));
            out.push('\n');
        }
        out
    }

    /// The lines of a message as it stands now: its content after all edits, its reactions, or that it was deleted.
    pub(super) fn entry(&mut self, sequence: u64, entry: &Entry, name: impl Fn(UserId) -> String) -> String {
        let Some(content) = entry.content() else {
            let Some(deleted) = entry.deleted() else { return String::new() };
            let who = text::name(&name(deleted.sender), NAME_COLUMNS);
            return self.note(&format!("{sequence} was deleted by {who}"));
        };
        let original = entry.message().unwrap_or(content);
        let mut message = Message { sequence, body: content.body.clone(), ..original.clone() };
        if entry.is_edited() {
            if message.kind == Kind::Edit {
                (message.kind, message.reference) = (Kind::Text, 0);
            }
            message.body = [&message.body[..], " (edited)".as_bytes()].concat().into();
        }
        let mut out = self.message(&message, name);
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for reaction in entry.reactions() {
            *counts.entry(reaction.text().unwrap_or("?")).or_default() += 1;
        }
        if !counts.is_empty() {
            let counts = counts.into_iter().map(|(reaction, count)| format!("{reaction} {count}"));
            let line = text::in_line(&counts.collect::<Vec<_>>().join("  "));
            out.push_str(&self.block(INDENT, &line, Style::dim));
        }
        out
    }

    /// What somebody has done to a message that is on the screen already; `content` is what it says now, if it is known.
    pub(super) fn amendment(
        &self,
        by: &Message,
        content: Option<&str>,
        name: impl Fn(UserId) -> String,
    ) -> String {
        let who = text::name(&name(by.sender), NAME_COLUMNS);
        let number = by.reference;
        let said = content.map(|content| format!(": {}", short(content))).unwrap_or_default();
        self.note(&match by.kind {
            Kind::Edit => format!("{who} edited {number}: {}", by.text().unwrap_or("(not text)")),
            Kind::Delete => format!("{who} deleted {number}"),
            _ if by.body.is_empty() => format!("{who} took the reaction to {number} back"),
            _ => format!("{who} reacts with {} to {number}{said}", by.text().unwrap_or("?")),
        })
    }

    /// The user's rooms, numbered; `here` is the one on the screen.
    pub(super) fn inbox(&self, entries: &[InboxEntry], here: ConversationId) -> String {
        let mut out = self.note(&counted(entries.len(), "room"));
        for (number, entry) in (1..).zip(entries) {
            let unread = match entry.unread {
                0 => "nothing new".to_owned(),
                count => format!("{count} unread"),
            };
            let kind = if entry.kind == ConversationKind::Direct { ", direct" } else { "" };
            let muted = if entry.muted_until_ms > 0 { ", muted" } else { "" };
            let mark = if entry.conversation == here { ", here" } else { "" };
            let about = self.style.dim(&format!("{unread}{kind}{muted}{mark}"));
            out.push_str(&format!(
                "{INDENT}{number} {} {about}\n",
                text::name(&entry.name, 2 * NAME_COLUMNS)
            ));
        }
        out
    }

    /// Rows that begin with `head` and are indented from the second on, so that none of them looks like another message.
    fn block(&self, head: &str, body: &str, paint: impl Fn(Style, &str) -> String) -> String {
        let room = self.columns.saturating_sub(head.width().max(INDENT.len()));
        let mut out = String::new();
        for (index, row) in text::wrap(body, room).iter().enumerate() {
            out.push_str(if index == 0 { head } else { INDENT });
            out.push_str(&paint(self.style, row));
            out.push('\n');
        }
        out
    }

    fn aside(&self, mark: &str, said: &str, paint: impl Fn(Style, &str) -> String) -> String {
        self.block("      ", &format!("{mark} {}", text::in_line(said)), paint)
    }

    /// What comes next is not of the day of what came before.
    pub(super) fn forget_day(&mut self) {
        self.day = None;
    }

    /// What was typed and is not acknowledged yet.
    pub(super) fn pending(&self, body: &str) -> String {
        self.aside("…", body, Style::dim)
    }

    /// What was typed and will not be sent.
    pub(super) fn refused(&self, body: &str, why: &str) -> String {
        self.aside("✗", &format!("not sent: {body} ({why})"), Style::bad)
    }

    /// A gap in the conversation.
    pub(super) fn gap(&self, gap: Gap) -> String {
        let Gap { from, to, cause } = gap;
        self.aside("—", &format!("messages {from} to {to} are missing: {cause}"), Style::warning)
    }

    /// Something that is not from the conversation.
    pub(super) fn note(&self, note: &str) -> String {
        self.aside("—", note, Style::dim)
    }

    /// The connection needs patience.
    pub(super) fn warning(&self, note: &str) -> String {
        self.aside("…", note, Style::warning)
    }

    /// Something went well again.
    pub(super) fn good(&self, note: &str) -> String {
        self.aside("✓", note, Style::good)
    }

    /// It is over.
    pub(super) fn bad(&self, note: &str) -> String {
        self.aside("✗", note, Style::bad)
    }

    /// The members, by role and name; `about` says what else is known of one.
    pub(super) fn members(&self, members: &[Member], about: impl Fn(UserId) -> String) -> String {
        let mut sorted: Vec<&Member> = members.iter().collect();
        sorted.sort_by(|a, b| b.role.cmp(&a.role).then_with(|| a.name.cmp(&b.name)));
        let mut out = self.note(&counted(members.len(), "member"));
        for member in sorted {
            let name = self.style.name(member.user, &text::name(&member.name, NAME_COLUMNS));
            let known = format!("{}{}", role(member.role), about(member.user));
            out.push_str(&format!("{INDENT}{name} {}\n", self.style.dim(&known)));
        }
        out
    }
}

/// The beginning of a content, to be quoted.
fn short(content: &str) -> String {
    let line = text::in_line(content);
    let end = line.char_indices().nth(30).map_or(line.len(), |(at, _)| at);
    if end < line.len() { format!("“{}…”", &line[..end]) } else { format!("“{line}”") }
}

/// So many of something.
pub(super) fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// The time of a message off a terminal, exact and the same everywhere.
pub(super) fn utc(time_ms: u64) -> String {
    timestamp(time_ms).strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

fn timestamp(time_ms: u64) -> Timestamp {
    i64::try_from(time_ms)
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok())
        .unwrap_or(Timestamp::UNIX_EPOCH)
}

/// The name of a role, as in the protocol.
pub(super) fn role(role: Role) -> &'static str {
    match role {
        Role::Reader => "reader",
        Role::Member => "member",
        Role::Admin => "admin",
        Role::Owner => "owner",
    }
}

/// What happened, if the message is no content but news.
fn notice(message: &Message, name: impl Fn(UserId) -> String) -> Option<String> {
    if message.kind == Kind::System {
        return Some(text::in_line(message.text().unwrap_or("(system message)")));
    }
    let membership = message.membership()?;
    let who = text::name(membership.name, NAME_COLUMNS);
    let by = || text::name(&name(message.sender), NAME_COLUMNS);
    Some(match membership.action {
        Action::Created if membership.kind == ConversationKind::Direct => format!("{who} began this"),
        Action::Created => format!("{who} created {}", text::in_line(membership.conversation_name)),
        Action::Joined => format!("{who} joined"),
        Action::Left => format!("{who} left"),
        Action::Added => format!("{} added {who}", by()),
        Action::Removed => format!("{} removed {who}", by()),
        Action::RoleChanged => format!("{who} is {} now, says {}", role(membership.role), by()),
    })
}

/// The content as text, several lines perhaps, harmless.
fn body(message: &Message) -> String {
    let content = || text::shown(message.text().unwrap_or("(not text)"));
    let reference = message.reference;
    match message.kind {
        Kind::Text if reference == 0 => content(),
        Kind::Text => format!("(to {reference}) {}", content()),
        Kind::Edit => format!("(edits {reference}) {}", content()),
        Kind::Delete => format!("(deletes {reference})"),
        Kind::Reaction => format!("(reacts to {reference}) {}", content()),
        Kind::Media => match Attachment::from_body(&message.body) {
            Some(file) => {
                let (name, size) = (text::in_line(&file.name), files::size(file.bytes));
                format!("(file) {name}, {size}; /save {} saves it", message.sequence)
            }
            None => "(a file that is not supported here)".to_owned(),
        },
        Kind::Application => format!("(application message of {} bytes)", message.body.len()),
        Kind::Membership | Kind::System | Kind::Unknown => "(not supported here)".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 23 November 2026, 23:30 UTC.
    const EVENING_MS: u64 = 1_795_476_600_000;

    fn message(kind: Kind, sender: &str, body: &[u8]) -> Message {
        Message {
            conversation: ConversationId::from_name("r"),
            sequence: 7,
            time_ms: EVENING_MS,
            sender: UserId::from_name(sender),
            origin: 1,
            client_sequence: 1,
            reference: if kind.refers() { 3 } else { 0 },
            kind,
            body: body.to_vec().into(),
        }
    }

    fn renderer() -> Renderer {
        Renderer::new(Style::new(false), TimeZone::UTC, UserId::from_name("me"))
    }

    fn name(user: UserId) -> String {
        if user == UserId::from_name("me") { "me".into() } else { "bob".into() }
    }

    #[test]
    fn a_day_is_named_once() {
        let mut renderer = renderer();
        let first = renderer.message(&message(Kind::Text, "bob", b"hi"), name);
        assert_eq!(first, "──────── Monday 23 November 2026 ────────\n23:30 7 bob  hi\n");
        assert_eq!(renderer.message(&message(Kind::Text, "bob", b"ho"), name), "23:30 7 bob  ho\n");
        let mut next = message(Kind::Text, "bob", b"morning");
        next.time_ms += 3_600_000;
        let next = renderer.message(&next, name);
        assert_eq!(next, "──────── Tuesday 24 November 2026 ────────\n00:30 7 bob  morning\n");
    }

    #[test]
    fn ones_own_messages_have_their_mark() {
        let mut renderer = renderer();
        renderer.message(&message(Kind::Text, "bob", b"hi"), name);
        assert_eq!(
            renderer.message(&message(Kind::Text, "me", b"a\nb"), name),
            "23:30 7 me  a\n        b ✓\n"
        );
    }

    #[test]
    fn each_kind_is_told_in_words() {
        let mut renderer = renderer();
        renderer.message(&message(Kind::Text, "bob", b"hi"), name);
        let cases = [
            (Kind::Edit, &b"better"[..], "23:30 7 bob  (edits 3) better\n"),
            (Kind::Delete, b"", "23:30 7 bob  (deletes 3)\n"),
            (Kind::Reaction, "👍".as_bytes(), "23:30 7 bob  (reacts to 3) 👍\n"),
            (Kind::Application, b"\0\x01", "23:30 7 bob  (application message of 2 bytes)\n"),
            (Kind::Media, b"\0", "23:30 7 bob  (a file that is not supported here)\n"),
            (Kind::Unknown, b"?", "23:30 7 bob  (not supported here)\n"),
            (Kind::System, b"maintenance at noon", "23:30 — maintenance at noon\n"),
            (Kind::Membership, b"broken", "23:30 7 bob  (not supported here)\n"),
            (Kind::Text, b"\xff\xfe", "23:30 7 bob  (not text)\n"),
            (Kind::Text, b"", "23:30 7 bob  \n"),
        ];
        for (kind, body, expected) in cases {
            assert_eq!(renderer.message(&message(kind, "bob", body), name), expected, "{kind:?}");
        }
    }

    #[test]
    fn what_is_drawn_later_is_drawn_as_it_stands() {
        let mut renderer = renderer();
        let mut timeline = ringwire_client::Timeline::new();
        let mut say = |sequence, kind: Kind, sender: &str, reference, body: &str| {
            timeline.apply(&Message { sequence, reference, ..message(kind, sender, body.as_bytes()) });
        };
        say(3, Kind::Text, "bob", 0, "helo");
        say(4, Kind::Text, "bob", 0, "secret");
        say(5, Kind::Edit, "bob", 3, "hello");
        say(6, Kind::Delete, "me", 4, "");
        say(7, Kind::Reaction, "me", 3, "👍");
        say(8, Kind::Reaction, "bob", 3, "👍");
        let drawn: String =
            timeline.iter().map(|(sequence, entry)| renderer.entry(sequence, entry, name)).collect();
        let rows: Vec<&str> = drawn.lines().skip(1).collect();
        assert_eq!(rows, ["23:30 3 bob  hello (edited)", "        👍 2", "      — 4 was deleted by me"]);
    }

    #[test]
    fn what_is_on_the_screen_is_changed_by_a_line_of_its_own() {
        let renderer = renderer();
        let line = |kind, body: &str, content| {
            let by = message(kind, "bob", body.as_bytes());
            renderer.amendment(&by, content, name)
        };
        assert_eq!(line(Kind::Edit, "better", None), "      — bob edited 3: better\n");
        assert_eq!(line(Kind::Delete, "", Some("gone")), "      — bob deleted 3\n");
        assert_eq!(line(Kind::Reaction, "", None), "      — bob took the reaction to 3 back\n");
        let long = "a very long message that nobody wants to read again";
        let expected = "      — bob reacts with 👍 to 3: “a very long message that nobod…”\n";
        assert_eq!(line(Kind::Reaction, "👍", Some(long)), expected);
        let evil = line(Kind::Edit, "\u{1b}[2J\nx", None);
        assert!(!evil.trim_end().chars().any(char::is_control), "{evil:?}");
    }

    #[test]
    fn no_row_of_a_long_message_looks_like_another_message() {
        let mut renderer = renderer();
        renderer.resize(40);
        let fake = format!("{}23:31 me  I agree", "x ".repeat(14));
        let drawn = renderer.message(&message(Kind::Text, "bob", fake.as_bytes()), name);
        let rows: Vec<&str> = drawn.lines().skip(1).collect();
        assert!(rows.len() > 1 && rows[0].starts_with("23:30 7 bob  "), "{rows:?}");
        assert!(rows[1..].iter().all(|row| row.starts_with(INDENT)), "{rows:?}");
        assert!(rows.iter().all(|row| row.width() <= 40), "{rows:?}");
    }

    #[test]
    fn nobody_draws_on_this_terminal_but_us() {
        let mut renderer = renderer();
        let evil = message(Kind::Text, "bob", "\u{1b}[2J\u{9b}H\u{202e}x\r\u{8}".as_bytes());
        let line = renderer.message(&evil, |_| "\u{1b}]0;title\u{7}".to_owned());
        assert!(!line.chars().any(|char| char.is_control() && char != '\n'), "{line:?}");
    }

    #[test]
    fn times_no_calendar_has_do_no_harm() {
        assert_eq!(utc(u64::MAX), "1970-01-01T00:00:00.000Z");
        assert_eq!(utc(EVENING_MS + 7), "2026-11-23T23:30:00.007Z");
    }
}
