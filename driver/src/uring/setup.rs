//! Opening a ring, with as many of the wanted features as the kernel has, and saying why where it has not.

use std::io;

use io_uring::{IoUring, Probe, opcode};

use super::ring::SUBMISSIONS;

/// The kernel caps a completion queue here.
const COMPLETIONS_MAX: u32 = 65_536;

/// Below this a queue that overflows often is worse than epoll; what memory pressure may shrink it to.
const COMPLETIONS_MIN: u32 = 4_096;

/// One step of the ladder of set-up flags.
pub(super) type Features = fn(&mut io_uring::Builder);

/// From the best to what every kernel with multishot receive has.
pub(super) const LADDER: [(&str, Features); 3] = [
    ("single issuer, deferred task work", |builder| {
        builder.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag().setup_submit_all();
    }),
    ("cooperative task work", |builder| {
        builder.setup_coop_taskrun().setup_taskrun_flag().setup_submit_all();
    }),
    ("no set-up flags", |_| ()),
];

/// How large a completion queue is asked for: two completions per connection, so that it does not
/// overflow when every connection has something to say.
pub(super) fn completions_for(connections_max: u32) -> u32 {
    connections_max.saturating_mul(2).next_power_of_two().clamp(COMPLETIONS_MIN, COMPLETIONS_MAX)
}

/// A ring with at least what this driver cannot do without; else why not, as the end of a sentence that
/// starts with "io_uring was refused: " or so.
pub(super) fn open(completions: u32) -> Result<IoUring, String> {
    let mut entries = completions;
    loop {
        match open_with(entries) {
            // An unprivileged process pays for the queue out of its locked-memory limit. A smaller one
            // overflows under load, which costs time but loses nothing.
            Err(error) if error.raw_os_error() == Some(libc::ENOMEM) && entries > COMPLETIONS_MIN => {
                entries /= 2;
            }
            Err(error) => return Err(explain(&error)),
            Ok(ring) => {
                check(&ring)?;
                return Ok(ring);
            }
        }
    }
}

fn open_with(completions: u32) -> io::Result<IoUring> {
    let mut last = io::Error::from_raw_os_error(libc::EINVAL);
    for (name, features) in LADDER {
        match build(features, completions) {
            Ok(ring) => {
                tracing::debug!(
                    features = name,
                    completions = ring.params().cq_entries(),
                    "io_uring is set up"
                );
                return Ok(ring);
            }
            // An older kernel does not know a flag.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

pub(super) fn build(features: Features, completions: u32) -> io::Result<IoUring> {
    let mut builder = IoUring::builder();
    features(&mut builder);
    builder.setup_clamp().setup_cqsize(completions.max(SUBMISSIONS));
    builder.build(SUBMISSIONS)
}

/// Refuses a kernel without multishot receive (6.0) or without what comes before it.
fn check(ring: &IoUring) -> Result<(), String> {
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe).map_err(|error| explain(&error))?;
    // Multishot receive has no bit of its own; zero-copy send came with it.
    let needed = [opcode::SendZc::CODE, opcode::MsgRingData::CODE, opcode::AsyncCancel::CODE];
    let has_opcodes = needed.iter().all(|code| probe.is_supported(*code));
    let parameters = ring.params();
    let has_features = parameters.is_feature_nodrop()
        && parameters.is_feature_ext_arg()
        && parameters.is_feature_skip_cqe_on_success();
    if has_opcodes && has_features {
        Ok(())
    } else {
        Err("this kernel's io_uring is too old (6.0 or later is needed, for multishot receive)".to_owned())
    }
}

/// One half-sentence: what the kernel said, why it probably did, and what would help.
pub(super) fn explain(error: &io::Error) -> String {
    let disabled = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").unwrap_or_default();
    explain_with(error, disabled.trim())
}

fn explain_with(error: &io::Error, disabled: &str) -> String {
    match error.raw_os_error() {
        Some(libc::EPERM) if disabled == "2" => {
            "io_uring is disabled on this machine (sysctl kernel.io_uring_disabled is 2; 0 enables it)".to_owned()
        }
        Some(libc::EPERM) if disabled == "1" => {
            "io_uring is only for a privileged group on this machine (sysctl kernel.io_uring_disabled is 1; join \
             the group in kernel.io_uring_group, or set it to 0)"
                .to_owned()
        }
        Some(libc::EPERM | libc::EACCES) => "io_uring is refused by a security policy (Docker's default seccomp \
             profile does; allow io_uring_setup, io_uring_enter and io_uring_register in a profile of your own)"
            .to_owned(),
        Some(libc::ENOSYS) => {
            "this kernel has no io_uring (before 5.1, built without it, or a sandbox such as gVisor)".to_owned()
        }
        Some(libc::ENOMEM) => "there is not enough lockable memory for io_uring (raise ulimit -l, LimitMEMLOCK=, \
             or --ulimit memlock=)"
            .to_owned(),
        Some(libc::EINVAL) => {
            "this kernel's io_uring is too old (6.0 or later is needed, for multishot receive)".to_owned()
        }
        Some(libc::EMFILE | libc::ENFILE) => {
            "io_uring got no descriptor (raise ulimit -n, LimitNOFILE=, or fs.file-max)".to_owned()
        }
        _ => format!("io_uring could not be set up: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_says_what_would_help() {
        let say = |code, disabled| explain_with(&io::Error::from_raw_os_error(code), disabled);
        assert!(say(libc::EPERM, "2").contains("kernel.io_uring_disabled is 2"));
        assert!(say(libc::EPERM, "1").contains("kernel.io_uring_group"));
        assert!(say(libc::EPERM, "0").contains("seccomp"));
        assert!(say(libc::EPERM, "").contains("seccomp"), "older kernels have no such sysctl");
        assert!(say(libc::ENOSYS, "").contains("no io_uring"));
        assert!(say(libc::ENOMEM, "").contains("ulimit -l"));
        assert!(say(libc::EINVAL, "").contains("6.0"));
        assert!(say(libc::EMFILE, "").contains("ulimit -n"));
        assert!(say(libc::EIO, "").contains("os error 5"));
    }

    #[test]
    fn the_completion_queue_holds_two_per_connection_within_the_kernels_limits() {
        assert_eq!(completions_for(1), COMPLETIONS_MIN);
        assert_eq!(completions_for(10_000), 32_768);
        assert_eq!(completions_for(crate::CONNECTIONS_MAX), COMPLETIONS_MAX);
    }
}
