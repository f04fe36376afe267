//! `bench lossy`: live messages while history is fetched, over a path that delays and loses packets.
//!
//! Over one TCP connection a lost packet of history keeps live messages waiting until it has come again; over QUIC
//! history has streams of its own. The publisher is beside the server, the listener at the other end of the
//! [`path`], so what is timed is the way from server to client.

pub mod part;
pub mod path;

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::fault::{Fault, Result};
use crate::system::certificate::Certificate;
use crate::system::server::Process;
use part::Heard;
use path::{End, FAR, Path, Trouble};

/// Where the server listens, in a namespace of its own.
const PORT: u16 = 7400;

/// How long the publisher goes on beyond the listener.
const MARGIN_S: f64 = 2.0;

/// What is to be measured.
#[derive(Clone, Debug)]
pub struct Options {
    /// The server's binary.
    pub binary: PathBuf,
    /// Its driver.
    pub driver: String,
    /// Milliseconds that a packet takes, each way.
    pub delay_ms: u64,
    /// How many of a thousand packets are lost, each way.
    pub lost_per_mille: u64,
    /// Seconds of each turn.
    pub seconds: f64,
    /// Turns of each kind.
    pub rounds: u32,
}

/// Measures and prints a table.
///
/// # Errors
/// See [`Fault`].
pub fn run(options: &Options) -> Result<()> {
    let delay = Duration::from_millis(options.delay_ms);
    let path =
        Path::lay(Trouble { delay, lost_per_mille: options.lost_per_mille, seed: 0x9e37_79b9_7f4a_7c15 })?;
    let folder = tempfile::Builder::new()
        .prefix("ringwire-lossy-")
        .tempdir()
        .map_err(Fault::system("making a data directory"))?;
    let world = World::start(options, &path, folder.path())?;
    world.part(End::Far, "wss", &["fill"], 0.0)?.wait_for_line(|line| (line == "filled").then_some(()))?;
    println!(
        "live messages of 100 B, 50 a second, {} ms and {:.1} % loss each way, {} s a turn; ms from publishing to hearing",
        options.delay_ms,
        options.lost_per_mille as f64 / 10.0,
        options.seconds
    );
    println!("over   history  round  messages      p50      p99  fetched MB");
    let kinds = [("quic", false), ("quic", true), ("wss", false), ("wss", true)];
    let mut p99_ms = [const { Vec::new() }; 4];
    for round in 0..options.rounds {
        for ((over, fetches), p99_ms) in kinds.iter().zip(&mut p99_ms) {
            let heard = world.turn(over, *fetches, options.seconds)?;
            println!(
                "{over:6} {:7} {round:>6} {:>9} {:>8.1} {:>8.1} {:>11.1}",
                if *fetches { "fetched" } else { "-" },
                heard.messages,
                heard.p50_ms,
                heard.p99_ms,
                heard.fetched_bytes as f64 / 1e6
            );
            p99_ms.push(heard.p99_ms);
        }
    }
    let median = |of: &mut Vec<f64>| {
        of.sort_by(f64::total_cmp);
        of[of.len() / 2]
    };
    let [mut quic, mut quic_fetching, mut wss, mut wss_fetching] = p99_ms;
    for (over, alone, fetching) in
        [("quic", &mut quic, &mut quic_fetching), ("wss", &mut wss, &mut wss_fetching)]
    {
        let (alone, fetching) = (median(alone), median(fetching));
        println!(
            "{over}: p99 {alone:.1} ms alone, {fetching:.1} ms while history is fetched: {:.2}x",
            fetching / alone
        );
    }
    Ok(())
}

/// A server at the far end, and what its clients have to know.
struct World<'a> {
    path: &'a Path,
    own: PathBuf,
    pin: String,
    tokens: [String; 2],
    _server: Process,
}

impl<'a> World<'a> {
    fn start(options: &Options, path: &'a Path, folder: &std::path::Path) -> Result<Self> {
        let certificate = Certificate::make(folder)?;
        let secret = folder.join("secret");
        std::fs::write(&secret, "a secret of one measurement, 32 bytes")
            .map_err(Fault::system("writing a secret"))?;
        let mut command = path.command(End::Far, &options.binary);
        command.arg("serve").arg("--data").arg(folder.join("data"));
        command.args(["--listen", &format!("{FAR}:{PORT}"), "--plane", "127.0.0.1:0", "--shards", "1"]);
        command.args(["--driver", &options.driver]);
        for setting in [
            format!("tls.certificate_file={}", certificate.certificate_file.display()),
            format!("tls.key_file={}", certificate.key_file.display()),
            format!("auth.hs256_secret_file={}", secret.display()),
            "limits.handshakes=0".to_owned(),
            "log.level=warn".to_owned(),
        ] {
            command.args(["--set", &setting]);
        }
        let mut server = Process::start("ringwire", command, &[])?;
        let pin = server.wait_for_line(|line| {
            let hash = line.trim();
            (hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| hash.to_owned())
        })?;
        let token = |user: &str| {
            let output = Command::new(&options.binary)
                .args(["token", "--user", user, "--hs256-secret-file"])
                .arg(&secret)
                .output()
                .map_err(Fault::system("signing a token"))?;
            Ok::<_, Fault>(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        };
        let own = std::env::current_exe().map_err(Fault::system("finding this program"))?;
        Ok(World { path, own, pin, tokens: [token("near")?, token("far")?], _server: server })
    }

    /// A client at one end.
    fn part(&self, end: End, over: &str, role: &[&str], seconds: f64) -> Result<Process> {
        let mut command = self.path.command(end, &self.own);
        command.arg("lossy-part").args(role);
        command.args(["--url", &format!("{over}://{FAR}:{PORT}"), "--pin", &self.pin]);
        command.args([
            "--token",
            &self.tokens[usize::from(end == End::Far)],
            "--seconds",
            &seconds.to_string(),
        ]);
        Process::start(&format!("the client that is to {}", role[0]), command, &[])
    }

    fn turn(&self, over: &str, fetches: bool, seconds: f64) -> Result<Heard> {
        let talker = self.part(End::Far, "wss", &["talk"], seconds + MARGIN_S)?;
        let role: &[&str] = if fetches { &["listen", "--fetches"] } else { &["listen"] };
        let mut listener = self.part(End::Near, over, role, seconds)?;
        let heard = listener.wait_for_line(|line| serde_json::from_str(line).ok())?;
        drop(talker);
        Ok(heard)
    }
}
