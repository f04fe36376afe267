//! `ringwire-sim`: runs simulated worlds, by seed.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use ringwire_sim::{Counts, Options, Plant, run};
use tracing_subscriber::filter::LevelFilter;

/// A world is many small objects.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// Runs simulated worlds and says which promises they break.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    /// Run the world of this seed only.
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// Tell what happens in it.
    #[arg(long, requires = "seed")]
    trace: bool,
    /// How many worlds to run.
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Stop after so many seconds.
    #[arg(long)]
    time: Option<u64>,
    /// Go on after a failure.
    #[arg(long)]
    keep_going: bool,
    /// Put a bug in, to see that it is found.
    #[arg(long)]
    plant: Option<Plant>,
}

#[expect(clippy::disallowed_methods, reason = "people want to know how long it takes; the worlds do not")]
fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // A world that panics is a failure like any other, and is told as one.
    if arguments.seed.is_none() {
        std::panic::set_hook(Box::new(|_| {}));
    }
    if arguments.trace {
        // What the server and the clients have to say, between the lines of the story.
        tracing_subscriber::fmt().without_time().with_max_level(LevelFilter::DEBUG).init();
    }
    let options = Options { plant: arguments.plant, trace: arguments.trace };
    let (from, seeds) = arguments.seed.map_or((arguments.from, arguments.seeds), |seed| (seed, 1));
    let began = Instant::now();
    let (mut told, mut done, mut failed) = (began, 0, 0);
    let mut counts = Counts::default();
    for seed in from..from.saturating_add(seeds) {
        let outcome = run(seed, options);
        done += 1;
        counts.add(&outcome.counts);
        if let Some(violation) = &outcome.violation {
            failed += 1;
            println!("seed {seed} breaks {violation}");
            println!("  again: ringwire-sim --seed {seed} --trace");
        } else if arguments.seed.is_some() {
            println!("seed {seed} keeps every promise; its story is {:016x}", outcome.hash);
            for (of, level, most) in &outcome.levels {
                println!("  {of}: {level} of {most}");
            }
        }
        if told.elapsed() >= TELL_EVERY {
            told = Instant::now();
            println!("{done} worlds, {failed} failed, {:.0} per second", rate(done, began.elapsed()));
        }
        let late = arguments.time.is_some_and(|seconds| began.elapsed() >= Duration::from_secs(seconds));
        if late || (failed > 0 && !arguments.keep_going) {
            break;
        }
    }
    println!("{done} worlds, {failed} failed, {:.0} per second: {counts:?}", rate(done, began.elapsed()));
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn rate(done: u64, in_time: Duration) -> f64 {
    done as f64 / in_time.as_secs_f64()
}
