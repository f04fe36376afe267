//! Answers every message of a room that begins with "echo ": `cargo run -p ringwire-client --example echo_bot -- lobby`.
//!
//! Shows what a bot has to mind: it knows its own messages, it does not wait for one acknowledgement before it reads the next
//! message, it survives reconnects without doing anything for that, and it leaves with everything acknowledged.

use ringwire_client::{Client, Error, Kind, Update};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let room = std::env::args().nth(1).unwrap_or_else(|| "lobby".to_owned());
    let client =
        Client::builder("ws://127.0.0.1:7400/v1/ws").token("dev:echo").agent("echo-bot/1").connect().await?;
    let mut conversation = client.join(&room).await?;
    let (user, origin) = match client.state() {
        ringwire_client::State::Connected(session) => (session.user, client.origin()),
        _ => return Err(Error::ShutDown),
    };
    loop {
        let update = tokio::select! {
            update = conversation.next_update() => update,
            _ = tokio::signal::ctrl_c() => break,
        };
        match update {
            Some(Update::Message(message))
                if message.kind == Kind::Text && !message.is_from(user, origin) =>
            {
                let Some(text) = message.text().and_then(|text| text.strip_prefix("echo ")) else { continue };
                // Queued, not awaited: answers keep their order all the same. A full outbox is waited for.
                conversation.ready(text.len()).await?;
                let receipt = conversation.publish_queued(text)?;
                tokio::spawn(async move {
                    if let Err(error) = receipt.await {
                        eprintln!("an answer was not accepted: {error}");
                    }
                });
            }
            Some(Update::Gap(gap)) => {
                eprintln!("messages {} to {} are missing: {}", gap.from, gap.to, gap.cause)
            }
            Some(_) => {}
            None => {
                if let Some(error) = conversation.ended() {
                    eprintln!("the conversation has ended: {error}");
                }
                break;
            }
        }
    }
    let shutdown = client.shutdown().await;
    eprintln!("{} answers were not acknowledged", shutdown.unacknowledged.len());
    Ok(())
}
