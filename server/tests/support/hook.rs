//! An operator's backend: takes wake-ups by HTTP and answers as it is told.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::support::PATIENCE;

/// One wake-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Woken {
    pub wake: String,
    pub conversation: String,
    pub sequence: u64,
    pub token: String,
}

/// Takes wake-ups until the test ends.
pub struct Hook {
    pub url: String,
    state: Arc<Mutex<State>>,
}

struct State {
    woken: Vec<Woken>,
    status: u16,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hook {
    /// Answers with 200, until told otherwise.
    pub fn start() -> Hook {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/wake", listener.local_addr().expect("bound"));
        let state = Arc::new(Mutex::new(State { woken: Vec::new(), status: 200 }));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        Hook { url, state }
    }

    /// Answers with this status from now on.
    pub fn answer(&self, status: u16) {
        lock(&self.state).status = status;
    }

    /// What came so far.
    pub fn woken(&self) -> Vec<Woken> {
        lock(&self.state).woken.clone()
    }

    /// What came, once it is so much.
    pub fn wait_for(&self, count: usize) -> Vec<Woken> {
        let until = Instant::now() + PATIENCE;
        loop {
            let woken = self.woken();
            if woken.len() >= count {
                return woken;
            }
            assert!(Instant::now() < until, "{count} wake-ups were to come: {woken:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Requests of one connection, until it ends.
fn serve(stream: TcpStream, state: &Mutex<State>) {
    let mut writer = stream.try_clone().expect("a handle");
    let mut reader = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let json: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        let text = |name: &str| json[name].as_str().expect(name).to_owned();
        let sequence = text("sequence").parse().expect("a number");
        let status = {
            let mut state = lock(state);
            let (wake, conversation, token) = (text("wake"), text("conversation"), text("token"));
            state.woken.push(Woken { wake, conversation, sequence, token });
            state.status
        };
        if write!(writer, "HTTP/1.1 {status} x\r\ncontent-length: 0\r\n\r\n").is_err() {
            return;
        }
    }
}
