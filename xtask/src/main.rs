//! The project's own commands: `cargo xtask help`.
//!
//! Everything that continuous integration does is a verb here, so that a person can do it too. What a verb
//! fetches goes into the ignored folder `.tools`, by pinned version, and is named before it is fetched.
//!
//! Deliberately absent: anything the product needs at run time.

#![forbid(unsafe_code)]
#![expect(clippy::disallowed_methods, reason = "this is the tool that runs, times and reads things")]

mod autobahn;
mod bench;
mod codegen;
mod fuzz;
mod gates;
mod process;
mod project;
mod quic;
mod report;
mod suite;
mod tidy;
mod web;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use project::Project;

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "The project's own commands.")]
struct Command {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run every check and every test there is, and say at the end how it went.
    Test(suite::Options),
    /// What `.ci/run` does: `test`, with the lock file as it is and without colours.
    Ci(suite::Options),
    /// Check what the compiler does not: sizes, names, reasons, links.
    Tidy,
    /// Generate the code that comes from the schema.
    Codegen {
        /// Change nothing; fail if the committed code is not what would be generated.
        #[arg(long)]
        check: bool,
    },
    /// Try every interleaving of the ring's two ends.
    Loom,
    /// Simulate whole clusters: `--seed S` replays one world, `--seeds N [--from S]` runs many.
    Sim(PassedOn),
    /// Run fuzz targets: all of them in turn, or one.
    Fuzz(fuzz::Options),
    /// Check the WebSocket side against the Autobahn test suite.
    Autobahn(autobahn::Options),
    /// Measure: `idle`, and what else `cargo xtask bench --help` names.
    Bench(PassedOn),
}

#[derive(Args)]
#[command(disable_help_flag = true)]
struct PassedOn {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

fn main() -> ExitCode {
    match run(Command::parse().verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(verb: Verb) -> Result<(), String> {
    let project = Project::find()?;
    match verb {
        Verb::Test(options) => suite::run(&project, &options),
        Verb::Ci(options) => suite::run(&project, &options.for_ci()),
        Verb::Tidy => tidy::run(&project).and_then(process::Tests::into_result),
        Verb::Codegen { check } => codegen::run(check),
        Verb::Loom => suite::loom(&project).and_then(process::Tests::into_result),
        Verb::Sim(PassedOn { arguments }) => process::run(
            project.cargo().args(["run", "-p", "ringwire-sim", "--release", "--"]).args(arguments),
        ),
        Verb::Fuzz(options) => fuzz::run(&project, &options),
        Verb::Autobahn(options) => autobahn::run(&project, &options),
        Verb::Bench(PassedOn { arguments }) => bench::bench(&project, &arguments),
    }
}
