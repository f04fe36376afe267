//! A certificate and its key out of files, or made on the spot. What cannot work is refused here, with the file
//! named, and not later by every client.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::boot::BootError;
use crate::boot::keys::read;
use crate::config::tls::Source;

/// How long a certificate made by `tls.dev` is valid: browsers take a pinned one of at most 14 days (WebTransport,
/// `serverCertificateHashes`), and some clocks are slow.
const DEVELOPMENT_DAYS: u64 = 13;
const DEVELOPMENT_SLACK: Duration = Duration::from_secs(3600);

/// From here on an operator is told that a certificate is about to end, seconds.
const SOON_S: i64 = 14 * 86_400;

/// Reads or makes a certificate with its key, and checks that a server can use them.
///
/// # Errors
/// Says which file is the matter, and what to do.
pub(super) fn certified(
    source: &Source,
    provider: &CryptoProvider,
    now_unix_s: i64,
) -> Result<Arc<CertifiedKey>, BootError> {
    match source {
        Source::Files { certificate, key } => from_files(certificate, key, provider, now_unix_s),
        Source::Development => development(provider, now_unix_s),
    }
}

fn from_files(
    certificate_file: &Path,
    key_file: &Path,
    provider: &CryptoProvider,
    now_unix_s: i64,
) -> Result<Arc<CertifiedKey>, BootError> {
    let fault = |setting: &str, path: &Path, what: &str| {
        Err(BootError::Key(format!("{setting}: {} {what}", path.display())))
    };
    let pem = read(certificate_file, "tls.certificate_file")?;
    let chain: Result<Vec<CertificateDer<'static>>, pem::Error> =
        CertificateDer::pem_slice_iter(&pem).collect();
    let chain = match chain {
        Ok(chain) if chain.is_empty() => {
            let what = "holds no certificate; a PEM file with -----BEGIN CERTIFICATE----- is needed";
            return fault("tls.certificate_file", certificate_file, what);
        }
        Ok(chain) => chain,
        Err(error) => {
            let what = format!("is no PEM file that can be read ({error})");
            return fault("tls.certificate_file", certificate_file, &what);
        }
    };
    for (nth, certificate) in chain.iter().enumerate() {
        if let Err(what) = check_validity(certificate, nth, now_unix_s) {
            return fault("tls.certificate_file", certificate_file, &what);
        }
    }
    let pem = read(key_file, "tls.key_file")?;
    if is_encrypted(&pem) {
        let what = "holds an encrypted key, and there is nobody to ask for its password; decrypt it with \
                    `openssl pkey -in FILE -out FILE`, and protect the file";
        return fault("tls.key_file", key_file, what);
    }
    let key = match PrivateKeyDer::from_pem_slice(&pem) {
        Ok(key) => key,
        Err(pem::Error::NoItemsFound) => {
            return fault("tls.key_file", key_file, "holds no private key in PEM");
        }
        Err(error) => {
            return fault("tls.key_file", key_file, &format!("is no PEM file that can be read ({error})"));
        }
    };
    let key = match provider.key_provider.load_private_key(key) {
        Ok(key) => key,
        Err(error) => {
            let what = format!("holds a key that cannot be used ({error}); use ECDSA P-256, Ed25519 or RSA");
            return fault("tls.key_file", key_file, &what);
        }
    };
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        // A key that cannot say what its public half is, is taken at its word.
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(Arc::new(certified)),
        Err(_) => {
            let what = format!(
                "is not the key of the first certificate in {}; the certificate itself comes first there, before \
                 those that signed it",
                certificate_file.display()
            );
            fault("tls.key_file", key_file, &what)
        }
    }
}

fn is_encrypted(pem: &[u8]) -> bool {
    let text = String::from_utf8_lossy(pem);
    text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") || text.contains("Proc-Type: 4,ENCRYPTED")
}

/// The certificate itself has to be valid now. Those above it need not: some chains carry an old one for old
/// clients, and the others find their way.
fn check_validity(certificate: &[u8], nth: usize, now_unix_s: i64) -> Result<(), String> {
    let parsed = x509_parser::parse_x509_certificate(certificate);
    let (_, parsed) = parsed.map_err(|error| {
        format!("holds something in certificate {} that is none ({error}); export it again", nth + 1)
    })?;
    let (begin, end) = (&parsed.validity().not_before, &parsed.validity().not_after);
    if nth > 0 {
        return Ok(());
    }
    if end.timestamp() < now_unix_s {
        return Err(format!("holds a certificate that expired on {end}; renew it"));
    }
    if begin.timestamp() > now_unix_s {
        return Err(format!(
            "holds a certificate that is not valid before {begin}; wait, or set this machine's clock"
        ));
    }
    if end.timestamp() - now_unix_s < SOON_S {
        tracing::warn!("the certificate expires on {end}; renew it, and send SIGHUP");
    }
    Ok(())
}

fn development(provider: &CryptoProvider, now_unix_s: i64) -> Result<Arc<CertifiedKey>, BootError> {
    let now = UNIX_EPOCH + Duration::from_secs(u64::try_from(now_unix_s).unwrap_or(0));
    let make = || {
        let key = KeyPair::generate()?;
        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let mut params = CertificateParams::new(names.to_vec())?;
        params.distinguished_name.push(DnType::CommonName, "localhost");
        params.not_before = (now - DEVELOPMENT_SLACK).into();
        params.not_after = SystemTime::into(now + Duration::from_secs(DEVELOPMENT_DAYS * 86_400));
        Ok::<_, rcgen::Error>((params.self_signed(&key)?, key))
    };
    let fault = |error: &dyn std::fmt::Display| {
        BootError::Key(format!("tls.dev: cannot make a certificate: {error}; name files instead"))
    };
    let (certificate, key) = make().map_err(|error| fault(&error))?;
    let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(|error| fault(&error))?;
    let key = provider.key_provider.load_private_key(key).map_err(|error| fault(&error))?;
    Ok(Arc::new(CertifiedKey::new(vec![certificate.der().clone()], key)))
}
