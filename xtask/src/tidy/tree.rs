//! The files of the checkout: what git tracks or would track.

use crate::project::Project;

/// A text file, by its path from the root with `/`.
pub(super) struct File {
    pub(super) path: String,
    pub(super) text: String,
}

impl File {
    /// Its name without the folder.
    pub(super) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    pub(super) fn has_extension(&self, extensions: &[&str]) -> bool {
        self.name().rsplit_once('.').is_some_and(|(_, extension)| extensions.contains(&extension))
    }

    pub(super) fn is_rust(&self) -> bool {
        self.has_extension(&["rs"])
    }

    /// Written by a tool.
    pub(super) fn is_generated(&self) -> bool {
        self.path.split('/').any(|part| part == "generated")
    }

    /// Tests and what only they use.
    pub(super) fn is_test(&self) -> bool {
        let name = self.name();
        self.path.split('/').any(|part| part == "tests") || name == "tests.rs" || name.contains(".test.")
    }

    /// The first folder of the path, "" at the root.
    pub(super) fn top(&self) -> &str {
        self.path.split_once('/').map_or("", |(top, _)| top)
    }

    /// Lines with their numbers from 1.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }
}

/// Packages with a workspace of their own: nobody who builds or tests the project has to build these, and they
/// inherit nothing.
pub(super) const APART: [&str; 2] = ["fuzz/", "perf/comparators/"];

/// All of them, sorted by path.
pub(super) struct Tree {
    pub(super) files: Vec<File>,
    /// Files that are not text, by path: for links.
    pub(super) binaries: Vec<String>,
}

impl Tree {
    /// Asks git, then reads. Files that are deleted but not yet so for git are left out.
    pub(super) fn read(project: &Project) -> Result<Self, String> {
        let mut git = project.command("git");
        git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
        let output = git.output().map_err(|error| format!("tidy asks git for the files: {error}"))?;
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(format!("tidy asks git for the files, and git says: {why}"));
        }
        let mut paths: Vec<_> = String::from_utf8_lossy(&output.stdout)
            .split('\0')
            .filter(|path| !path.is_empty())
            .map(str::to_owned)
            .collect();
        paths.sort();
        paths.dedup();
        let (mut files, mut binaries) = (Vec::new(), Vec::new());
        for path in paths {
            let Ok(bytes) = std::fs::read(project.root.join(&path)) else { continue };
            match String::from_utf8(bytes) {
                Ok(text) if !text.contains('\0') => files.push(File { path, text }),
                Ok(_) | Err(_) => binaries.push(path),
            }
        }
        Ok(Self { files, binaries })
    }

    pub(super) fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Whether there is such a file, or a file in such a folder.
    pub(super) fn exists(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        let inside = |other: &str| {
            other.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.files.iter().any(|file| inside(&file.path)) || self.binaries.iter().any(|file| inside(file))
    }

    pub(super) fn rust(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.is_rust() && !file.is_generated())
    }
}
