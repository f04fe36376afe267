//! `ringwire store`: what is on disk, looked at while no server uses it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

/// Look at stored messages while no server uses them.
#[derive(Debug, Args)]
pub(super) struct StoreArgs {
    #[command(subcommand)]
    command: StoreCommand,
}

#[derive(Debug, Subcommand)]
enum StoreCommand {
    /// Read everything and check every checksum, order and index; changes nothing.
    Verify {
        /// Directory of everything durable.
        #[arg(long, value_name = "DIR", default_value = "ringwire-data")]
        data: PathBuf,
    },
}

pub(super) fn run(args: &StoreArgs) -> Result<ExitCode, String> {
    let StoreCommand::Verify { data } = &args.command;
    Err(format!("{}", data.display()))
}
