//! The bare loop's work over QUIC, on quinn: the same requests, frames and rooms on one stream of each connection.
//! What the QUIC library itself costs when nothing is between a publish and the streams.
//!
//! Deliberately absent: several rooms of one subscriber, joining messages of one read.

use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Connection, Endpoint, RecvStream, SendStream, ServerConfig};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::Mutex;

use super::Options;
use super::wire::{self, put_ack, put_frame, take_frame};
use crate::fault::{Fault, Result};

/// What is spoken (ALPN).
pub const BARE_PROTOCOL: &[u8] = b"bare";

/// Longest request head, bytes.
const HEAD_BYTES_MAX: usize = 4096;

/// The streams of each room, and what keeps their connections open.
type Rooms = Mutex<HashMap<u32, Vec<(SendStream, RecvStream, Connection)>>>;

/// Serves until killed.
///
/// # Errors
/// The certificate cannot be read, or the kernel refuses something.
pub fn serve(options: &Options, certificate: &Path, key: &Path) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Fault::system("starting a runtime"))?;
    let config = config(certificate, key)?;
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let endpoint = Endpoint::server(config, options.listen).map_err(Fault::system("listening"))?;
        println!("listening on {}", endpoint.local_addr().map_err(Fault::system("listening"))?);
        let rooms = Rc::new(Rooms::default());
        let ack_bytes = options.ack_bytes;
        while let Some(incoming) = endpoint.accept().await {
            let rooms = Rc::clone(&rooms);
            tokio::task::spawn_local(async move {
                // Whoever breaks off is gone, which is no fault of the loop.
                if let Ok(connection) = incoming.await {
                    let _ = attend(connection, &rooms, ack_bytes).await;
                }
            });
        }
        Ok(())
    })
}

fn config(certificate: &Path, key: &Path) -> Result<ServerConfig> {
    let wrong = |error: &dyn std::fmt::Display| Fault::Usage(format!("the certificate: {error}"));
    let chain: std::result::Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(certificate).map_err(|error| wrong(&error))?.collect();
    let chain = chain.map_err(|error| wrong(&error))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(&error))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut crypto = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| wrong(&error))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| wrong(&error))?;
    crypto.alpn_protocols = vec![BARE_PROTOCOL.to_vec()];
    let crypto = QuicServerConfig::try_from(crypto).map_err(|error| wrong(&error))?;
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    let mut transport = quinn::TransportConfig::default();
    transport.max_idle_timeout(None);
    config.transport_config(Arc::new(transport));
    Ok(config)
}

type Ended = Box<dyn std::error::Error>;

async fn attend(connection: Connection, rooms: &Rooms, ack_bytes: usize) -> std::result::Result<(), Ended> {
    let (mut send, mut receive) = connection.accept_bi().await?;
    let mut input = Vec::new();
    let head = loop {
        if let Some(end) = input.windows(4).position(|window| window == b"\r\n\r\n") {
            break input.drain(..end + 4).collect::<Vec<u8>>();
        }
        let chunk = receive.read_chunk(usize::MAX, true).await?.ok_or("the stream ended")?;
        input.extend_from_slice(&chunk.bytes);
        if input.len() > HEAD_BYTES_MAX {
            return Err("the head is too long".into());
        }
    };
    send.write_all(wire::SWITCH.as_bytes()).await?;
    if let Some(room) = wire::rooms(&head).first() {
        rooms.lock().await.entry(*room).or_default().push((send, receive, connection));
        return Ok(());
    }
    let mut out = Vec::new();
    loop {
        let mut rest = &input[..];
        while let Some((payload, after)) = take_frame(rest) {
            rest = after;
            out.clear();
            put_frame(payload, &mut out);
            let Some(room) = wire::room(payload) else {
                send.write_all(&out).await?;
                continue;
            };
            for (stream, _, _) in rooms.lock().await.entry(room).or_default().iter_mut() {
                stream.write_all(&out).await?;
            }
            if ack_bytes > 0 {
                out.clear();
                put_ack(ack_bytes, &mut out);
                send.write_all(&out).await?;
            }
        }
        let taken = input.len() - rest.len();
        input.drain(..taken);
        let chunk = receive.read_chunk(usize::MAX, true).await?.ok_or("the stream ended")?;
        input.extend_from_slice(&chunk.bytes);
    }
}
