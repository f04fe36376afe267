//! `ringwire serve`.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use tracing_subscriber::EnvFilter;

use crate::boot;
use crate::config::{Config, ConfigFault, Values};

/// The settings that deserve a flag of their own; every other goes by `--set`.
#[derive(Debug, Default, Args)]
pub(super) struct ServeArgs {
    /// TOML file with settings; `ringwire config default` prints one.
    #[arg(long, value_name = "FILE", env = "RINGWIRE_CONFIG")]
    config: Option<PathBuf>,
    /// Address of WebSocket connections [default: 127.0.0.1:7400].
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Address of the operators' HTTP, or off [default: 127.0.0.1:7401].
    #[arg(long, value_name = "ADDRESS")]
    plane: Option<String>,
    /// Directory of everything durable [default: ringwire-data].
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// Threads that serve; 0: one per processor.
    #[arg(long, value_name = "N")]
    shards: Option<String>,
    /// auto, uring or epoll.
    #[arg(long, value_name = "DRIVER")]
    driver: Option<String>,
    /// Accept development tokens (dev:NAME); loopback only.
    #[arg(long)]
    dev: bool,
    /// Speak TLS with a certificate for localhost, made now and kept in memory; prints its SHA-256 hash.
    #[arg(long)]
    tls_dev: bool,
    /// Any setting, such as `--set store.segment="16 MiB"`; may be repeated.
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    set: Vec<String>,
}

/// Reads all sources, the strongest last.
#[expect(clippy::disallowed_methods, reason = "the configuration is read once, before a shard runs")]
pub(super) fn configuration(args: &ServeArgs) -> Result<Config, ConfigFault> {
    let fault = |place: &str, what: String| ConfigFault { place: place.to_owned(), what };
    let mut values = Values::default();
    if let Some(path) = &args.config {
        let place = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|error| fault(&place, format!("cannot read this configuration: {error}")))?;
        values.read_toml(&text, &place)?;
    }
    values.read_environment(std::env::vars())?;
    for assignment in &args.set {
        let (name, text) = assignment.split_once('=').ok_or_else(|| {
            fault("--set", format!("\"{assignment}\" is not of the form section.key=value"))
        })?;
        values.set(name.trim(), text, "--set")?;
    }
    let flags = [
        ("serve.listen", "--listen", &args.listen),
        ("serve.plane", "--plane", &args.plane),
        ("serve.data", "--data", &args.data),
        ("serve.shards", "--shards", &args.shards),
        ("serve.driver", "--driver", &args.driver),
    ];
    for (name, flag, text) in flags {
        if let Some(text) = text {
            values.set(name, text, flag)?;
        }
    }
    if args.dev {
        values.set("auth.dev", "true", "--dev")?;
    }
    if args.tls_dev {
        values.set("tls.dev", "true", "--tls-dev")?;
    }
    Config::from_values(&values)
}

pub(super) fn run(args: &ServeArgs) -> Result<ExitCode, String> {
    let config = configuration(args).map_err(|fault| fault.to_string())?;
    log_to_stderr(&config)?;
    boot::serve(config).map_err(|error| error.to_string())
}

/// From here on what is logged is seen.
pub(super) fn log_to_stderr(config: &Config) -> Result<(), String> {
    let filter = EnvFilter::try_new(&config.log)
        .map_err(|error| format!("log.level: \"{}\" is no filter: {error}", config.log))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    Ok(())
}
