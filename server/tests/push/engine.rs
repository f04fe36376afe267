//! Push as the plane runs it, with this test in the place of the shards.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use ringwire::plane::exchange::{Letter, Outlet, Shards, Wake, exchange};
use ringwire::plane::push::target::{Registered, Target};
use ringwire::plane::push::{self, Carriers, Client, Pace, Plan, Push, QueueFile};
use ringwire_protocol::id::{ConversationId, UserId};
use ringwire_protocol::message::Provider;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::service::{PATIENCE, Service};

/// Runs a test where push can run.
pub fn run(test: impl AsyncFnOnce()) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(tokio::task::LocalSet::new().run_until(test()));
}

/// A client that trusts the service, with little patience.
pub fn client(service: &Service) -> Client {
    let roots = Client::roots(service.root_pem.as_bytes()).expect("a certificate");
    Client::new(Duration::from_secs(2), roots).expect("a client")
}

/// Push, running.
pub struct Engine {
    pub push: Push,
    pub outlet: Outlet,
    /// Wakes nobody, and is asked for by whoever asks a shard.
    _driver: ringwire_driver::AnyDriver,
    stop: oneshot::Sender<()>,
    work: JoinHandle<std::io::Result<()>>,
}

impl Engine {
    /// Starts it with the queue in `data`.
    pub fn start(data: &Path, carriers: Carriers) -> Engine {
        Engine::start_with(data, carriers, Pace { concurrency: 4, attempts_max: 4 })
    }

    pub fn start_with(data: &Path, carriers: Carriers, pace: Pace) -> Engine {
        use ringwire_driver::Driver;
        let (mut outlets, ends) = exchange(1);
        let config = ringwire_driver::Config { connections_max: 1, ..Default::default() };
        let driver = ringwire_driver::open(ringwire_driver::Kind::Epoll, config).expect("epoll").driver;
        let bells = Arc::new(OnceLock::new());
        bells.set(vec![driver.bell()]).expect("set once");
        let opened = QueueFile::open(&push::queue_path(data)).expect("a queue");
        let (push, work) = push::start(Plan { opened, carriers, pace }, Shards::new(ends, bells));
        let (stop, stopped) = oneshot::channel::<()>();
        let work = tokio::task::spawn_local(work.run(async { drop(stopped.await) }));
        Engine { push, outlet: outlets.remove(0), _driver: driver, stop, work }
    }

    /// As the end of a shard's turn does.
    pub fn tell(&mut self, letter: Letter) {
        self.outlet.tell(letter);
        self.outlet.flush();
    }

    pub fn wake(&mut self, user: &str, room: &str, sequence: u64, targets: &[Target]) {
        let devices =
            targets.iter().zip(0..).map(|(target, device)| Registered { device, target: target.clone() });
        self.tell(Letter::Wake(Wake {
            user: UserId::from_name(user),
            conversation: ConversationId::from_name(room),
            sequence,
            devices: devices.collect(),
        }));
    }

    pub fn back(&mut self, user: &str) {
        self.tell(Letter::Back { user: UserId::from_name(user) });
    }

    pub async fn until(&self, what: &str, is_so: impl Fn(&Push) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !is_so(&self.push) {
            assert!(Instant::now() < until, "it never came to: {what}; {:?}", self.push.counters());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub async fn until_empty(&self) {
        self.until("an empty queue", |push| push.levels().0 == 0).await;
    }

    /// In good order.
    pub async fn stop(self) {
        self.stop.send(()).expect("it runs");
        self.work.await.expect("no panic").expect("a sound disk");
    }

    /// As a kill does: whatever is not on the disk is gone.
    pub async fn kill(self) {
        self.work.abort();
        let _ = self.work.await;
    }
}

pub fn target(provider: Provider, token: &str) -> Target {
    Target { provider, token: token.into(), app: "".into(), key: Box::default(), secret: Box::default() }
}
