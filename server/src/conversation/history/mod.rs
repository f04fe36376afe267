//! History: pages out of the tail in memory or out of the journal, as written or as it stands now.
//!
//! ```text
//!   Fetch --> tail in memory ----------------+--> raw page
//!        '--> journal ----------------------'|
//!                                            '--> amendments of its buckets (journal) --> current page
//! ```

mod changes;
mod current;
mod fetch;
mod reads;
mod retired;
mod tail;

pub(super) use fetch::Wanted;
pub(super) use reads::{ReadResult, Reading, Reads, cannot_read};
pub(super) use tail::{Budget, Tail};
