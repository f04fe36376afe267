//! The same with an S3 behind it: moto's server, pinned in `moto.txt`, fetched where it is missing.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::client::{Announced, User, content, object};
use crate::http::ask;
use crate::support::{PATIENCE, Raw, Server};

const REQUIREMENTS: &str = include_str!("moto.txt");

/// The folder with moto in it, or why there is none.
fn install() -> Result<PathBuf, String> {
    static INSTALLED: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    INSTALLED
        .get_or_init(|| {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools/moto");
            // Written last, so that a half-finished installation is done again.
            let done = folder.join("installed.txt");
            if std::fs::read_to_string(&done).is_ok_and(|installed| installed == REQUIREMENTS) {
                return Ok(folder);
            }
            // Past libtest, which would keep it to itself.
            let _ = writeln!(
                std::io::stderr(),
                "fetching moto (an S3 to test against) from the Python package index into {}",
                folder.display()
            );
            let _ = std::fs::remove_dir_all(&folder);
            let run = |command: &mut Command| match command.stdout(Stdio::null()).status() {
                Ok(status) if status.success() => Ok(()),
                other => Err(format!("{command:?}: {other:?}")),
            };
            run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
            let requirements = folder.join("moto.txt");
            std::fs::write(&requirements, REQUIREMENTS).map_err(|error| error.to_string())?;
            let mut pip = Command::new(folder.join("bin/pip"));
            pip.args(["--quiet", "--disable-pip-version-check", "install", "--only-binary", ":all:"]);
            run(pip.args(["--no-deps", "--require-hashes", "-r"]).arg(requirements))?;
            std::fs::write(done, REQUIREMENTS).map_err(|error| error.to_string())?;
            Ok(folder)
        })
        .clone()
}

/// A running S3 with one bucket.
struct S3 {
    child: Child,
    address: SocketAddr,
}

impl S3 {
    fn start(address: &str) -> Option<S3> {
        let folder = match install() {
            Ok(folder) => folder,
            Err(why) => {
                let _ = writeln!(std::io::stderr(), "no S3 to test against, so it is not tested: {why}");
                return None;
            }
        };
        let (host, port) = address.rsplit_once(':').unwrap();
        let mut child = Command::new(folder.join("bin/python"))
            .args(["-m", "moto.server", "-H", host, "-p", port])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        let address = loop {
            line.clear();
            assert!(log.read_line(&mut line).unwrap() > 0, "moto ends without a word");
            if let Some((_, url)) = line.split_once("Running on http://") {
                break url.trim().parse().unwrap();
            }
        };
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        let made = ask(address, "PUT", "/media-bucket", &[("content-length", "0")], b"");
        assert_eq!(made.status, 200, "{made:?}");
        Some(S3 { child, address })
    }

    /// The settings of a server that keeps its media here.
    fn settings(&self, data: &Path) -> Vec<String> {
        let secret = data.join("s3.secret");
        std::fs::write(&secret, "a secret\n").unwrap();
        [
            "media.store=s3://media-bucket/some/prefix".to_owned(),
            format!("media.s3_endpoint=http://{}", self.address),
            "media.s3_key_id=a-key".to_owned(),
            format!("media.s3_secret_file={}", secret.display()),
            "media.sweep=2s".to_owned(),
        ]
        .into_iter()
        .flat_map(|setting| ["--set".to_owned(), setting])
        .collect()
    }

    /// The keys that are there.
    fn keys(&self) -> Vec<String> {
        let listing = ask(self.address, "GET", "/media-bucket?list-type=2", &[], b"");
        let listing = String::from_utf8(listing.body).unwrap();
        let keys = listing.split("<Key>").skip(1);
        keys.map(|rest| rest.split("</Key>").next().unwrap().to_owned()).collect()
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start(data: &Path, settings: &[String]) -> Server {
    Server::start(data, &settings.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn a_bucket_holds_what_a_folder_would() {
    let Some(s3) = S3::start("127.0.0.1:0") else { return };
    let data = tempfile::tempdir().unwrap();
    let settings = s3.settings(data.path());
    let server = start(data.path(), &settings);
    Raw::sign_in(server.address, "ada").join("lobby");
    Raw::sign_in(server.address, "ada").join("attic");
    let ada = User::new(&server, "ada");
    // One that fits a part, and one that takes three.
    let (small, large) = (content(70_000, 1), content(20 << 20, 2));
    let mut paths = Vec::new();
    for bytes in [&small, &large] {
        let path = ada.upload(&Announced::file("lobby", bytes.len()), bytes);
        ada.upload(&Announced::file("attic", bytes.len()), bytes);
        assert!(ada.get(&path, &[]).body == *bytes, "the content is the same");
        let part = ada.get(&path, &[("range", "bytes=60000-69999")]);
        assert_eq!((part.status, part.body == bytes[60_000..70_000]), (206, true));
        paths.push(path);
    }
    let keys = s3.keys();
    assert_eq!(keys.len(), 6, "two objects, each referred to twice: {keys:?}");
    assert!(keys.iter().all(|key| key.starts_with("some/prefix/")), "{keys:?}");
    server.kill();
    let server = start(data.path(), &settings);
    let ada = User::new(&server, "ada");
    assert!(ada.get(&paths[1], &[]).body == large, "after kill -9 as well");
    for bytes in [&small, &large] {
        for room in ["lobby", "attic"] {
            assert_eq!(ada.ask("DELETE", &object(room, bytes), &[], b"").status, 204);
        }
    }
    assert_eq!(ada.get(&paths[0], &[]).problem(), "no_such_object");
    let until = Instant::now() + PATIENCE;
    while !s3.keys().is_empty() {
        assert!(Instant::now() < until, "a sweep removes what nobody refers to: {:?}", s3.keys());
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn a_store_that_is_away_costs_time_and_nothing_else() {
    let Some(s3) = S3::start("127.0.0.1:0") else { return };
    let data = tempfile::tempdir().unwrap();
    let server = start(data.path(), &s3.settings(data.path()));
    Raw::sign_in(server.address, "ada").join("lobby");
    let ada = User::new(&server, "ada");
    let bytes = content(300_000, 3);
    let path = ada.begin(&Announced::file("lobby", bytes.len()));
    let address = s3.address.to_string();
    drop(s3);
    let answer = ada.patch(&path, 0, &[], &bytes);
    assert_eq!((answer.status, &*answer.problem()), (503, "store_unavailable"), "{answer:?}");
    assert!(answer.headers.contains_key("retry-after"));
    assert_eq!(ada.get(&object("lobby", &bytes), &[]).problem(), "store_unavailable");
    let _s3 = S3::start(&address).expect("it was there before");
    assert_eq!(ada.offset(&path), Some(bytes.len() as u64), "asking for it brings it to its end");
    assert!(ada.get(&object("lobby", &bytes), &[]).body == bytes);
    assert_eq!(server.terminate(), Some(0));
}
