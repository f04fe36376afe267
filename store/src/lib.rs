//! The segmented journal: group commit, recovery, index and checkpoints. Sans I/O.
