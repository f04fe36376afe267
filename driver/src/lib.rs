//! The kernel's edge: io_uring and epoll behind one closed set of operations and completions.

mod completion;
mod operation;

pub use completion::Completion;
pub use operation::{ConnectionId, FileId, Job, Operation, Operations, PayloadIndex, Send};
