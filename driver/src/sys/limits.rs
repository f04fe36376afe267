//! What the process may use: descriptors and processors.

use std::io;

use super::checked;

/// Raises the soft limit of descriptors to the hard one; the limit that holds afterwards. All the way,
/// because it is the process's, and the other shards have needs of their own.
pub(crate) fn raise_descriptors() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is valid for writing one rlimit.
    checked(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    if limit.rlim_cur < limit.rlim_max {
        let raised = libc::rlimit { rlim_cur: limit.rlim_max, rlim_max: limit.rlim_max };
        // SAFETY: `raised` is valid for reading one rlimit.
        checked(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) })?;
        limit = raised;
    }
    Ok(limit.rlim_cur)
}

/// Words of a processor mask: 8,192 processors, the most that Linux can be built for.
const MASK_WORDS: usize = 128;

/// The processors that the calling thread may run on, as a bit mask.
pub(crate) fn cpu_mask() -> io::Result<[u64; MASK_WORDS]> {
    let mut mask = [0u64; MASK_WORDS];
    // SAFETY: `mask` is valid for writing as many bytes as we say; 0 is the calling thread.
    checked(unsafe { libc::sched_getaffinity(0, size_of_val(&mask), mask.as_mut_ptr().cast()) })?;
    Ok(mask)
}

/// Binds the calling thread to the processors in `mask`.
pub(crate) fn set_cpu_mask(mask: &[u64; MASK_WORDS]) -> io::Result<()> {
    // SAFETY: `mask` is valid for reading as many bytes as we say; 0 is the calling thread.
    checked(unsafe { libc::sched_setaffinity(0, size_of_val(mask), mask.as_ptr().cast()) }).map(drop)
}
