//! `ringwire config`.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::serve::{ServeArgs, configuration, log_to_stderr};
use crate::boot;
use crate::config::{default_toml, documentation};

/// Check or document the configuration.
#[derive(Debug, Args)]
pub(super) struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Say whether a server would start with these settings, the keys and certificates that they name included, and
    /// what they come to.
    Check(ServeArgs),
    /// Print a configuration file with every setting and its default.
    Default,
    /// Print a table of all settings.
    Doc,
}

pub(super) fn run(args: &ConfigArgs) -> Result<ExitCode, String> {
    match &args.command {
        ConfigCommand::Check(args) => {
            let config = configuration(args).map_err(|fault| fault.to_string())?;
            log_to_stderr(&config)?;
            boot::check(&config).map_err(|error| error.to_string())?;
            println!("the configuration is valid: {config:#?}");
        }
        ConfigCommand::Default => print!("{}", default_toml()),
        ConfigCommand::Doc => print!("{}", documentation()),
    }
    Ok(ExitCode::SUCCESS)
}
