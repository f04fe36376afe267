//! A storm: everybody comes back at once, each with an inbox of conversations in which something was missed.
//!
//! ```text
//!   join all  ->  cut all  ->  publish what they miss  ->  all sign in, with cursors and the wish for an inbox
//!                                                          Welcome, Joined, Inbox, then Fetch what is missing
//! ```
//!
//! The window is from the first connection attempt until everybody has everything; each sequence is counted, so
//! what is lost or doubled is found. Beside it stands how long the same number of bare handshakes takes.

use std::time::Duration;

use ringwire_protocol::ConversationId;
use ringwire_protocol::frame;
use ringwire_protocol::message::{
    CAPABILITY_INBOX, Cursor, Direction, Durability, Fetch, Join, Kind, Publish, ServerFrame, View,
};
use ringwire_protocol::ws::PATH;

use super::crowd::Crowd;
use super::{hello, sign_in_all};
use crate::fault::{Fault, Result};
use crate::system::server::{Process, Ringwire, Setup};
use crate::system::{now_ns, want_descriptors};

/// Handshakes under way at once.
const AT_ONCE: usize = 256;

/// Fetches of one client under way at once, as the server takes them.
const FETCHES: usize = 4;

/// How long anything may take, nanoseconds.
const PATIENCE_NS: u64 = 300_000_000_000;

/// What to measure.
#[derive(Clone, Debug)]
pub struct Options {
    /// How the server is started.
    pub setup: Setup,
    /// How many clients; so many of them share conversations as each is in.
    pub clients: usize,
    /// Conversations of each client, each with as many members.
    pub conversations: usize,
    /// Messages that each client misses, in all its conversations together.
    pub unread: u64,
}

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// From the first attempt until everybody had everything, seconds.
    pub storm_s: f64,
    /// The same number of bare handshakes, seconds.
    pub bare_s: f64,
    /// Until half of the clients had their whole inbox, seconds.
    pub inbox_median_s: f64,
    /// Messages that were fetched.
    pub messages: u64,
}

/// What one client has, by its conversations.
struct Client {
    welcome: bool,
    /// Last sequence that it has.
    at: Vec<u64>,
    /// Head, once it was told.
    head: Vec<Option<u64>>,
    /// Entries of the inbox; whether all have come, and when.
    listed: usize,
    inbox_ns: Option<u64>,
    /// Conversations being fetched.
    fetching: Vec<bool>,
}

impl Client {
    fn is_done(&self) -> bool {
        self.inbox_ns.is_some() && self.head.iter().zip(&self.at).all(|(head, at)| *head == Some(*at))
    }
}

/// Runs it and prints the figures.
///
/// # Errors
/// The server does not start or breaks off, or somebody does not get exactly what is his.
pub fn run(options: &Options) -> Result<Figures> {
    let (clients, rooms) = (options.clients, options.conversations);
    if clients == 0 || rooms == 0 || clients % rooms != 0 {
        return Err(Fault::Usage(format!("{clients} clients do not share out into groups of {rooms}")));
    }
    want_descriptors(clients as u64 + 64)?;
    let bare_s = bare(clients)?;
    let server = Ringwire::start(&options.setup)?;
    let mut crowd = Crowd::new(server.address, clients)?;
    // A group of as many clients as each has conversations shares them all.
    let name = |client: usize, room: usize| format!("storm-{}-{room}", client / rooms);
    let mut joined = vec![0_usize; clients];
    sign_in_all(&mut crowd, 0, &mut |_, _| Ok(()))?;
    let until = now_ns() + PATIENCE_NS;
    for first in (0..clients).step_by(AT_ONCE) {
        let some = first..clients.min(first + AT_ONCE);
        for client in some.clone() {
            for room in 0..rooms {
                let (request, name) = (1 + room as u32, name(client, room));
                crowd.say(client, |encoder, out| Join { request, name: &name }.encode(encoder, out));
            }
            crowd.send(client)?;
        }
        while joined[some.clone()].iter().any(|count| *count < rooms) {
            let mut again = Vec::new();
            turn(&mut crowd, until, "joining", &mut |client, frame| {
                match frame {
                    ServerFrame::Joined(_) => joined[client] += 1,
                    // A ring was full for a moment.
                    ServerFrame::Reject(reject) if reject.retry_after_ms > 0 => {
                        again.push((client, reject.request));
                    }
                    ServerFrame::Reject(reject) => {
                        return Err(Fault::Server(format!("joining: {} {}", reject.code, reject.reason)));
                    }
                    _ => {}
                }
                Ok(())
            })?;
            for (client, request) in again {
                let name = name(client, request as usize - 1);
                crowd.say(client, |encoder, out| Join { request, name: &name }.encode(encoder, out));
                crowd.send(client)?;
            }
        }
    }
    (0..clients).for_each(|client| crowd.cut(client));
    publish(&server, options, &name)?;

    // Everybody was the last to join at some time: all conversations end with as many joinings as members.
    let had = rooms as u64;
    let per_room = |room: usize| {
        options.unread / rooms as u64 + u64::from((room as u64) < options.unread % rooms as u64)
    };
    let mut all: Vec<Client> = (0..clients)
        .map(|_| Client {
            welcome: false,
            at: vec![had; rooms],
            head: vec![None; rooms],
            listed: 0,
            inbox_ns: None,
            fetching: vec![false; rooms],
        })
        .collect();
    let ids: Vec<ConversationId> = (0..clients)
        .step_by(rooms)
        .flat_map(|client| (0..rooms).map(move |room| (client, room)))
        .map(|(client, room)| ConversationId::from_name(&name(client, room)))
        .collect();
    let ids_of = |client: usize| &ids[client / rooms * rooms..][..rooms];
    let mut crowd = Crowd::new(server.address, clients)?;
    let (began, until) = (now_ns(), now_ns() + PATIENCE_NS);
    let (mut next, mut greeted, mut done, mut messages) = (0, 0, 0, 0_u64);
    let mut wants: Vec<(usize, usize)> = Vec::new();
    while done < clients {
        while next < clients && next < greeted + AT_ONCE {
            crowd.connect(next, PATH)?;
            let cursor =
                |conversation: &ConversationId| Cursor { conversation: *conversation, sequence: had };
            let cursors: Vec<Cursor> = ids_of(next).iter().map(cursor).collect();
            hello(&mut crowd, next, CAPABILITY_INBOX, &cursors);
            crowd.send(next)?;
            next += 1;
        }
        turn(&mut crowd, until, "coming back", &mut |client, frame| {
            let this = &mut all[client];
            let was_done = this.is_done();
            let place = |id: ConversationId| {
                ids_of(client).iter().position(|known| *known == id).ok_or_else(|| {
                    Fault::Server(format!("client {client} is told of {id}, which is not his"))
                })
            };
            match frame {
                ServerFrame::Welcome(_) => {
                    this.welcome = true;
                    greeted += 1;
                }
                ServerFrame::Joined(joined) => {
                    let room = place(joined.conversation)?;
                    this.head[room] = Some(joined.head);
                    wants.push((client, room));
                }
                ServerFrame::Inbox(inbox) => {
                    for entry in inbox.entries.iter() {
                        let room = place(entry.conversation)?;
                        let expected = had + per_room(room);
                        if entry.head != expected {
                            return Err(Fault::Server(format!(
                                "{} is at {}, not {expected}",
                                entry.name, entry.head
                            )));
                        }
                        this.listed += 1;
                    }
                    if inbox.complete {
                        this.inbox_ns = Some(now_ns() - began);
                        if this.listed != rooms {
                            return Err(Fault::Server(format!(
                                "client {client} has {} entries",
                                this.listed
                            )));
                        }
                    }
                }
                ServerFrame::Page(page) => {
                    let room = place(page.conversation)?;
                    let mut frames = page.frames;
                    while let Ok(Some(inside)) = frame::split(&mut frames, 1 << 24) {
                        let Ok(ServerFrame::Message(message)) = ServerFrame::decode(inside) else {
                            return Err(Fault::Server("a page has what is no message".to_owned()));
                        };
                        if message.sequence != this.at[room] + 1 {
                            return Err(Fault::Server(format!(
                                "client {client} has {} and gets {}",
                                this.at[room], message.sequence
                            )));
                        }
                        this.at[room] += 1;
                        messages += 1;
                    }
                    this.fetching[room] = false;
                    // The next of those that had to wait.
                    wants.extend((0..rooms).map(|room| (client, room)));
                }
                ServerFrame::Reject(reject) => {
                    return Err(Fault::Server(format!("client {client}: {} {}", reject.code, reject.reason)));
                }
                _ => {}
            }
            done += usize::from(!was_done && this.is_done());
            Ok(())
        })?;
        for (client, room) in wants.drain(..) {
            let this = &mut all[client];
            let under_way = this.fetching.iter().filter(|fetching| **fetching).count();
            let missing = this.head[room].is_some_and(|head| head > this.at[room]);
            if !missing || this.fetching[room] || under_way >= FETCHES {
                continue;
            }
            this.fetching[room] = true;
            let fetch = Fetch {
                request: 1 + room as u32,
                conversation: ids_of(client)[room],
                from: this.at[room] + 1,
                limit: 256,
                direction: Direction::Forward,
                view: View::Raw,
            };
            crowd.say(client, |encoder, out| fetch.encode(encoder, out));
            crowd.send(client)?;
        }
    }
    let storm_s = (now_ns() - began) as f64 / 1e9;
    let expected = clients as u64 * options.unread;
    if messages != expected {
        return Err(Fault::Server(format!("{messages} messages were fetched, and {expected} were missed")));
    }
    let mut inbox: Vec<u64> = all.iter().filter_map(|client| client.inbox_ns).collect();
    inbox.sort_unstable();
    let inbox_median_s = inbox.get(inbox.len() / 2).map_or(0.0, |ns| *ns as f64 / 1e9);
    println!(
        "{clients} clients, each in {rooms} conversations of {rooms}, {} unread each; {} driver, {} shards",
        options.unread, options.setup.driver, options.setup.shards
    );
    println!("  all resumed               {storm_s:>10.2} s, 0 of {expected} messages lost, 0 doubled");
    println!("  half had their inbox      {inbox_median_s:>10.2} s");
    println!("  bare handshakes           {bare_s:>10.2} s");
    println!("  ratio                     {:>10.2}", storm_s / bare_s);
    Ok(Figures { storm_s, bare_s, inbox_median_s, messages })
}

/// Publishes what is missed: a second device of the first member of each group does.
fn publish(server: &Ringwire, options: &Options, name: &dyn Fn(usize, usize) -> String) -> Result<()> {
    let rooms = options.conversations;
    let groups = options.clients / rooms;
    let mut crowd = Crowd::new(server.address, groups)?;
    let mut acks = vec![0_u64; groups];
    let mut said = vec![0_u64; groups];
    let until = now_ns() + PATIENCE_NS;
    for group in 0..groups {
        crowd.connect(group, PATH)?;
        super::hello_as(
            &mut crowd,
            group,
            &format!("user-{}", group * rooms),
            &format!("writer-{group}"),
            0,
            &[],
        );
        crowd.send(group)?;
    }
    while acks.iter().any(|count| *count < options.unread) {
        for group in 0..groups {
            // Half a window at a time.
            while said[group] < options.unread && said[group] < acks[group] + 32 {
                let (room, nth) = (said[group] % rooms as u64, said[group] / rooms as u64);
                let publish = Publish {
                    conversation: ConversationId::from_name(&name(group * rooms, room as usize)),
                    client_sequence: nth + 1,
                    reference: 0,
                    kind: Kind::Text,
                    durability: Durability::Synced,
                    body: b"what was said meanwhile, some sixty-four bytes of it, as people do.",
                };
                crowd.say(group, |encoder, out| publish.encode(encoder, out));
                said[group] += 1;
            }
            crowd.send(group)?;
        }
        turn(&mut crowd, until, "publishing", &mut |group, frame| {
            match frame {
                ServerFrame::Ack(_) => acks[group] += 1,
                ServerFrame::Reject(reject) => {
                    return Err(Fault::Server(format!("a writer: {} {}", reject.code, reject.reason)));
                }
                _ => {}
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// How long so many handshakes take with the bare loop, seconds.
fn bare(clients: usize) -> Result<f64> {
    let own = std::env::current_exe().map_err(Fault::system("finding this program"))?;
    let mut command = std::process::Command::new(own);
    command.args(["bare", "--listen", "127.0.0.1:0"]);
    let mut process = Process::start("bare", command, &[])?;
    let address = process.wait_for_line(|line| line.strip_prefix("listening on ")?.trim().parse().ok())?;
    let mut crowd = Crowd::new(address, clients)?;
    let (began, until) = (now_ns(), now_ns() + PATIENCE_NS);
    let (mut next, mut open) = (0, 0);
    while open < clients {
        while next < clients && next < open + AT_ONCE {
            crowd.connect(next, "/echo")?;
            crowd.send(next)?;
            next += 1;
        }
        turn(&mut crowd, until, "shaking hands", &mut |_, _| Ok(()))?;
        // They are answered in the order they came, nearly.
        while open < next && crowd.is_open(open) {
            open += 1;
        }
    }
    Ok((now_ns() - began) as f64 / 1e9)
}

fn turn(crowd: &mut Crowd, until_ns: u64, what: &str, each: &mut super::crowd::Each<'_>) -> Result<()> {
    if now_ns() > until_ns {
        return Err(Fault::Server(format!("{what} is not over after {} s", PATIENCE_NS / 1_000_000_000)));
    }
    crowd.turn(Duration::from_millis(20), each).map(drop)
}
