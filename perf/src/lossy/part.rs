//! The two clients of a lossy path: one that publishes beside the server, one that listens at the other end.

use std::cell::Cell;
use std::time::Duration;

use ringwire_client::{Client, Direction, Draft, Durability, Publisher, Result as Answered};
use serde::{Deserialize, Serialize};

use crate::fault::{Fault, Result};
use crate::system::now_ns;

/// The conversation whose messages are timed.
const LIVE: &str = "live";
/// The one whose history is fetched.
const ARCHIVE: &str = "archive";
/// Messages of the archive, and bytes of each: 5 MB.
const ARCHIVE_MESSAGES: u64 = 5_000;
const ARCHIVE_BYTES: usize = 1_000;
/// How often a live message is published.
const EVERY: Duration = Duration::from_millis(20);
/// Bytes of a live message; its first eight are when it was published, nanoseconds.
const LIVE_BYTES: usize = 100;
/// Pages of history that are asked for at once.
const PAGES_AT_ONCE: u64 = 4;
/// Messages of a page.
const PAGE: u16 = 50;

/// Who connects, and for how long.
#[derive(Clone, Debug, clap::Args)]
pub struct Part {
    /// The server.
    #[arg(long)]
    pub url: String,
    /// SHA-256 of its certificate, in hexadecimal.
    #[arg(long)]
    pub pin: String,
    /// A token.
    #[arg(long)]
    pub token: String,
    /// How long.
    #[arg(long)]
    pub seconds: f64,
}

/// What the listener says at its end.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Heard {
    /// Live messages.
    pub messages: usize,
    /// Milliseconds from publishing to hearing, by share of the messages.
    pub p50_ms: f64,
    /// See [`Heard::p50_ms`].
    pub p99_ms: f64,
    /// Bytes of history that were fetched meanwhile.
    pub fetched_bytes: usize,
}

/// Fills the archive.
///
/// # Errors
/// The server refuses, or is not there.
pub fn fill(part: &Part) -> Result<()> {
    let is_filled = on_one_thread(async {
        let client = connect(part).await?;
        let room = client.join(ARCHIVE).await?;
        for _ in 0..ARCHIVE_MESSAGES {
            room.ready(ARCHIVE_BYTES).await?;
            // What it comes to is asked for together, at the end.
            drop(room.publish_queued(Draft::application(vec![7; ARCHIVE_BYTES]))?);
        }
        Ok(client.shutdown().await.is_clean())
    })?;
    if is_filled { Ok(()) } else { Err(Fault::Server("the archive was not acknowledged".to_owned())) }
}

/// Publishes for a while.
///
/// # Errors
/// The server refuses, or is not there.
pub fn talk(part: &Part) -> Result<()> {
    on_one_thread(async {
        let client = connect(part).await?;
        let room = client.join(LIVE).await?;
        let until = now_ns() + (part.seconds * 1e9) as u64;
        let mut tick = tokio::time::interval(EVERY);
        while now_ns() < until {
            tick.tick().await;
            let mut body = now_ns().to_le_bytes().to_vec();
            body.resize(LIVE_BYTES, 0);
            drop(room.publish_queued(Draft::application(body).durability(Durability::Memory))?);
        }
        drop(client.shutdown().await);
        Ok(())
    })
}

/// Listens for a while, and fetches the archive again and again meanwhile if asked to; prints what it [`Heard`].
///
/// # Errors
/// The server refuses, or is not there.
pub fn listen(part: &Part, fetches: bool) -> Result<()> {
    let heard = on_one_thread(async {
        let client = connect(part).await?;
        let mut room = client.join(LIVE).await?;
        let fetched_bytes = Cell::new(0);
        let mut latencies_ms = Vec::new();
        let archive = if fetches { Some(client.join(ARCHIVE).await?.publisher()) } else { None };
        let end = tokio::time::sleep(Duration::from_secs_f64(part.seconds));
        tokio::pin!(end);
        let fetching = async {
            let Some(archive) = &archive else { return std::future::pending().await };
            fetch(archive, &fetched_bytes).await
        };
        tokio::pin!(fetching);
        loop {
            tokio::select! {
                () = &mut end => break,
                failed = &mut fetching => return Err(failed),
                message = room.next_message() => {
                    let Some(message) = message else { break };
                    if let Some(published) = message.body.first_chunk() {
                        let late_ns = now_ns().saturating_sub(u64::from_le_bytes(*published));
                        latencies_ms.push(late_ns as f64 / 1e6);
                    }
                }
            }
        }
        latencies_ms.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let place = (latencies_ms.len().saturating_sub(1) as f64 * share).round() as usize;
            latencies_ms.get(place).copied().unwrap_or(f64::NAN)
        };
        Ok(Heard {
            messages: latencies_ms.len(),
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            fetched_bytes: fetched_bytes.get(),
        })
    })?;
    println!("{}", serde_json::to_string(&heard).map_err(|error| Fault::Machine(error.to_string()))?);
    Ok(())
}

/// Fetches the archive for ever; why it had to stop.
async fn fetch(archive: &Publisher, fetched_bytes: &Cell<usize>) -> ringwire_client::Error {
    let mut from = 1;
    loop {
        let page = |nth: u64| archive.history(from + nth * u64::from(PAGE), PAGE, Direction::Forward);
        // Asked for together: the answers come one behind the other.
        let pages = tokio::join!(page(0), page(1), page(2), page(3));
        for page in <[_; PAGES_AT_ONCE as usize]>::from(pages) {
            match page {
                Ok(page) => {
                    let bytes: usize = page.messages.iter().map(|message| message.body.len()).sum();
                    fetched_bytes.set(fetched_bytes.get() + bytes);
                }
                Err(error) => return error,
            }
        }
        from += PAGES_AT_ONCE * u64::from(PAGE);
        if from > ARCHIVE_MESSAGES {
            from = 1;
        }
    }
}

async fn connect(part: &Part) -> Answered<Client> {
    let mut pin = [0; 32];
    for (byte, digits) in pin.iter_mut().zip(part.pin.as_bytes().chunks(2)) {
        *byte =
            std::str::from_utf8(digits).ok().and_then(|text| u8::from_str_radix(text, 16).ok()).unwrap_or(0);
    }
    Client::builder(&part.url).token(&part.token).pin_certificate(pin).connect().await
}

fn on_one_thread<T>(work: impl Future<Output = Answered<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Fault::system("starting a runtime"))?;
    runtime.block_on(work).map_err(|error| Fault::Server(error.to_string()))
}
