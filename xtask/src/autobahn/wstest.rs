//! The test suite itself: finding a Python 2.7, installing the pinned distributions, running the client.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::json;

use super::Cases;
use crate::process::run as run_command;
use crate::project::Project;

/// What is installed, by version and hash; `build` first, because it builds the others.
const BUILD: &str = "perf/autobahn/build.txt";
const REQUIREMENTS: &str = "perf/autobahn/requirements.txt";

/// The suite's own entry point, with its folder as the first argument.
const START: &str = "import site, sys; site.addsitedir(sys.argv[1]); \
    sys.argv = ['wstest', '-m', 'fuzzingclient', '-s', sys.argv[2]]; \
    from autobahntestsuite import wstest; wstest.run()";

/// An interpreter and the folder with the suite.
pub(super) struct Python {
    interpreter: PathBuf,
    site: PathBuf,
}

/// Finds the interpreter and makes sure of the suite.
pub(super) fn install(project: &Project) -> Result<Python, String> {
    let interpreter = find_python()?;
    let folder = project.tools.join("autobahn");
    let python = Python { interpreter, site: folder.join("site") };
    let wanted = project.read(BUILD)? + &project.read(REQUIREMENTS)?;
    // Written last, so that a half-finished installation is done again.
    let done = folder.join("installed.txt");
    if fs::read_to_string(&done).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    if cfg!(not(all(target_os = "linux", target_arch = "x86_64"))) {
        return Err("the Autobahn suite is pinned for Linux on x86-64 only (perf/autobahn)".to_owned());
    }
    println!("fetching the Autobahn test suite from the Python package index into {}", folder.display());
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|error| format!("removing {}: {error}", folder.display()))?;
    }
    let build = folder.join("build");
    for (requirements, target) in [(BUILD, &build), (REQUIREMENTS, &python.site)] {
        let mut pip = project.command(&python.interpreter);
        pip.args(["-m", "pip", "--quiet", "--disable-pip-version-check", "install"]);
        pip.args(["--require-hashes", "--no-deps", "--no-build-isolation", "--target"]).arg(target);
        pip.args(["-r", requirements]).env("PYTHONPATH", &build).env("PYTHONWARNINGS", "ignore");
        run_command(&mut pip)?;
    }
    fs::write(&done, wanted).map_err(|error| format!("writing {}: {error}", done.display()))?;
    Ok(python)
}

/// The first interpreter that says it is CPython 2.7 and has pip.
fn find_python() -> Result<PathBuf, String> {
    let mut candidates: Vec<PathBuf> =
        std::env::var_os("RINGWIRE_PYTHON27").map(PathBuf::from).into_iter().collect();
    candidates.extend(["python2.7".into(), "python2".into()]);
    let pyenv = std::env::var_os("PYENV_ROOT").map(PathBuf::from);
    let pyenv = pyenv.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".pyenv")));
    if let Some(versions) = pyenv.and_then(|root| fs::read_dir(root.join("versions")).ok()) {
        let mut found: Vec<_> = versions.filter_map(|entry| Some(entry.ok()?.path())).collect();
        found.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("2.7")));
        found.sort();
        candidates.extend(found.into_iter().rev().map(|path| path.join("bin/python2.7")));
    }
    let works = |python: &PathBuf| {
        let script = "import sys, platform, pip; \
            sys.exit(0 if sys.version_info[:2] == (2, 7) and platform.python_implementation() == 'CPython' else 1)";
        let asked =
            Command::new(python).args(["-c", script]).stdout(Stdio::null()).stderr(Stdio::null()).status();
        asked.is_ok_and(|status| status.success())
    };
    candidates.into_iter().find(works).ok_or_else(|| {
        "the Autobahn suite runs on CPython 2.7 with pip, and none was found; install one \
         (`pyenv install 2.7.18`, or a distribution's python2.7 and its pip) or name it in RINGWIRE_PYTHON27; \
         or leave these steps out (--skip autobahn-epoll --skip autobahn-uring)"
            .to_owned()
    })
}

/// Runs the fuzzing client against a server; the path of its `index.json`.
pub(super) fn run(
    python: &Python,
    folder: &Path,
    agent: &str,
    address: &str,
    cases: Cases,
) -> Result<PathBuf, String> {
    // What an earlier run left must not be taken for this one's.
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(|error| format!("removing {}: {error}", folder.display()))?;
    }
    fs::create_dir_all(folder).map_err(|error| format!("creating {}: {error}", folder.display()))?;
    let specification = json!({
        "outdir": folder,
        "servers": [{ "agent": agent, "url": format!("ws://{address}") }],
        "cases": cases.selected(),
        "exclude-cases": cases.excluded(),
        "exclude-agent-cases": {},
    });
    let fuzzingclient = folder.join("fuzzingclient.json");
    fs::write(&fuzzingclient, specification.to_string())
        .map_err(|error| format!("writing {}: {error}", fuzzingclient.display()))?;
    let log = folder.join("wstest.log");
    let output = File::create(&log).map_err(|error| format!("creating {}: {error}", log.display()))?;
    let errors = output.try_clone().map_err(|error| format!("{}: {error}", log.display()))?;

    let mut client = Command::new(&python.interpreter);
    client.args(["-W", "ignore", "-c", START]).arg(&python.site).arg(&fuzzingclient);
    client.stdin(Stdio::null()).stdout(output).stderr(errors).current_dir(folder);
    let mut client = client.spawn().map_err(|error| format!("starting the Autobahn suite: {error}"))?;
    let started = Instant::now();
    let status = loop {
        if let Some(status) = client.try_wait().map_err(|error| format!("the Autobahn suite: {error}"))? {
            break status;
        }
        if started.elapsed() > cases.time_out() {
            drop(client.kill());
            drop(client.wait());
            let limit = cases.time_out().as_secs();
            return Err(format!(
                "the Autobahn suite was not done after {limit} s; its log: {}",
                log.display()
            ));
        }
        sleep(Duration::from_millis(100));
    };
    let index = folder.join("index.json");
    if status.success() && index.exists() {
        return Ok(index);
    }
    Err(format!("the Autobahn suite ended with {status} and wrote no report; its log: {}", log.display()))
}
