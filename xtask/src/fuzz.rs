//! `cargo xtask fuzz`: cargo-fuzz on the stable compiler.

use clap::Args;

use crate::process;
use crate::project::Project;

/// Fetched if `.tools` does not have it; cargo checks the hashes that its lock file and the registry name.
const CARGO_FUZZ: &str = "0.13.2";

/// The target that must crash: it shows that a crash is seen.
const CANARY: &str = "canary";

#[derive(Args)]
pub(crate) struct Options {
    /// One target (a file of fuzz/fuzz_targets, without .rs) instead of all.
    target: Option<String>,
    /// How long each target runs.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
}

/// Runs the targets; the canary must crash, the others must not.
pub(crate) fn run(project: &Project, options: &Options) -> Result<(), String> {
    let targets = match &options.target {
        Some(target) => vec![target.clone()],
        None => targets(project)?,
    };
    let path = install(project)?;
    for target in targets {
        println!("==> fuzz {target}, {} s", options.seconds);
        let fuzz = |verb| {
            let mut cargo = project.cargo();
            cargo.env("PATH", &path).env("RUSTC_BOOTSTRAP", "1").args(["fuzz", verb, &target]);
            cargo
        };
        // Apart, so that a target that does not build is not taken for one that crashed.
        process::run(&mut fuzz("build"))?;
        // Long inputs from the start: many are scripts of steps, and most need several to come anywhere.
        let run_args = [format!("-max_total_time={}", options.seconds), "-len_control=0".to_owned()];
        let result = process::run(fuzz("run").arg("--").args(run_args));
        match (target == CANARY, result) {
            (true, Ok(())) => return Err("the canary did not crash: this fuzzing finds nothing".to_owned()),
            (true, Err(_)) => println!("the canary crashed, as it must"),
            (false, result) => result?,
        }
    }
    Ok(())
}

fn targets(project: &Project) -> Result<Vec<String>, String> {
    let folder = project.root.join("fuzz/fuzz_targets");
    let entries = std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".rs").map(str::to_owned))
        .collect();
    names.sort();
    if names.is_empty() { Err(format!("{} has no targets", folder.display())) } else { Ok(names) }
}

/// Makes sure of cargo-fuzz and gives the PATH that finds it.
fn install(project: &Project) -> Result<std::ffi::OsString, String> {
    let root = project.tools.join(format!("cargo-fuzz-{CARGO_FUZZ}"));
    if !root.join("bin/cargo-fuzz").exists() {
        println!(
            "fetching and building cargo-fuzz {CARGO_FUZZ} from the crate registry into {}",
            root.display()
        );
        let mut cargo = project.cargo();
        cargo.args(["install", "--locked", "cargo-fuzz", "--version", CARGO_FUZZ, "--root"]).arg(&root);
        process::run(&mut cargo)?;
    }
    let old = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(root.join("bin")).chain(std::env::split_paths(&old));
    std::env::join_paths(folders).map_err(|error| format!("PATH: {error}"))
}
