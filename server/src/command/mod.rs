//! The command line. `serve` is the default: plain `ringwire` starts a server.

pub mod chat;
mod config;
mod dead_letters;
mod serve;
mod store;
mod token;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Real-time messaging edge server: chat, presence and live events in one binary.
#[derive(Debug, Parser)]
#[command(name = "ringwire", version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serve::ServeArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve clients (the default).
    Serve(serve::ServeArgs),
    /// Chat in a room, on a terminal or in a script.
    Chat(chat::ChatArgs),
    /// Sign a token for a user.
    Token(token::TokenArgs),
    /// Look at stored messages while no server uses them.
    Store(store::StoreArgs),
    /// Look at pushes that were given up, push them again, or throw them away.
    DeadLetters(dead_letters::DeadLettersArgs),
    /// Check or document the configuration.
    Config(config::ConfigArgs),
}

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.command {
        None => serve::run(&arguments.serve),
        Some(Command::Serve(args)) => serve::run(&args),
        Some(Command::Chat(args)) => chat::run(args).map_err(|error| error.to_string()),
        Some(Command::Token(args)) => token::run(&args),
        Some(Command::Store(args)) => store::run(&args),
        Some(Command::DeadLetters(args)) => dead_letters::run(&args),
        Some(Command::Config(args)) => config::run(&args),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("ringwire: {error}");
            ExitCode::FAILURE
        }
    }
}
