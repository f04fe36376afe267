//! What verifying found, for people and for programs.

use std::fmt;

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// Normal after an unclean stop; the next start puts it right and nothing durable is lost.
    Note,
    /// Not as it should be, but the next start, or a reader, can make it anew from what is sound.
    Repairable,
    /// Durable data cannot be read, or contradicts itself.
    Corrupt,
}

/// One finding.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// In which file, relative to the data directory.
    pub name: String,
    /// What.
    pub what: String,
}

/// What verifying found.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct VerifyReport {
    /// Segments read.
    pub segments: usize,
    /// Bytes of whole batches.
    pub bytes: u64,
    /// Whole batches.
    pub batches: u64,
    /// Records in them.
    pub records: u64,
    /// Records that are entries.
    pub entries: u64,
    /// Conversations with entries.
    pub conversations: usize,
    /// Conversations in the newest checkpoint; `None` if there is no checkpoint.
    pub checkpoint: Option<u64>,
    /// Everything that is not as it should be.
    pub findings: Vec<Finding>,
}

impl VerifyReport {
    /// The worst finding; `None` if all is well.
    pub fn verdict(&self) -> Option<Severity> {
        self.findings.iter().map(|finding| finding.severity).max()
    }

    pub(super) fn add(&mut self, severity: Severity, name: impl Into<String>, what: impl Into<String>) {
        self.findings.push(Finding { severity, name: name.into(), what: what.into() });
    }
}

impl fmt::Display for VerifyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { segments, bytes, batches, records, entries, conversations, .. } = self;
        writeln!(f, "{segments} segments, {bytes} bytes, {batches} batches, {records} records,")?;
        writeln!(f, "{entries} entries of {conversations} conversations")?;
        match self.checkpoint {
            Some(conversations) => writeln!(f, "checkpoint of {conversations} conversations")?,
            None => writeln!(f, "no checkpoint")?,
        }
        for Finding { severity, name, what } in &self.findings {
            let severity = match severity {
                Severity::Note => "note",
                Severity::Repairable => "repairable",
                Severity::Corrupt => "CORRUPT",
            };
            writeln!(f, "{severity}: {name}: {what}")?;
        }
        match self.verdict() {
            None => f.write_str("all is well"),
            Some(Severity::Note) => f.write_str("all that is durable is well"),
            Some(Severity::Repairable) => f.write_str("repairable: start the server once, and verify again"),
            Some(Severity::Corrupt) => f.write_str(
                "CORRUPT: restore from a backup, or start once with corruption accepted to keep what is readable",
            ),
        }
    }
}
