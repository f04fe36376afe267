//! Bounds: every queue stays within its limit, at every turn.

use std::collections::BTreeMap;

use super::{Promise, Verdict};

use Promise::Bounds as BROKEN;

/// See the module.
#[derive(Debug, Default)]
pub struct Bounds {
    highest: BTreeMap<&'static str, (usize, usize)>,
}

impl Bounds {
    /// Something that has a limit holds so much.
    ///
    /// # Errors
    /// That is more than its limit.
    pub fn on_level(&mut self, of: &'static str, level: usize, most: usize) -> Verdict {
        let (highest, limit) = self.highest.entry(of).or_default();
        if level >= *highest {
            (*highest, *limit) = (level, most);
        }
        BROKEN.holds(level <= most, || format!("{of}: {level}, and at most {most} are allowed"))
    }

    /// The highest level of everything that was looked at, and its limit at that time.
    pub fn highest(&self) -> impl Iterator<Item = (&'static str, usize, usize)> + '_ {
        self.highest.iter().map(|(of, (level, limit))| (*of, *level, *limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canary_a_queue_above_its_limit() {
        let mut bounds = Bounds::default();
        assert!(bounds.on_level("queue", 2, 2).is_ok());
        assert!(bounds.on_level("queue", 3, 2).is_err());
        assert_eq!(bounds.highest().collect::<Vec<_>>(), [("queue", 3, 2)]);
    }
}
