//! Joins a room, says hello, and waits until the server has it: `cargo run -p ringwire-client --example hello -- ada lobby`.

use ringwire_client::{Client, Error};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_else(|| "ada".to_owned());
    let room = arguments.next().unwrap_or_else(|| "lobby".to_owned());

    let client = Client::builder("ws://127.0.0.1:7400/v1/ws").token(format!("dev:{name}")).connect().await?;
    let conversation = client.join(&room).await?;
    let published = conversation.publish(format!("hello from {name}")).await?;
    println!("accepted in {room} as number {}", published.sequence);

    if !client.shutdown().await.is_clean() {
        eprintln!("not everything was acknowledged");
    }
    Ok(())
}
