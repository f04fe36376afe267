//! The real server binary as a child process: built where missing, started, watched, ended.

use std::io::BufReader;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::certificate::Certificate;
use super::processor;
use crate::fault::{Fault, Result};
use crate::load::adapter::ringwire::Framing;
use crate::load::link::{Transport, Way};

/// The variable that names the binary.
pub const BINARY_VARIABLE: &str = "RINGWIRE_BINARY";

/// What clients of ours speak over QUIC (ALPN).
const QUIC_PROTOCOL: &[u8] = b"ringwire/1";

/// How long a server may take to say that it is ready.
const PATIENCE: Duration = Duration::from_secs(60);

/// How much of a server's log is kept for the message about its death, bytes.
const LOG_KEPT: usize = 4096;

/// The workspace's folder, known since the build.
#[must_use]
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// Where the server's binary is: as told, else by [`BINARY_VARIABLE`], else beside this program, where it is
/// built if it is missing.
///
/// # Errors
/// Where it is not where it was said to be, or does not build.
pub fn find_binary(told: Option<PathBuf>) -> Result<PathBuf> {
    let told = told.or_else(|| std::env::var_os(BINARY_VARIABLE).map(PathBuf::from));
    if let Some(path) = told {
        if path.is_file() {
            return Ok(path);
        }
        return Err(Fault::Usage(format!("there is no server binary at {}", path.display())));
    }
    let own = std::env::current_exe().map_err(Fault::system("finding this program"))?;
    let path = own.with_file_name("ringwire");
    if !path.is_file() {
        eprintln!("building the server (cargo build --release -p ringwire)");
        let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["build", "--release", "-p", "ringwire"])
            .current_dir(workspace())
            .status()
            .map_err(Fault::system("starting cargo"))?;
        if !status.success() || !path.is_file() {
            return Err(Fault::Machine(format!("the server does not build into {}", path.display())));
        }
    }
    Ok(path)
}

/// `command`, started by a program that becomes it.
fn behind(program: &[&str], command: &Command) -> Command {
    let mut outer = Command::new(program[0]);
    outer.args(&program[1..]).arg(command.get_program()).args(command.get_args());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => outer.env(key, value),
            None => outer.env_remove(key),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        outer.current_dir(folder);
    }
    outer
}

/// A process under test. Killed when dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: Arc<Mutex<String>>,
    first_line: Arc<Mutex<Option<String>>>,
}

impl Process {
    /// Starts `command`, bound to these processors (to none: free to use all), and keeps what it says.
    ///
    /// # Errors
    /// Where it does not start.
    pub fn start(name: &str, mut command: Command, cpus: &[usize]) -> Result<Self> {
        let program = command.get_program().to_string_lossy().into_owned();
        if !cpus.is_empty() {
            let cpus: Vec<String> = cpus.iter().map(usize::to_string).collect();
            command = behind(&["taskset", "-c", &cpus.join(",")], &command);
        }
        // Whoever kills this program does not leave its servers behind.
        command = behind(&["setpriv", "--pdeathsig", "KILL"], &command);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(Fault::system(format!("starting {program}")))?;
        let log = Arc::new(Mutex::new(String::new()));
        let first_line = Arc::new(Mutex::new(None));
        if let Some(stderr) = child.stderr.take() {
            follow(BufReader::new(stderr), Arc::clone(&log), None);
        }
        if let Some(stdout) = child.stdout.take() {
            follow(BufReader::new(stdout), Arc::clone(&log), Some(Arc::clone(&first_line)));
        }
        Ok(Process { name: name.to_owned(), child, log, first_line })
    }

    /// Its process id (of the program itself: what starts it becomes it).
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its name in messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Says why, if it has ended.
    ///
    /// # Errors
    /// It has ended.
    pub fn check(&mut self) -> Result<()> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => {
                // The last words may still be on their way through the pipe.
                std::thread::sleep(Duration::from_millis(100));
                let log = self.log.lock().map(|log| log.clone()).unwrap_or_default();
                Err(Fault::Server(format!(
                    "{} ended during the run ({status}); its last words:\n{log}",
                    self.name
                )))
            }
            Err(error) => Err(Fault::system(format!("waiting for {}", self.name))(error)),
        }
    }

    /// The same, but gives it `patience` to end.
    ///
    /// # Errors
    /// It has ended.
    pub fn check_for(&mut self, patience: Duration) -> Result<()> {
        let until = Instant::now() + patience;
        while Instant::now() < until {
            self.check()?;
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Waits until `found` finds something in a line of its standard output.
    ///
    /// # Errors
    /// It ends, or takes too long.
    pub fn wait_for_line<T>(&mut self, found: impl Fn(&str) -> Option<T>) -> Result<T> {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(value) = self.line(&found)? {
                return Ok(value);
            }
            if Instant::now() > until {
                return Err(Fault::Server(format!("{} is not ready after {PATIENCE:?}", self.name)));
            }
        }
    }

    /// Looks for something in the lines of its standard output; a moment later if it is not there.
    ///
    /// # Errors
    /// It has ended without.
    pub fn line<T>(&mut self, found: impl Fn(&str) -> Option<T>) -> Result<Option<T>> {
        let look = |output: &Mutex<Option<String>>| {
            let text = output.lock().map(|text| text.clone()).unwrap_or_default().unwrap_or_default();
            text.lines().find_map(&found)
        };
        if let Some(value) = look(&self.first_line) {
            return Ok(Some(value));
        }
        // Whoever ends has said everything by the time that is noticed.
        let ended = self.check();
        let value = look(&self.first_line);
        if value.is_none() {
            ended?;
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(value)
    }

    /// Waits until somebody listens at `address`.
    ///
    /// # Errors
    /// It ends, or takes too long.
    pub fn wait_for_listener(&mut self, address: SocketAddr) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        while std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_err() {
            self.check()?;
            if Instant::now() > until {
                return Err(Fault::Server(format!("{} does not listen at {address}", self.name)));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Workers outlive a master that is killed, and go on holding the port and the processor. All are ours;
        // whoever has ended already, that is what was wanted.
        let family = processor::family(self.child.id());
        let _ = self.child.kill();
        for pid in family.into_iter().skip(1).filter_map(|pid| Pid::from_raw(pid.cast_signed())) {
            let _ = kill_process(pid, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

/// Reads lines for ever, so that the process never writes into a full pipe.
fn follow(
    lines: impl std::io::BufRead + Send + 'static,
    log: Arc<Mutex<String>>,
    all: Option<Arc<Mutex<Option<String>>>>,
) {
    std::thread::spawn(move || {
        for line in lines.lines().map_while(std::io::Result::ok) {
            if let Some(all) = &all
                && let Ok(mut all) = all.lock()
            {
                let text = all.get_or_insert_default();
                if text.len() < LOG_KEPT {
                    text.push_str(&line);
                    text.push('\n');
                }
            }
            if let Ok(mut log) = log.lock() {
                log.push_str(&line);
                log.push('\n');
                if log.len() > 2 * LOG_KEPT {
                    let keep = log.ceil_char_boundary(log.len() - LOG_KEPT);
                    *log = log.split_off(keep);
                }
            }
        }
    });
}

/// How the server is to be started.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The binary.
    pub binary: PathBuf,
    /// uring, epoll or auto.
    pub driver: String,
    /// Threads that serve; 0: its own default.
    pub shards: u16,
    /// Further `--set` assignments.
    pub settings: Vec<String>,
    /// The processors it is bound to; none: all.
    pub cpus: Vec<usize>,
    /// What clients reach it over.
    pub transport: Transport,
}

/// A running Ringwire server with a data directory of its own.
#[derive(Debug)]
pub struct Ringwire {
    /// The process.
    pub process: Process,
    /// Where clients connect.
    pub address: SocketAddr,
    /// How.
    pub way: Way,
    /// Removed when dropped.
    pub data: tempfile::TempDir,
}

impl Ringwire {
    /// Starts the server on a port of the kernel's choice, with an empty data directory in `target`.
    ///
    /// # Errors
    /// Where it does not become ready.
    pub fn start(setup: &Setup) -> Result<Self> {
        let data = tempfile::Builder::new()
            .prefix("ringwire-perf-")
            .tempdir()
            .map_err(Fault::system("making a data directory"))?;
        let mut command = Command::new(&setup.binary);
        command.arg("serve").arg("--data").arg(data.path());
        command.args([
            "--listen",
            "127.0.0.1:0",
            "--plane",
            "127.0.0.1:0",
            "--dev",
            "--driver",
            &setup.driver,
        ]);
        if setup.shards > 0 {
            command.args(["--shards", &setup.shards.to_string()]);
        }
        // Subscribers of a measurement say nothing: heartbeats would be part of the figure. And all come from one address.
        for setting in
            ["sessions.heartbeat=10m", "sessions.idle_timeout=1h", "limits.handshakes=0", "log.level=warn"]
        {
            command.args(["--set", setting]);
        }
        for setting in &setup.settings {
            command.args(["--set", setting]);
        }
        let way = if setup.transport == Transport::Ws {
            Way::Tcp
        } else {
            let certificate = Certificate::make(data.path())?;
            for (name, file) in [
                ("tls.certificate_file", &certificate.certificate_file),
                ("tls.key_file", &certificate.key_file),
            ] {
                command.args(["--set", &format!("{name}={}", file.display())]);
            }
            certificate.way(setup.transport, QUIC_PROTOCOL)?
        };
        let mut process = Process::start("ringwire", command, &setup.cpus)?;
        let address = process.wait_for_line(|line| {
            let url = line.trim().strip_prefix("clients")?.trim();
            url.strip_prefix("ws://").or(url.strip_prefix("wss://"))?.strip_suffix("/v1/ws")?.parse().ok()
        })?;
        Ok(Ringwire { process, address, way, data })
    }

    /// How frames lie on its streams.
    #[must_use]
    pub fn framing(&self) -> Framing {
        match self.way {
            Way::Tcp | Way::Tls(_) => Framing::WebSocket,
            Way::Quic(_) => Framing::Bare,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_end_with_the_process_that_started_them() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 600 & echo worker $!; wait"]);
        let mut process = Process::start("a server with a worker", command, &[]).expect("it starts");
        let worker: u32 = process
            .wait_for_line(|line| line.strip_prefix("worker ")?.parse().ok())
            .expect("it says its worker");
        assert!(processor::family(process.pid()).contains(&worker));
        drop(process);
        let until = Instant::now() + Duration::from_secs(10);
        // Whoever adopts it may take its time to notice that it has ended.
        let lives = || {
            std::fs::read_to_string(format!("/proc/{worker}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
        };
        while lives() {
            assert!(Instant::now() < until, "the worker lives on");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
