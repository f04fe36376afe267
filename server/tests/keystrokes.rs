//! What typing sends: the real client is told of every key that is pressed, the real server counts the frames that come.

#![allow(clippy::disallowed_methods, reason = "tests start processes and wait for them")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use ringwire_client::{Client, Update};
use support::Server;

const KEYSTROKES: u64 = 120;
const BETWEEN: Duration = Duration::from_millis(100);

/// Frames that the server has received.
fn frames(server: &Server) -> u64 {
    let mut stream = TcpStream::connect(server.plane.unwrap()).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    let lines = page.lines().filter_map(|line| line.strip_prefix("ringwire_frames_received_total{"));
    lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
}

async fn sign_in(server: &Server, name: &str) -> Client {
    Client::builder(server.url()).token(format!("dev:{name}")).connect().await.expect("the server is up")
}

#[test]
fn ten_keystrokes_a_second_send_less_than_a_twentieth_of_them() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--shards", "2"]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (ada, bob) = (sign_in(&server, "ada").await, sign_in(&server, "bob").await);
        let mut from_ada = ada.join("club").await.unwrap();
        let from_bob = bob.join("club").await.unwrap();
        // What joining says of itself is read and told by then.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let before = frames(&server);
        let mut keys = tokio::time::interval(BETWEEN);
        for _ in 0..KEYSTROKES {
            keys.tick().await;
            from_bob.typing(true).unwrap();
        }
        let sent = frames(&server) - before;
        let percent = sent as f64 * 100.0 / KEYSTROKES as f64;
        println!(
            "{KEYSTROKES} keystrokes, one each {BETWEEN:?}: {sent} frames to the server, {percent:.1} %"
        );
        assert!(sent > 0 && percent <= 5.0, "{sent} frames for {KEYSTROKES} keystrokes");
        // And all the while the other one knows it: told that it began, and of nothing that would end it.
        loop {
            match from_ada.next_update().await.unwrap() {
                Update::Typing { active, .. } => break assert!(active),
                _ => continue,
            }
        }
        from_bob.typing(false).unwrap();
        loop {
            match from_ada.next_update().await.unwrap() {
                Update::Typing { active, .. } => {
                    break assert!(!active, "it ends when he stops, and not before");
                }
                _ => continue,
            }
        }
    });
}
