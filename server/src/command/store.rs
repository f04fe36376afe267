//! `ringwire store`: what is on disk, looked at while no server uses it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use ringwire_store::{DiskFiles, Severity, verify};

use crate::store::KeyFold;

/// Look at stored messages while no server uses them.
#[derive(Debug, Args)]
pub(super) struct StoreArgs {
    #[command(subcommand)]
    command: StoreCommand,
}

#[derive(Debug, Subcommand)]
enum StoreCommand {
    /// Read everything and check every checksum, order and index; changes nothing. Exits with 1 where
    /// anything durable is damaged.
    Verify {
        /// Directory of everything durable.
        #[arg(long, value_name = "DIR", default_value = "ringwire-data")]
        data: PathBuf,
    },
}

pub(super) fn run(args: &StoreArgs) -> Result<ExitCode, String> {
    let StoreCommand::Verify { data } = &args.command;
    if !data.join(ringwire_store::JOURNAL).is_dir() {
        return Err(format!(
            "{} is not a data directory: it has no journal folder; see --data",
            data.display()
        ));
    }
    let files = DiskFiles::open(data).map_err(|error| error.to_string())?;
    let report = verify(&files, &KeyFold).map_err(|error| error.to_string())?;
    println!("{report}");
    match report.verdict() {
        Some(Severity::Corrupt) => Ok(ExitCode::FAILURE),
        _ => Ok(ExitCode::SUCCESS),
    }
}
