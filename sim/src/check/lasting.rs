//! Something that may be wrong for a while, and not for longer.

use super::{Promise, Verdict};

/// Since when it has been wrong.
#[derive(Debug, Default)]
pub struct Lasting {
    wrong_since_us: Option<u64>,
}

impl Lasting {
    /// It is `wrong` now, or as it should be.
    ///
    /// # Errors
    /// It has been wrong for more than `most_us`.
    pub fn on_look(&mut self, of: Promise, now_us: u64, most_us: u64, wrong: Option<&str>) -> Verdict {
        let Some(wrong) = wrong else {
            self.wrong_since_us = None;
            return Ok(());
        };
        let since_us = *self.wrong_since_us.get_or_insert(now_us);
        of.holds(now_us - since_us <= most_us, || format!("{wrong}, for {} ms", (now_us - since_us) / 1000))
    }
}
