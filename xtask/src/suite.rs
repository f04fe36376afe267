//! `cargo xtask test`: everything, cheap checks first.
//!
//! All steps share one target folder and the dev profile (which optimises a little), so that the workspace
//! is built twice in all: once for clippy's eyes, once to run. Loom has a folder of its own, because its
//! flags would invalidate everything else, and the gates build their loops as people run the server.

use clap::Args;

use crate::process::{self, Tests, run_tests};
use crate::project::Project;
use crate::report::{Outcome, Report, Verdict};
use crate::{autobahn, codegen, gates, quic, tidy, web};

/// Simulated worlds in `cargo xtask test`; `cargo xtask sim --seeds N` is for more.
const SEEDS: u64 = 200;

#[derive(Args, Clone)]
pub(crate) struct Options {
    /// Run this step only (may be given several times).
    #[arg(long, value_name = "STEP")]
    only: Vec<String>,
    /// Leave this step out (may be given several times).
    #[arg(long, value_name = "STEP")]
    skip: Vec<String>,
    /// How many worlds the simulation tries.
    #[arg(long, default_value_t = SEEDS)]
    seeds: u64,
    /// Refuse to change Cargo.lock.
    #[arg(long)]
    locked: bool,
}

impl Options {
    /// The same, the way a machine runs it.
    pub(crate) fn for_ci(&self) -> Self {
        Self { locked: true, ..self.clone() }
    }

    fn locked(&self) -> &[&str] {
        if self.locked { &["--locked"] } else { &[] }
    }

    fn wants(&self, name: &str) -> bool {
        let named = |list: &[String]| list.iter().any(|other| other == name);
        (self.only.is_empty() || named(&self.only)) && !named(&self.skip)
    }
}

type Step = (&'static str, &'static str, fn(&Project, &Options) -> Outcome);

const STEPS: &[Step] = &[
    ("format", "cargo fmt --check", format),
    ("tidy", "what the compiler does not check", |project, _| tidy::run(project).map(Verdict::Ran)),
    ("codegen", "the committed code is what the schema generates", |_, _| one(codegen::run(true))),
    ("clippy", "the whole workspace, warnings are errors", clippy),
    ("docs", "documentation without broken links", documentation),
    ("tests", "unit, integration and documentation tests", workspace_tests),
    ("loom", "every interleaving of a ring's two ends", |project, _| loom(project).map(Verdict::Ran)),
    ("sim", "simulated worlds, by seed", sim),
    ("gates", "instructions of hot loops, against what is on file", |project, options| {
        gates::run(project, options.locked())
    }),
    ("autobahn-epoll", "WebSocket conformance, core cases, epoll driver", |project, _| {
        autobahn::core(project, autobahn::Driver::Epoll)
    }),
    ("autobahn-uring", "WebSocket conformance, core cases, io_uring driver", |project, _| {
        autobahn::core(project, autobahn::Driver::Uring)
    }),
    (
        "quic",
        "aioquic and quiche, which share no code with ours, with the real server",
        |project, options| quic::independent(project, options.locked()),
    ),
    ("web", "the client for browsers and the chat app: types, size, unit tests", |project, _| {
        web::sources(project)
    }),
    (
        "conformance",
        "what every client does, with the client for browsers and the real server",
        |project, options| web::conformance(project, options.locked()),
    ),
    ("browser", "people in browsers, with the real server", |project, options| {
        web::browser(project, options.locked())
    }),
];

/// Runs the steps that are wanted; an error if any failed.
pub(crate) fn run(project: &Project, options: &Options) -> Result<(), String> {
    let known = |name: &String| STEPS.iter().any(|(step, ..)| step == name);
    if let Some(unknown) = options.only.iter().chain(&options.skip).find(|name| !known(name)) {
        let names: Vec<_> = STEPS.iter().map(|(name, ..)| *name).collect();
        return Err(format!("there is no step \"{unknown}\"; there are {}", names.join(", ")));
    }
    let mut report = Report::default();
    for (name, about, step) in STEPS.iter().filter(|(name, ..)| options.wants(name)) {
        report.step(name, about, || step(project, options));
    }
    report.finish()
}

/// A step without tests to count: it is one itself.
fn one(result: Result<(), String>) -> Outcome {
    result.map(|()| Verdict::Ran(Tests::one()))
}

fn format(project: &Project, _: &Options) -> Outcome {
    if !project.has_component("fmt") {
        return Ok(Verdict::Skipped("rustfmt is not installed (rustup component add rustfmt)".to_owned()));
    }
    one(process::run(project.cargo().args(["fmt", "--all", "--check"])))
}

fn clippy(project: &Project, options: &Options) -> Outcome {
    if !project.has_component("clippy") {
        return Ok(Verdict::Skipped("clippy is not installed (rustup component add clippy)".to_owned()));
    }
    let mut cargo = project.cargo();
    cargo
        .args(["clippy", "--workspace", "--all-targets"])
        .args(options.locked())
        .args(["--", "-D", "warnings"]);
    one(process::run(&mut cargo))
}

/// Libraries only: a binary of the same name would write to the same folder.
fn documentation(project: &Project, options: &Options) -> Outcome {
    let mut cargo = project.cargo();
    cargo.args(["doc", "--workspace", "--no-deps", "--lib", "--keep-going"]).args(options.locked());
    one(process::run(cargo.env("RUSTDOCFLAGS", "-D warnings")))
}

fn workspace_tests(project: &Project, options: &Options) -> Outcome {
    let mut cargo = project.cargo();
    cargo.args(["test", "--workspace", "--no-fail-fast"]).args(options.locked());
    run_tests(&mut cargo).map(Verdict::Ran)
}

/// The ring's loom tests, under flags of their own.
pub(crate) fn loom(project: &Project) -> Result<Tests, String> {
    let mut flags = std::env::var("RUSTFLAGS").unwrap_or_default();
    flags.push_str(" --cfg loom");
    let mut cargo = project.cargo();
    cargo.args(["test", "-p", "ringwire-ring", "--lib"]);
    cargo.env("RUSTFLAGS", flags.trim()).env("CARGO_TARGET_DIR", project.target.join("loom"));
    // A planted bug is found by a panic; its backtrace would be hundreds of lines about nothing.
    cargo.env("RUST_BACKTRACE", "0");
    run_tests(&mut cargo)
}

/// Bugs that are put in on purpose first, with the feature that compiles them in, so that a checker that finds nothing
/// is not believed; then worlds without any.
fn sim(project: &Project, options: &Options) -> Outcome {
    let mut planted = project.cargo();
    planted.args(["test", "-p", "ringwire-sim", "--features", "planted-bugs", "--test", "planted"]);
    process::run(planted.args(options.locked()))?;
    let mut cargo = project.cargo();
    cargo.args(["run", "-p", "ringwire-sim"]).args(options.locked());
    cargo.args(["--", "--seeds", &options.seeds.to_string()]);
    one(process::run(&mut cargo))
}
