//! What QUIC begins with: a socket per shard on the port of the connections, and the process's secret.
//!
//! The secret is kept beside the journal, so that a client whose connection this process does not know is told so
//! at once, although another process had made its id. Who reads the file can end connections and forge Retry
//! tokens, and no more: traffic has keys of its own.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use ringwire_driver::listen;

use super::clock::Clock;
use super::{BootError, in_time};
use crate::config::Config;
use crate::transport::quic::Setup;
use crate::transport::quic::settings::{Keys, Patience};
use crate::transport::tls::offer::Offer;

/// Where the secret is, in the data directory.
const SECRET_FILE: &str = "quic-secret";

/// What one shard is given.
pub(super) type Part = (UdpSocket, Setup);

/// The parts of all shards; `None` for each where QUIC is off, or there is no certificate.
///
/// # Errors
/// Where the port cannot be had, or the secret cannot be kept.
pub(super) fn parts(
    config: &Config,
    offer: Option<Offer>,
    address: SocketAddr,
    shards: u16,
    clock: Clock,
) -> Result<Vec<Option<Part>>, BootError> {
    let (Some(offer), true) = (offer, config.quic) else {
        return Ok((0..shards).map(|_| None).collect());
    };
    let sockets =
        in_time(|| listen::bind_datagrams(address, usize::from(shards))).map_err(BootError::Datagrams)?;
    let secret = secret(&config.data)?;
    let seconds = |time: std::time::Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
    let part = |(socket, shard)| {
        let setup = Setup {
            offer: offer.clone(),
            keys: Keys { secret, seed: random() },
            patience: Patience {
                idle_s: seconds(config.idle_timeout),
                handshake_s: seconds(config.handshake_timeout),
            },
            shard,
            shards,
            first_slot: config.connections_per_shard,
            connections_max: config.connections_per_shard,
            unvalidated_max: config.limits.quic_unvalidated_max,
            wide_max: config.limits.quic_wide_max,
            frame_bytes_max: config.limits.frame_bytes_max,
            origins: config.origins.clone(),
            handshakes: config.handshakes,
            base: clock.base(),
        };
        Some((socket, setup))
    };
    Ok(sockets.into_iter().zip(0..).map(part).collect())
}

/// The secret of the process before, or a new one.
fn secret(data: &Path) -> Result<[u8; 32], BootError> {
    let path = data.join(SECRET_FILE);
    match fs::read(&path) {
        Ok(bytes) => {
            if let Ok(secret) = bytes.as_slice().try_into() {
                return Ok(secret);
            }
            // Cut by a crash in its first moments, perhaps; nothing depends on it but connections that are gone.
            tracing::warn!(path = %path.display(), "the secret of QUIC is damaged; it is made again");
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(BootError::Key(format!("cannot read {}: {error}", path.display()))),
    }
    let secret = random();
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| file.write_all(&secret));
    written.map_err(|error| BootError::Key(format!("cannot write {}: {error}", path.display())))?;
    Ok(secret)
}

fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).expect("the operating system's random source does not fail once it is up");
    bytes
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_secret_is_kept_for_its_owner_alone_and_made_again_where_it_is_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let first = secret(dir.path()).unwrap();
        assert_eq!(secret(dir.path()).unwrap(), first);
        let path = dir.path().join(SECRET_FILE);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&path, b"short").unwrap();
        let second = secret(dir.path()).unwrap();
        assert_ne!(second, first);
        assert_eq!(secret(dir.path()).unwrap(), second);
    }
}
