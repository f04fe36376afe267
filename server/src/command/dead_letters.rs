//! `ringwire dead-letters`: pushes that a running server gave up, over its operators' port.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use reqwest::{Client, Method};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Look at pushes that were given up, push them again, or throw them away.
#[derive(Debug, Args)]
pub(super) struct DeadLettersArgs {
    #[command(subcommand)]
    command: DeadLettersCommand,
    /// The running server's operators' port: https:// where the server has a certificate.
    #[arg(long, global = true, value_name = "URL", default_value = "http://127.0.0.1:7401")]
    plane: String,
    /// Believe the server whose certificate has this SHA-256 (hexadecimal or base64), which its start prints, and no
    /// other: on this machine, whose name is not the one in the certificate.
    #[arg(long, global = true, value_name = "HASH", value_parser = super::chat::pin)]
    pin: Option<[u8; 32]>,
    /// The file that the server's plane.admin_key_file names.
    #[arg(long, global = true, value_name = "FILE", env = "RINGWIRE_PLANE_ADMIN_KEY_FILE")]
    key_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum DeadLettersCommand {
    /// List them, the oldest first: number, provider, tries, what the last answer was.
    List,
    /// Push one again, or all.
    Replay {
        /// Its number; all, where it is left out.
        id: Option<u64>,
    },
    /// Throw one away, or all.
    Forget {
        /// Its number.
        #[arg(required_unless_present = "all")]
        id: Option<u64>,
        /// All of them.
        #[arg(long, conflicts_with = "id")]
        all: bool,
    },
}

#[derive(Deserialize)]
struct List {
    dead_letters: Vec<Shown>,
    after: Option<u64>,
}

#[derive(Deserialize)]
struct Shown {
    id: u64,
    provider: String,
    attempts: u32,
    why: String,
    user: String,
    conversation: String,
    sequence: u64,
}

#[derive(Deserialize)]
struct Changed {
    changed: usize,
}

/// The whole exchange may take so long.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn run(args: &DeadLettersArgs) -> Result<ExitCode, String> {
    let Some(key_file) = &args.key_file else {
        return Err("--key-file is needed: the file that the server's plane.admin_key_file names".into());
    };
    let key = read_key(key_file)?;
    // The port is on this machine or its network: a proxy for the outside does not lead there.
    let mut client = Client::builder().timeout(PATIENCE).no_proxy();
    if let Some(sha256) = args.pin {
        let tls = ringwire_client::pinned_tls(sha256).map_err(|error| error.to_string())?;
        client = client.tls_backend_preconfigured(tls);
    }
    let client = client.build().map_err(|error| format!("cannot make an HTTP client: {error:?}"))?;
    let plane = Plane { client, url: args.plane.trim_end_matches('/').to_owned(), key };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start a runtime: {error}"))?;
    runtime.block_on(plane.carry_out(&args.command))?;
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::disallowed_methods, reason = "a command reads its own files")]
fn read_key(path: &PathBuf) -> Result<String, String> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|error| format!("--key-file: cannot read {}: {error}", path.display()))?;
    Ok(text.trim().to_owned())
}

/// A running server's operators' port.
struct Plane {
    client: Client,
    url: String,
    key: String,
}

impl Plane {
    async fn carry_out(&self, command: &DeadLettersCommand) -> Result<(), String> {
        let (method, path, verb) = match command {
            DeadLettersCommand::List => return self.list().await,
            DeadLettersCommand::Replay { id: Some(id) } => {
                (Method::POST, format!("/{id}/replay"), "replayed")
            }
            DeadLettersCommand::Replay { id: None } => (Method::POST, "/replay".to_owned(), "replayed"),
            DeadLettersCommand::Forget { id: Some(id), .. } => {
                (Method::DELETE, format!("/{id}"), "forgotten")
            }
            DeadLettersCommand::Forget { .. } => (Method::DELETE, String::new(), "forgotten"),
        };
        let Changed { changed } = self.ask(method, &path).await?;
        println!("{changed} {verb}");
        Ok(())
    }

    async fn list(&self) -> Result<(), String> {
        let mut path = String::new();
        loop {
            let page: List = self.ask(Method::GET, &path).await?;
            for Shown { id, provider, attempts, why, user, conversation, sequence } in &page.dead_letters {
                println!("{id}\t{provider}\t{attempts} tries\t{why}\tuser {user}\t{conversation} {sequence}");
            }
            let Some(after) = page.after else { return Ok(()) };
            path = format!("?after={after}");
        }
    }

    async fn ask<T: DeserializeOwned>(&self, method: Method, path: &str) -> Result<T, String> {
        let url = format!("{}/admin/dead-letters{path}", self.url);
        let lost = |error: reqwest::Error| {
            let (mut said, mut cause) = (error.to_string(), std::error::Error::source(&error));
            while let Some(inner) = cause {
                said = format!("{said}: {inner}");
                cause = inner.source();
            }
            format!("{said}; is the server there, and its certificate believed? see --plane and --pin")
        };
        let response = self.client.request(method, &url).bearer_auth(&self.key).send().await.map_err(lost)?;
        let status = response.status();
        let body = response.bytes().await.map_err(lost)?;
        if !status.is_success() {
            let said: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
            let said = said["detail"].as_str().unwrap_or("no reason was given");
            return Err(format!("{url} answers {status}: {said}"));
        }
        serde_json::from_slice(&body).map_err(|error| format!("{url} answers what is no list: {error}"))
    }
}
