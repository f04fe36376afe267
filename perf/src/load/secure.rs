//! The client's end of TLS on one connection, fed by bytes.

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

/// The name that the certificates of measured servers have.
pub const SERVER_NAME: &str = "localhost";

/// One connection's TLS.
#[derive(Debug)]
pub struct Secure {
    session: ClientConnection,
    /// What the kernel has not taken.
    sealed: Vec<u8>,
}

impl Secure {
    /// Before the handshake.
    ///
    /// # Errors
    /// The configuration suits nobody.
    pub fn new(config: &Arc<ClientConfig>) -> Result<Self, String> {
        let name = ServerName::try_from(SERVER_NAME).map_err(|error| error.to_string())?;
        let session = ClientConnection::new(Arc::clone(config), name).map_err(|error| error.to_string())?;
        Ok(Secure { session, sealed: Vec::new() })
    }

    /// Takes what came and appends what it says to `plain`.
    ///
    /// # Errors
    /// It is not TLS, or the server is not who it should be.
    pub fn open(&mut self, mut sealed: &[u8], plain: &mut Vec<u8>) -> Result<(), String> {
        while !sealed.is_empty() {
            self.session.read_tls(&mut sealed).map_err(|error| error.to_string())?;
            let state = self.session.process_new_packets().map_err(|error| error.to_string())?;
            let start = plain.len();
            plain.resize(start + state.plaintext_bytes_to_read(), 0);
            self.session.reader().read_exact(&mut plain[start..]).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Seals all of `plain`, as far as the handshake allows to; what is to be sent, for its holder to drain.
    ///
    /// # Errors
    /// None that its memory does not give.
    pub fn seal(&mut self, plain: &mut Vec<u8>) -> Result<&mut Vec<u8>, String> {
        if !self.session.is_handshaking() && !plain.is_empty() {
            self.session.writer().write_all(plain).map_err(|error| error.to_string())?;
            plain.clear();
        }
        while self.session.wants_write() {
            self.session.write_tls(&mut self.sealed).map_err(|error| error.to_string())?;
        }
        Ok(&mut self.sealed)
    }
}
