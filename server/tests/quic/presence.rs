//! Who is there, over a path that loses datagrams.

use std::time::{Duration, Instant};

use quinn::TransportConfig;
use ringwire_protocol::id::UserId;
use ringwire_protocol::message::{Join, Ping, Presence, PresenceState, ServerFrame, Settings, Watch};
use tokio::time::{sleep, timeout};

use crate::path::Path;
use crate::peer::{Peer, config};
use crate::support::{Owned, PATIENCE, Server};
use crate::{block_on, on_both, start};

/// What a watcher has been told, and by which ways.
#[derive(Default, Debug, Clone, Copy)]
struct Told {
    on_stream: usize,
    beside: usize,
    bytes: usize,
}

/// Somebody who watches one user, and notes when it learns of each change.
struct Watcher {
    peer: Peer,
    user: UserId,
    newest: u64,
    state: Option<PresenceState>,
    told: Told,
}

impl Watcher {
    async fn begin(
        path: &Path,
        name: &str,
        users: &[UserId],
        change: impl FnOnce(&mut TransportConfig),
    ) -> Watcher {
        let mut peer = Peer::connect_with(path.address, config("ringwire/1", change)).await;
        peer.hello(name, name).await;
        peer.frame(|encoder, out| Watch { request: 1, users: users.into() }.encode(encoder, out)).await;
        Watcher { peer, user: users[0], newest: 0, state: None, told: Told::default() }
    }

    fn on_presence(&mut self, presence: &Presence<'_>) {
        assert!(presence.number > 0, "frames that may overtake each other are numbered");
        if let Some(entry) = presence.entries.iter().find(|entry| entry.user == self.user)
            && presence.number > self.newest
        {
            (self.newest, self.state) = (presence.number, Some(entry.state));
        }
    }

    /// Takes what comes next.
    async fn step(&mut self) {
        let connection = self.peer.connection.clone();
        let (frame, is_beside) = tokio::select! {
            frame = self.peer.next_or_end() => (frame.expect("it lives"), false),
            datagram = connection.read_datagram() => (Owned(datagram.expect("it lives").to_vec()), true),
        };
        if let ServerFrame::Presence(presence) = frame.get() {
            self.on_presence(&presence);
            *(if is_beside { &mut self.told.beside } else { &mut self.told.on_stream }) += 1;
            self.told.bytes += frame.0.len();
        }
    }

    /// Reads until the user is known to be so.
    async fn until(&mut self, state: PresenceState) {
        while self.state != Some(state) {
            timeout(PATIENCE, self.step()).await.expect("it is told in time");
        }
    }

    /// Reads for so long.
    async fn pass(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while timeout(end.saturating_duration_since(Instant::now()), self.step()).await.is_ok() {}
    }
}

async fn set_away(peer: &mut Peer, away: bool) -> PresenceState {
    let settings = Settings { request: 9, share_last_seen: false, away };
    peer.frame(|encoder, out| settings.encode(encoder, out)).await;
    if away { PresenceState::Away } else { PresenceState::Online }
}

#[test]
fn a_change_comes_in_a_datagram_and_a_moment_later_on_the_stream() {
    on_both(&[], async |server| {
        let path = Path::lay(server.address, Duration::from_millis(1)).await;
        let mut bob = Peer::sign_in(server.address, "bob").await;
        let mut watcher = Watcher::begin(&path, "ada", &[UserId::from_name("bob")], |_| ()).await;
        watcher.until(PresenceState::Online).await;
        assert_eq!((watcher.told.on_stream, watcher.told.beside), (1, 0), "the first word is on the stream");
        let state = set_away(&mut bob, true).await;
        watcher.until(state).await;
        watcher.pass(Duration::from_secs(5)).await;
        assert_eq!((watcher.told.on_stream, watcher.told.beside), (2, 1), "and nothing more");
        let state = set_away(&mut bob, false).await;
        watcher.until(state).await;
    });
}

#[test]
fn what_a_lost_datagram_said_is_made_good_in_seconds() {
    on_both(&[], async |server| {
        let path = Path::lay(server.address, Duration::from_millis(5)).await;
        let mut bob = Peer::sign_in(server.address, "bob").await;
        let mut watcher = Watcher::begin(&path, "ada", &[UserId::from_name("bob")], |_| ()).await;
        watcher.until(PresenceState::Online).await;
        // Nothing gets through for a moment, and the change is told in it: a second after what was told before.
        path.lose(100);
        let state = set_away(&mut bob, true).await;
        sleep(Duration::from_millis(1_500)).await;
        path.lose(20);
        let began = Instant::now();
        watcher.until(state).await;
        assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
        assert_eq!(watcher.told.beside, 0, "the datagram was lost");
        for away in [false, true, false, true, false] {
            let state = set_away(&mut bob, away).await;
            watcher.until(state).await;
        }
    });
}

#[test]
fn who_takes_no_datagrams_is_told_on_the_stream() {
    on_both(&[], async |server| {
        let path = Path::lay(server.address, Duration::from_millis(1)).await;
        let mut bob = Peer::sign_in(server.address, "bob").await;
        let without = |transport: &mut TransportConfig| {
            transport.datagram_receive_buffer_size(None);
        };
        let mut watcher = Watcher::begin(&path, "ada", &[UserId::from_name("bob")], without).await;
        watcher.until(PresenceState::Online).await;
        let state = set_away(&mut bob, true).await;
        watcher.until(state).await;
        watcher.pass(Duration::from_secs(4)).await;
        assert_eq!(
            (watcher.told.on_stream, watcher.told.beside),
            (2, 0),
            "once, because the stream loses nothing"
        );
    });
}

/// Measures what docs/decisions/0021-presence-in-datagrams.md says; `cargo test -p ringwire --test quic measure -- --ignored
/// --nocapture`.
#[test]
#[ignore = "measures for some minutes"]
fn measure_presence_on_the_stream_and_in_datagrams() {
    let data = tempfile::tempdir().unwrap();
    let server = start(data.path(), &["--shards", "2"]);
    block_on(async {
        for is_on_stream in [true, false] {
            for is_busy in [false, true] {
                delays(&server, is_on_stream, is_busy).await;
            }
            flapping(&server, is_on_stream).await;
        }
    });
}

/// How a watcher takes datagrams, or does not.
fn ways(is_on_stream: bool) -> impl Fn(&mut TransportConfig) {
    move |transport| {
        if is_on_stream {
            transport.datagram_receive_buffer_size(None);
        }
    }
}

/// One user changes, sixty watch over a path that loses; where it is busy, messages come on their streams all the time.
async fn delays(server: &Server, is_on_stream: bool, is_busy: bool) {
    const WATCHERS: usize = 60;
    let path = Path::lay(server.address, Duration::from_millis(25)).await;
    let mut bob = Peer::sign_in(server.address, "bob").await;
    bob.join("square").await;
    let (put, mut take) = tokio::sync::mpsc::unbounded_channel();
    let mut tasks = tokio::task::JoinSet::new();
    for nth in 0..WATCHERS {
        let name = format!("watcher-{nth}");
        let mut watcher = Watcher::begin(&path, &name, &[UserId::from_name("bob")], ways(is_on_stream)).await;
        if is_busy {
            watcher.peer.frame(|encoder, out| Join { request: 2, name: "square" }.encode(encoder, out)).await;
        }
        let put = put.clone();
        tasks.spawn(async move {
            watcher.until(PresenceState::Online).await;
            for state in [PresenceState::Away, PresenceState::Online].into_iter().cycle() {
                watcher.until(state).await;
                put.send(Instant::now()).expect("somebody counts");
                watcher.peer.frame(|encoder, out| Ping { token: 1 }.encode(encoder, out)).await;
            }
        });
    }
    sleep(Duration::from_secs(2)).await;
    path.lose(2);
    if is_busy {
        let mut carol = Peer::sign_in(server.address, &format!("carol {is_on_stream}")).await;
        carol.join("square").await;
        tasks.spawn(async move {
            for number in 1.. {
                carol.publish("square", number, &[b'x'; 600]).await;
                sleep(Duration::from_millis(50)).await;
            }
        });
    }
    let mut delays = Vec::new();
    for round in 0..12 {
        let began = Instant::now();
        set_away(&mut bob, round % 2 == 0).await;
        for _ in 0..WATCHERS {
            delays.push(take.recv().await.expect("watchers live").duration_since(began));
        }
        // What was told has been settled before the next change.
        sleep(Duration::from_secs(4)).await;
    }
    delays.sort_unstable();
    let at = |share: usize| delays[(delays.len() - 1) * share / 100].as_millis();
    let way = if is_on_stream { "stream" } else { "datagrams" };
    let load = if is_busy { "busy" } else { "quiet" };
    println!("{way}, {load}: p50 {} ms, p90 {} ms, p99 {} ms, most {} ms", at(50), at(90), at(99), at(100));
}

/// One in ten of the users that one watches changes every second.
async fn flapping(server: &Server, is_on_stream: bool) {
    const USERS: usize = 100;
    const SECONDS: usize = 20;
    let path = Path::lay(server.address, Duration::from_millis(25)).await;
    let mut users = Vec::new();
    for nth in 0..USERS {
        users.push(Peer::sign_in(server.address, &format!("user-{nth}")).await);
    }
    let ids: Vec<UserId> = (0..USERS).map(|nth| UserId::from_name(&format!("user-{nth}"))).collect();
    let mut watcher = Watcher::begin(&path, "onlooker", &ids, ways(is_on_stream)).await;
    watcher.pass(Duration::from_secs(2)).await;
    path.lose(2);
    watcher.told = Told::default();
    for second in 0..SECONDS {
        for nth in 0..USERS / 10 {
            set_away(&mut users[(second * USERS / 10 + nth) % USERS], second / 10 % 2 == 0).await;
        }
        watcher.pass(Duration::from_secs(1)).await;
    }
    watcher.pass(Duration::from_secs(5)).await;
    let Told { on_stream, beside, bytes } = watcher.told;
    let way = if is_on_stream { "stream" } else { "datagrams" };
    println!(
        "{way}, 10 % of {USERS} per second for {SECONDS} s: {on_stream} frames on the stream, {beside} datagrams, {bytes} bytes"
    );
}
