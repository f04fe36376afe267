//! `cargo xtask bench`: builds the server and the measuring program as people run them, and passes on.

use crate::process::run;
use crate::project::Project;

/// Runs `ringwire-perf` with these arguments, beside a server of the same build, with as many descriptors as
/// the process may have.
pub(crate) fn bench(project: &Project, arguments: &[String]) -> Result<(), String> {
    run(project.cargo().args(["build", "--release", "-p", "ringwire", "-p", "ringwire-perf"]))?;
    // The soft limit is commonly 1,024, which no measurement of connections fits into; the shell can raise
    // it without a line of unsafe code here.
    let mut shell = project.command("sh");
    shell.args(["-c", "ulimit -n \"$(ulimit -Hn)\" && exec \"$@\"", "sh"]);
    shell.arg(project.target.join("release/ringwire-perf")).args(arguments);
    run(&mut shell)
}
