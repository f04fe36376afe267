//! What is refused at the start, and what a reload changes.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{CertificateParams, KeyPair};

use super::*;

/// Writes a certificate for `name` that is valid from and until so many days from now, and its key.
fn write(dir: &Path, name: &str, from_days: i64, until_days: i64) -> (PathBuf, PathBuf) {
    let now = i64::try_from(Clock::start().now().unix_ms / 1000).unwrap();
    let at = |days: i64| -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(u64::try_from(now + days * 86_400).unwrap())
    };
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.not_before = at(from_days).into();
    params.not_after = at(until_days).into();
    let paths = (dir.join(format!("{name}.pem")), dir.join(format!("{name}.key")));
    put(&paths.0, params.self_signed(&key).unwrap().pem());
    put(&paths.1, key.serialize_pem());
    paths
}

#[expect(clippy::disallowed_methods, reason = "tests write files")]
fn put(path: &Path, text: impl AsRef<[u8]>) {
    std::fs::write(path, text).unwrap();
}

fn open(certificate: &Path, key: &Path) -> Result<Keeper, BootError> {
    let source = Source::Files { certificate: certificate.to_owned(), key: key.to_owned() };
    Keeper::open(&TlsConfig { source, allows_1_2: false }, Clock::start())
}

#[test]
fn what_cannot_work_is_refused_with_its_file_named() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let good = write(dir, "good", -1, 30);
    let other = write(dir, "other", -1, 30);
    let expired = write(dir, "expired", -30, -1);
    let early = write(dir, "early", 1, 30);
    let (empty, encrypted, broken) = (dir.join("empty"), dir.join("encrypted"), dir.join("broken"));
    put(&empty, "");
    put(&encrypted, "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n");
    put(&broken, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let missing = dir.join("missing");
    for (certificate, key, file, words) in [
        (&expired.0, &expired.1, &expired.0, "expired on"),
        (&early.0, &early.1, &early.0, "not valid before"),
        (&good.0, &other.1, &other.1, "is not the key of"),
        (&missing, &good.1, &missing, "cannot read"),
        (&good.0, &missing, &missing, "cannot read"),
        (&empty, &good.1, &empty, "no certificate"),
        (&good.0, &empty, &empty, "no private key"),
        (&good.1, &good.1, &good.1, "no certificate"),
        (&good.0, &encrypted, &encrypted, "openssl pkey"),
        (&broken, &good.1, &broken, "that is none"),
    ] {
        let Err(error) = open(certificate, key) else { panic!("{words} is not refused") };
        let error = error.to_string();
        assert!(error.contains(words) && error.contains(&*file.to_string_lossy()), "{error}");
    }
    assert!(open(&good.0, &good.1).is_ok());
}

#[test]
fn a_reload_reaches_every_holder_and_a_bad_one_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (certificate, key) = write(dir.path(), "first", -1, 30);
    let mut keeper = open(&certificate, &key).unwrap();
    let (mut shard, first) = (keeper.offer(), keeper.sha256());
    let (newer, newer_key) = write(dir.path(), "second", -1, 30);
    put(&certificate, read(&newer));
    assert!(keeper.reload().is_err(), "the key is still that of the first");
    assert_eq!((shard.current().sha256, keeper.sha256()), (first, first));
    put(&key, read(&newer_key));
    keeper.reload().unwrap();
    assert_ne!(keeper.sha256(), first);
    assert_eq!(shard.current().sha256, keeper.sha256());
    assert_eq!(shard.current().quic.alpn_protocols, [&b"ringwire/1"[..], b"h3"]);
}

#[expect(clippy::disallowed_methods, reason = "tests read files")]
fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

#[test]
fn a_certificate_for_development_suits_browsers_that_pin() {
    let clock = Clock::start();
    let provider = crypto::default_provider();
    let certified = files::certified(&Source::Development, &provider, unix_s(clock)).unwrap();
    let (_, parsed) = x509_parser::parse_x509_certificate(certified.end_entity_cert().unwrap()).unwrap();
    let validity = parsed.validity();
    assert!(validity.not_after.timestamp() - validity.not_before.timestamp() <= 14 * 86_400);
    assert!(
        validity.not_before.timestamp() < unix_s(clock) && validity.not_after.timestamp() > unix_s(clock)
    );
    let names = parsed.subject_alternative_name().unwrap().expect("names").value.general_names.len();
    assert_eq!(names, 3, "localhost, 127.0.0.1, ::1");
}
