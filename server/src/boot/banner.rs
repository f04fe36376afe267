//! What a server says on standard output once it serves: what is where, and what to try.

use std::net::SocketAddr;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::config::Config;
use crate::transport::tls::offer::hex;

/// What is served, and where.
pub(super) struct Served {
    pub(super) address: SocketAddr,
    /// The operators' port, and whether it speaks TLS.
    pub(super) operators: Option<(SocketAddr, bool)>,
    pub(super) development: bool,
    pub(super) shards: u16,
    /// SHA-256 of the certificate, and whether it was made for development.
    pub(super) certificate: Option<([u8; 32], bool)>,
    /// Whether QUIC is spoken, on the same port.
    pub(super) quic: bool,
}

/// Prints it.
pub(super) fn print(served: &Served, driver: ringwire_driver::Kind, config: &Config) {
    let Served { address, operators, development, shards, certificate, quic } = *served;
    let s = if certificate.is_some() { "s" } else { "" };
    let url = format!("ws{s}://{address}{}", ringwire_protocol::ws::PATH);
    let threads = if shards == 1 { "1 shard".to_owned() } else { format!("{shards} shards") };
    println!("Ringwire {} is ready: {threads} on {driver}", env!("CARGO_PKG_VERSION"));
    println!("  clients   {url}");
    if quic {
        println!("            quic://{address}");
    }
    if let Some((operators, is_secure)) = operators {
        println!("  operators http{}://{operators}/", if is_secure { "s" } else { "" });
    }
    if let Some((sha256, made)) = certificate {
        let whose = if made { ", made for this run: clients have to pin it" } else { "" };
        println!("  tls       SHA-256 of the certificate{whose}");
        println!("            {}", hex(&sha256));
        println!("            {}", BASE64_STANDARD.encode(sha256));
    }
    println!("  data      {}", config.data.display());
    if development {
        println!("  WARNING   development mode: anybody on this machine may be anybody (tokens dev:NAME)");
        println!();
        if config.app {
            println!("Try it: open http{s}://{address}/ in two browser windows, or in two terminals:");
        } else {
            println!("Try it in two terminals:");
        }
        let pin = match certificate {
            Some((sha256, true)) => format!(" --pin {}", hex(&sha256)),
            _ => String::new(),
        };
        // The best way from a terminal, where there is more than one.
        let url = if quic { format!("ringwire://{address}") } else { url };
        println!("  ringwire chat --url {url}{pin} --as alice --room lobby");
        println!("  ringwire chat --url {url}{pin} --as bob --room lobby");
    }
}
