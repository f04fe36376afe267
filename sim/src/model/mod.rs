//! What is known to be true: what was published, what the journal holds, what the server has said.
//!
//! [`Log`] is the journal as the store itself reads it; [`Tap`] reads along what a connection is sent. Both are
//! independent of the server's own tables, so that an error there is not repeated here.

mod log;
mod tap;
mod token;

pub use log::{Entry, Log, Member, Story};
pub use tap::Tap;
pub use token::Token;
