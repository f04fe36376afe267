//! A path for datagrams between a client and the server: slow, leaky or cut, and what first came over it is kept.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::{sleep_until, timeout};

/// Datagrams, each with when it is due.
type Queue = UnboundedSender<(Instant, Vec<u8>)>;

const LOCAL: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

/// What a client sends before anything comes back.
#[derive(Clone)]
pub struct Flight {
    pub began: Instant,
    pub datagrams: Vec<Vec<u8>>,
    is_answered: bool,
}

impl Flight {
    fn keep(&mut self, datagram: &[u8]) {
        if !self.is_answered {
            self.datagrams.push(datagram.to_vec());
        }
    }
}

struct State {
    delay: Duration,
    lost_per_cent: u64,
    random: u64,
    /// Of each address that a client has had, in the order of their first datagrams.
    flights: Vec<Flight>,
}

/// See the module.
#[derive(Clone)]
pub struct Path {
    /// Where clients find the server.
    pub address: SocketAddr,
    server: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Path {
    /// To that server; each way takes so long.
    pub async fn lay(server: SocketAddr, delay: Duration) -> Path {
        let socket = Arc::new(UdpSocket::bind(LOCAL).await.unwrap());
        let state = State { delay, lost_per_cent: 0, random: 0x9E37_79B9_7F4A_7C15, flights: Vec::new() };
        let address = socket.local_addr().unwrap();
        let path = Path { address, server, state: Arc::new(Mutex::new(state)) };
        tokio::spawn(path.clone().carry(socket));
        path
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Loses so many of a hundred from now on, each way; 100 cuts it.
    pub fn lose(&self, per_cent: u64) {
        self.state().lost_per_cent = per_cent;
    }

    /// The latest client's first flight.
    pub fn last_flight(&self) -> Flight {
        self.state().flights.last().expect("a client has come").clone()
    }

    /// When what is sent now arrives; `None`: never.
    fn arrival(&self) -> Option<Instant> {
        let mut state = self.state();
        state.random ^= state.random << 13;
        state.random ^= state.random >> 7;
        state.random ^= state.random << 17;
        (state.random % 100 >= state.lost_per_cent).then(|| Instant::now() + state.delay)
    }

    async fn carry(self, socket: Arc<UdpSocket>) {
        let mut clients = HashMap::new();
        let mut buffer = vec![0; 1 << 16];
        while let Ok((bytes, client)) = socket.recv_from(&mut buffer).await {
            let (up, nth) = match clients.entry(client) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(self.begin(&socket, client).await),
            };
            let bytes = buffer[..bytes].to_vec();
            self.state().flights[*nth].keep(&bytes);
            if let Some(at) = self.arrival() {
                let _ = up.send((at, bytes));
            }
        }
    }

    /// Somebody new has come: how to send for it, and which one it is.
    async fn begin(&self, near: &Arc<UdpSocket>, client: SocketAddr) -> (Queue, usize) {
        let flight = Flight { began: Instant::now(), datagrams: Vec::new(), is_answered: false };
        let nth = self.state().flights.len();
        self.state().flights.push(flight);
        let far = Arc::new(UdpSocket::bind(LOCAL).await.unwrap());
        far.connect(self.server).await.unwrap();
        let up = queue(Arc::clone(&far), self.server);
        tokio::spawn(self.clone().carry_back(far, queue(Arc::clone(near), client), nth));
        (up, nth)
    }

    async fn carry_back(self, far: Arc<UdpSocket>, down: Queue, nth: usize) {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(bytes) = far.recv(&mut buffer).await {
            self.state().flights[nth].is_answered = true;
            if let Some(at) = self.arrival() {
                let _ = down.send((at, buffer[..bytes].to_vec()));
            }
        }
    }

    /// Sends a flight again, as somebody who has seen it may; how many datagrams the server answers with.
    pub async fn replay(&self, flight: &Flight) -> usize {
        let socket = UdpSocket::bind(LOCAL).await.unwrap();
        for datagram in &flight.datagrams {
            socket.send_to(datagram, self.server).await.unwrap();
        }
        let (mut answers, mut buffer) = (0, vec![0; 1 << 16]);
        while timeout(Duration::from_millis(500), socket.recv(&mut buffer)).await.is_ok() {
            answers += 1;
        }
        answers
    }
}

/// Sends datagrams when they are due, one behind the other.
fn queue(socket: Arc<UdpSocket>, to: SocketAddr) -> Queue {
    let (put, mut take) = unbounded_channel::<(Instant, Vec<u8>)>();
    tokio::spawn(async move {
        while let Some((at, bytes)) = take.recv().await {
            sleep_until(at.into()).await;
            // A client may be gone; its socket is.
            let _ = socket.send_to(&bytes, to).await;
        }
    });
    put
}
