//! A checkpoint against what the segments it covers lead to.

use super::{Replayed, Severity, Verifier};
use crate::checkpoint::StateFold;
use crate::checkpoint::file::{Entry, Fault, Reader};
use crate::index::runs::NONE;
use crate::record::Hex;
use crate::recovery::{FoldError, RecoveryError};

impl<F: StateFold> Verifier<'_, F> {
    /// Compares a checkpoint with what replaying the segments it covers has led to.
    pub(super) fn compare(&mut self, mut reader: Reader) -> Result<(), RecoveryError> {
        let name = "checkpoint";
        let mut bytes = Vec::new();
        let mut found = 0;
        loop {
            let entry = match reader.next() {
                Ok(Some(entry)) => entry,
                Ok(None) => break,
                Err(Fault::Io(error)) => {
                    return Err(RecoveryError::Io { what: "read the checkpoint".to_owned(), error });
                }
                Err(Fault::Version(_) | Fault::Damaged(_)) => {
                    self.report.add(Severity::Repairable, name, "it changed while it was read");
                    return Ok(());
                }
            };
            found += 1;
            if !self.floor.is_empty() {
                self.take_over(&entry);
                continue;
            }
            let conversation = Hex(&entry.conversation);
            let Some(replayed) = self.replayed.get(&entry.conversation) else {
                let what = format!("conversation {conversation} is in it, but in no segment it covers");
                self.report.add(Severity::Corrupt, name, what);
                continue;
            };
            let last = self.segments.get(replayed.last as usize).copied();
            let next = if last.is_some() { replayed.next } else { 0 };
            if (entry.next, entry.last) != (next, last) && !self.salvaged {
                let what = format!(
                    "conversation {conversation}: it says next {} in {:?}, the segments say {next} in {last:?}",
                    entry.next, entry.last
                );
                self.report.add(Severity::Corrupt, name, what);
            }
            bytes.clear();
            if let Some(state) = &replayed.state {
                self.fold.encode(state, &mut bytes);
            }
            // Through the fold, so that what an earlier release wrote in a layout of its own is compared by what it
            // says.
            let stored = entry.state.map(|state| {
                let mut again = Vec::new();
                self.fold
                    .decode(&entry.conversation, state)
                    .map(|state| self.fold.encode(&state, &mut again))?;
                Ok::<_, FoldError>(again)
            });
            let stored = match stored.transpose() {
                Ok(stored) => stored,
                Err(error) => {
                    let what = format!("the state of conversation {conversation} cannot be read: {error}");
                    self.report.add(Severity::Corrupt, name, what);
                    continue;
                }
            };
            let expected = replayed.state.as_ref().map(|_| bytes.as_slice());
            if stored.as_deref() != expected && !self.salvaged {
                let what =
                    format!("the state of conversation {conversation} is not what its records lead to");
                self.report.add(Severity::Corrupt, name, what);
            }
        }
        let expected =
            self.replayed.values().filter(|replayed| replayed.state.is_some() || replayed.last != NONE);
        let expected = expected.count();
        // Where something was given up, more is in the checkpoint; nothing is missing in it.
        let fits = found == expected || !self.floor.is_empty() && found > expected;
        if !fits && !self.salvaged {
            let what = format!("it has {found} conversations, the segments it covers have {expected}");
            self.report.add(Severity::Corrupt, name, what);
        }
        Ok(())
    }

    /// Something was given up, so segments lead to the end of a conversation and not to its state: that is believed,
    /// as recovery does, where it can be read and ends where the segments do.
    fn take_over(&mut self, entry: &Entry<'_>) {
        let name = "checkpoint";
        let conversation = Hex(&entry.conversation);
        let state = entry.state.map(|state| self.fold.decode(&entry.conversation, state)).transpose();
        let state = match state {
            Ok(state) => state,
            Err(error) => {
                let what = format!("the state of conversation {conversation} cannot be read: {error}");
                return self.report.add(Severity::Corrupt, name, what);
            }
        };
        let fresh = || Replayed { state: None, next: 1, last: NONE };
        let replayed = self.replayed.entry(entry.conversation).or_insert_with(fresh);
        let last = self.segments.get(replayed.last as usize).copied();
        let next = if last.is_some() { replayed.next } else { entry.next };
        if (entry.next, entry.last) != (next, last) && !self.salvaged {
            let what = format!(
                "conversation {conversation}: it says next {} in {:?}, the segments say {next} in {last:?}",
                entry.next, entry.last
            );
            self.report.add(Severity::Corrupt, name, what);
        }
        replayed.state = state;
        replayed.next = entry.next.max(1);
    }
}
