//! From a configuration to running shards, and back down in good order.
//!
//! The order matters: keys and address first (cheap to refuse), then the data directory, then threads. The
//! main thread stays behind for signals and for the shards' reports; the plane has a thread of its own.

#![expect(clippy::disallowed_methods, reason = "boot owns threads, randomness and the exit")]

mod banner;
mod checkpoints;
mod clock;
mod control;
mod keys;
mod push;
mod quic;
mod thread;
mod tls;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::{Arc, Barrier};

use ringwire_driver::{affinity, listen};
use ringwire_store::{DiskFiles, Files, RecoverOptions, RecoveryError, Salt};
use tokio::signal::unix::{SignalKind, signal};

use crate::config::Config;
use crate::conversation::Conversations;
use crate::fanout::mesh;
use crate::limits::{RECEIVE_BUFFER_BYTES, RECEIVE_BUFFERS};
use crate::plane::http::admin::AdminKey;
use crate::plane::{self, Plane, Status, exchange, objects};
use crate::session::auth::Authenticator;
use crate::session::{Sessions, Terms};
use crate::shard::Shard;
use crate::site::{Places, Site};
use crate::store::recovery;
use crate::transport::quic::Quic;
use crate::user::Users;
use banner::Served;
use checkpoints::{Checkpoints, Keeping};
use clock::Clock;
use control::{Control, Report};

/// Why the server does not start, or stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// A key is missing, unreadable or unfit.
    #[error("{0}")]
    Key(String),
    /// The address cannot be had.
    #[error(transparent)]
    Listen(#[from] listen::ListenError),
    /// The port of datagrams cannot be had.
    #[error("UDP, for QUIC: {0}; or turn QUIC off with tls.quic=false")]
    Datagrams(listen::ListenError),
    /// The data directory cannot be used.
    #[error(transparent)]
    Data(#[from] ringwire_store::files::OpenError),
    /// What is in it cannot be used.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    /// Media sharing cannot have its store or its spool.
    #[error("{0}; mend it, or turn media sharing off with media.store=off")]
    Media(String),
    /// Shards could not start.
    #[error("shard {shard} cannot start: {error}")]
    Shard {
        /// Which.
        shard: u16,
        /// Why.
        error: String,
    },
    /// The system refused something without which nothing goes.
    #[error("cannot {what}: {error}")]
    System {
        /// What.
        what: &'static str,
        /// Why.
        error: std::io::Error,
    },
}

impl BootError {
    fn system(what: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |error| BootError::System { what, error }
    }
}

/// Most shards there may be: their number travels in letters and file names.
const SHARDS_MAX: u16 = 1024;

/// What is read of files before anything else: cheap to refuse.
struct Credentials {
    authenticator: Authenticator,
    admin_key: Option<AdminKey>,
    keeper: Option<tls::Keeper>,
    push: push::Prepared,
}

impl Credentials {
    fn read(config: &Config, clock: Clock) -> Result<Self, BootError> {
        Ok(Credentials {
            authenticator: keys::authenticator(config)?,
            admin_key: keys::admin_key(config)?,
            keeper: config.tls.as_ref().map(|config| tls::Keeper::open(config, clock)).transpose()?,
            push: push::prepare(config)?,
        })
    }
}

/// Looks at every key and certificate that the configuration names as the start does, and at nothing that a running
/// server has: neither addresses nor the data directory.
///
/// # Errors
/// What the start would say.
pub fn check(config: &Config) -> Result<(), BootError> {
    Credentials::read(config, Clock::start()).map(drop)
}

/// Serves until a signal or a failure ends it.
///
/// # Errors
/// Where it cannot start. Once it serves, a failure ends it with a message and a non-zero code.
pub fn serve(config: Config) -> Result<ExitCode, BootError> {
    let clock = Clock::start();
    let Credentials { authenticator, admin_key, mut keeper, push: pushing } =
        Credentials::read(&config, clock)?;
    let shards = match config.shards {
        0 => u16::try_from(affinity::available()).unwrap_or(1).clamp(1, SHARDS_MAX),
        count => count.min(SHARDS_MAX),
    };
    let options = listen::Options { send_buffer_bytes: config.send_buffer, ..Default::default() };
    let listeners = bind_patiently(config.listen, usize::from(shards), &options)?;
    let address = listeners[0].local_addr().map_err(BootError::system("read the address listened on"))?;
    let operators =
        config.plane.map(|address| bind_patiently(address, 1, &Default::default())).transpose()?;
    let operators = operators.and_then(|listeners| listeners.into_iter().next());
    let operators_address = operators
        .as_ref()
        .map(std::net::TcpListener::local_addr)
        .transpose()
        .map_err(BootError::system("read the address of the operators' port"))?;
    let files: Arc<dyn Files> = Arc::new(DiskFiles::open(&config.data)?);
    let (recovered, report) = recovery::run(
        &files,
        shards,
        ringwire_store::Config { segment_bytes: config.segment, ..Default::default() },
        RecoverOptions { accept_corruption: config.accept_corruption },
        |_| Box::new(random_salt),
    )?;
    tracing::info!(data = %config.data.display(), "{report}");
    let rules = pushing.rules.clone();
    let push = push::open(&config, pushing)?;
    let development = authenticator.development;
    // Without a plane nobody reaches media.
    let media_port = operators_address.filter(|_| config.media.is_some()).map(|address| address.port());
    let plane_tls = keeper.as_ref().filter(|_| config.plane_tls).map(tls::Keeper::offer);
    let is_plane_secure = plane_tls.is_some();
    let certificate = keeper.as_mut().map(|keeper| (keeper.sha256(), keeper.is_development()));
    let pinned = certificate.and_then(|(sha256, made)| made.then_some(sha256));
    let places = Places { media_port, has_media_tls: is_plane_secure, certificate: pinned };
    let terms = Arc::new(Terms {
        authenticator,
        heartbeat_ms: u32::try_from(config.heartbeat.as_millis()).unwrap_or(u32::MAX),
        idle_timeout_s: u32::try_from(config.idle_timeout.as_secs()).unwrap_or(u32::MAX),
        handshake_timeout_s: u32::try_from(config.handshake_timeout.as_secs()).unwrap_or(u32::MAX),
        origins: config.origins.clone(),
        app: config.app.then(|| Site::new(&places)),
        push: rules,
        tls: keeper.as_ref().map(tls::Keeper::offer),
        handshakes: config.handshakes,
        limits: config.limits.clone(),
    });
    // Without a plane nobody reaches it.
    let media = config.media.as_ref().filter(|_| operators.is_some()).map(|media| {
        let now_ms = move || clock.now().unix_ms;
        objects::open(media, terms.authenticator.clone(), terms.origins.clone(), now_ms)
    });
    let media = media.transpose().map_err(BootError::Media)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(BootError::system("start the main thread's runtime"))?;
    let keeping = Keeping { rules: config.retention, sweep: config.retention_sweep, clock };
    let (checkpoints, retirements) = Checkpoints::start(Arc::clone(&files), keeping, shards)
        .map_err(BootError::system("start the checkpoint thread"))?;
    let (control, reports) = Control::new(shards);
    let all_hung = Arc::new(Barrier::new(usize::from(shards)));
    let mut threads = Vec::new();
    let quic = quic::parts(&config, terms.tls.clone(), address, shards, clock)?;
    let has_quic = quic.iter().any(Option::is_some);
    let meshes = mesh::meshes(shards, &config.limits);
    let (outlets, ends) = exchange::exchange(shards);
    for ((((((mesh, outlet), mut recovered), listener), quic), retirements), index) in
        meshes.into_iter().zip(outlets).zip(recovered).zip(listeners).zip(quic).zip(retirements).zip(0..)
    {
        let (datagrams, quic) = quic.unzip();
        recovered.log.notify_seals(checkpoints.on_sealed());
        // Without a plane nobody would take what a shard tells it.
        let outlet = operators.is_some().then_some(outlet);
        let terms = Arc::clone(&terms);
        let plan = thread::Plan {
            index,
            kind: config.driver,
            driver: ringwire_driver::Config {
                listener: Some(listener),
                datagrams,
                connections_max: config.connections_per_shard,
                receive_buffers: RECEIVE_BUFFERS,
                receive_buffer_bytes: RECEIVE_BUFFER_BYTES,
                send_buffer_bytes: config.send_buffer,
                shard: usize::from(index),
                shards: usize::from(shards),
                ..Default::default()
            },
            make: Box::new(move || {
                let limits = terms.limits.clone();
                let conversations =
                    Conversations::new(recovered.states, recovered.amended, recovered.log, limits);
                let active_within = terms.push.active_within;
                // The certificates were made for it, so it does not fail.
                let quic = quic.and_then(|setup| {
                    Quic::new(setup).inspect_err(|error| tracing::error!("no QUIC: {error}")).ok()
                });
                let sessions = Sessions::new(index, terms).with_quic(quic);
                let users = Users::new(recovered.users, active_within).with_memberships(recovered.belongs);
                Shard::new(mesh, sessions, conversations, users)
                    .with_outlet(outlet)
                    .with_retirements(retirements)
            }),
            clock,
            drain: config.drain,
        };
        let (control, all_hung) = (control.clone(), Arc::clone(&all_hung));
        let spawned = std::thread::Builder::new().name(format!("shard-{index}")).spawn(move || {
            let _ending = thread::Ending { shard: index, control: &control };
            thread::run(plan, &control, &all_hung);
        });
        threads.push(spawned.map_err(BootError::system("start a shard's thread"))?);
    }
    let status = Arc::new(Status::new());
    let plane = operators
        .map(|listener| {
            let status = Arc::clone(&status);
            let plan = plane::Plan { listener, tls: plane_tls, ends, status, admin_key, push, media };
            let control = control.clone();
            Plane::start(plan, move |error| control.report(Report::PlaneFailed { error }))
        })
        .transpose()
        .map_err(BootError::system("start the plane's thread"))?;
    let operators = operators_address.map(|address| (address, is_plane_secure));
    let served = Served { address, operators, development, shards, certificate, quic: has_quic };
    let code = runtime.block_on(watch(control, reports, &served, &status, &config, keeper))?;
    for thread in threads {
        if thread.join().is_err() {
            tracing::error!("a shard's thread panicked; its backtrace is above");
        }
    }
    if let Some(plane) = plane {
        plane.finish();
    }
    checkpoints.finish();
    Ok(code)
}

/// How often, and how long apart, an address in use is tried again. The kernel closes the sockets of a killed
/// process that used io_uring a moment after the process is gone, and whoever restarts it should not fail.
const BIND_TRIES: u32 = 20;
const BIND_PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

fn bind_patiently(
    address: SocketAddr,
    shards: usize,
    options: &listen::Options,
) -> Result<Vec<std::net::TcpListener>, listen::ListenError> {
    in_time(|| listen::bind_shards(address, shards, options))
}

/// Binds, again while somebody has the address.
fn in_time<T>(bind: impl Fn() -> Result<T, listen::ListenError>) -> Result<T, listen::ListenError> {
    for _ in 1..BIND_TRIES {
        match bind() {
            Err(listen::ListenError::InUse { .. }) => std::thread::sleep(BIND_PAUSE),
            result => return result,
        }
    }
    bind()
}

/// Waits for the shards, for signals, and for the end.
async fn watch(
    control: Control,
    mut reports: tokio::sync::mpsc::UnboundedReceiver<Report>,
    served: &Served,
    status: &Status,
    config: &Config,
    mut keeper: Option<tls::Keeper>,
) -> Result<ExitCode, BootError> {
    let mut hangup = signal(SignalKind::hangup()).map_err(BootError::system("listen for SIGHUP"))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(BootError::system("listen for SIGTERM"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(BootError::system("listen for SIGINT"))?;
    let mut code = ExitCode::SUCCESS;
    let (mut ready, mut ended) = (0, 0);
    while ended < served.shards {
        tokio::select! {
            report = reports.recv() => match report {
                Some(Report::Ready { driver, fallback }) => {
                    ready += 1;
                    if ready == 1 && let Some(fallback) = &fallback {
                        tracing::warn!("serving with {driver}: {fallback}");
                    }
                    if ready == served.shards {
                        if let Some(bells) = control.bells() {
                            status.set_ready(bells);
                        }
                        banner::print(served, driver, config);
                    }
                }
                Some(Report::StartFailed { shard, error }) => {
                    control.drain();
                    return Err(BootError::Shard { shard, error });
                }
                Some(Report::Failed { shard, error }) => {
                    tracing::error!(shard, "stopping, because a shard has failed: {error}");
                    code = ExitCode::FAILURE;
                    status.set_draining();
                    control.drain();
                }
                Some(Report::PlaneFailed { error }) => {
                    tracing::error!("stopping, because the plane has failed: {error}");
                    code = ExitCode::FAILURE;
                    status.set_draining();
                    control.drain();
                }
                Some(Report::Served { shard, sessions, conversations, driver }) => {
                    tracing::info!(shard, ?sessions, ?conversations, ?driver, "served");
                }
                Some(Report::Ended) => ended += 1,
                None => break,
            },
            _ = hangup.recv() => reload(keeper.as_mut()),
            _ = terminate.recv() => if !stop(&control, status, "SIGTERM") { return Ok(ExitCode::FAILURE) },
            _ = interrupt.recv() => if !stop(&control, status, "SIGINT") { return Ok(ExitCode::FAILURE) },
        }
    }
    Ok(code)
}

/// SIGHUP: reads again what may change while it serves.
fn reload(keeper: Option<&mut tls::Keeper>) {
    let Some(keeper) = keeper else {
        return tracing::info!("SIGHUP: there is no certificate to read again");
    };
    if let Err(error) = keeper.reload() {
        tracing::error!("SIGHUP: new connections get the certificate that they got before: {error}");
    }
}

/// Begins to drain; at the second signal says that it is enough.
fn stop(control: &Control, status: &Status, signal: &str) -> bool {
    if control.is_draining() {
        tracing::warn!("{signal} again: stopping at once");
        std::process::exit(1);
    }
    tracing::info!("{signal}: asking clients to go elsewhere, then stopping");
    status.set_draining();
    control.drain();
    true
}

/// Sixteen bytes from the operating system.
fn random_salt() -> Salt {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the operating system's random source does not fail once it is up");
    Salt(bytes)
}
