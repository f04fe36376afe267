//! A container that refuses io_uring: `auto` takes epoll and says why, `uring` is an error that says why.

#![expect(unsafe_code, reason = "a seccomp filter, as container runtimes install it, on a thread of its own")]

use std::io;

use ringwire_driver::{Config, Driver, Kind, OpenError, open};

use crate::harness::Event;

/// From here on this thread's `io_uring_setup` fails with `code`.
fn refuse_io_uring(code: i32) {
    const LOAD_NUMBER: libc::sock_filter = libc::sock_filter { code: 0x20, jt: 0, jf: 0, k: 0 };
    let refused = libc::SYS_io_uring_setup as u32;
    let program = [
        LOAD_NUMBER,
        // If it is io_uring_setup, fall through, else skip one.
        libc::sock_filter { code: 0x15, jt: 0, jf: 1, k: refused },
        libc::sock_filter { code: 0x06, jt: 0, jf: 0, k: libc::SECCOMP_RET_ERRNO | code as u32 },
        libc::sock_filter { code: 0x06, jt: 0, jf: 0, k: libc::SECCOMP_RET_ALLOW },
    ];
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_ptr().cast_mut() };
    // SAFETY: both calls affect this thread only; the program is valid during the call that copies it.
    let result = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
            | libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter)
    };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
}

fn check(code: i32, hint: &str) {
    let hint = hint.to_owned();
    std::thread::spawn(move || {
        refuse_io_uring(code);
        let opened = open(Kind::Auto, Config::default()).unwrap();
        assert_eq!(opened.kind, Kind::Epoll);
        let reason = opened.fallback.expect("a fallback has a reason");
        assert!(reason.contains(&hint), "{reason}");
        let mut driver = opened.driver;
        driver.bell().ring_always();
        let mut events = Vec::new();
        driver.wait(None, &mut || true, &mut |completion| events.push(Event::from(completion))).unwrap();
        assert!(matches!(events[..], [Event::Rung]), "{events:?}");

        match open(Kind::Uring, Config::default()) {
            Err(OpenError::Uring(reason)) => assert!(reason.contains(&hint), "{reason}"),
            other => panic!("{other:?}"),
        }
        assert!(
            open(Kind::Epoll, Config::default()).unwrap().fallback.is_none(),
            "nobody asked for io_uring"
        );
    })
    .join()
    .unwrap();
}

#[test]
fn dockers_profile_leads_to_epoll_with_a_hint() {
    check(libc::EPERM, "Docker's default seccomp profile");
}

#[test]
fn a_kernel_without_io_uring_leads_to_epoll_with_a_hint() {
    check(libc::ENOSYS, "has no io_uring");
}
