//! What the outside cannot arrange: older kernels' features, and a ring that fails.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use super::setup::{LADDER, build, open};
use super::*;
use crate::{Config, FileId, listen};

fn config() -> (Config, SocketAddr) {
    let listener = listen::bind((Ipv4Addr::LOCALHOST, 0).into(), &listen::Options::default()).unwrap();
    let address = listener.local_addr().unwrap();
    (Config { listener: Some(listener), connections_max: 64, ..Config::default() }, address)
}

fn has_uring() -> bool {
    open(256).inspect_err(|reason| eprintln!("not run: {reason}")).is_ok()
}

/// Waits until `done`, which sees every completion.
fn run(driver: &mut UringDriver, mut done: impl FnMut(&mut Operations, Completion<'_>) -> bool) {
    let mut operations = Operations::default();
    let mut is_done = false;
    while !is_done {
        let mut sink = |completion: Completion<'_>| is_done |= done(&mut operations, completion);
        driver.wait(Some(Duration::from_secs(60)), &mut || true, &mut sink).unwrap();
        driver.submit(&mut operations);
    }
}

#[test]
fn every_step_of_the_ladder_carries_a_conversation() {
    if !has_uring() {
        return;
    }
    for (name, features) in LADDER {
        let (config, address) = config();
        let io = build(features, 256).unwrap();
        let Ok((ring, buffers)) = UringDriver::prepare(io, &config) else { panic!("{name} was refused") };
        let mut driver = UringDriver::assemble(ring, buffers, config).unwrap();
        let mut peer = TcpStream::connect(address).unwrap();
        peer.write_all(b"question").unwrap();
        let mut heard = Vec::new();
        run(&mut driver, |operations, completion| match completion {
            Completion::Received { connection, data } => {
                heard.extend_from_slice(data);
                if heard.len() < 8 {
                    return false;
                }
                let payload = operations.payload(Bytes::from_static(b"answer"));
                operations.send(connection, payload);
                operations.push(Operation::Close { connection });
                false
            }
            Completion::Closed { .. } => true,
            _ => false,
        });
        let mut answer = Vec::new();
        peer.read_to_end(&mut answer).unwrap();
        assert_eq!((&heard[..], &answer[..]), (&b"question"[..], &b"answer"[..]), "{name}");
    }
}

#[test]
fn a_ring_that_failed_says_so_at_every_wait_and_takes_what_it_is_given() {
    if !has_uring() {
        return;
    }
    let (config, address) = config();
    let Ok(mut driver) = UringDriver::open(config) else { panic!("it was there a moment ago") };
    let _peer = TcpStream::connect(address).unwrap();
    let mut found = None;
    run(&mut driver, |_, completion| {
        if let Completion::Accepted { connection, .. } = completion {
            found = Some(connection);
        }
        found.is_some()
    });
    let connection = found.unwrap();
    driver.fail(io::Error::other("planted"));
    let mut operations = Operations::default();
    for _ in 0..1_000 {
        let payload = operations.payload(Bytes::from_static(b"lost"));
        operations.send(connection, payload);
        operations.push(Operation::Close { connection });
        operations.push(Operation::StopAccepting);
        driver.submit(&mut operations);
        assert!(operations.is_empty() && operations.payloads.is_empty());
        let error = driver.wait(None, &mut || true, &mut |_| ()).unwrap_err();
        assert!(error.to_string().contains("planted"), "{error}");
    }
}

#[test]
fn who_cannot_be_rung_by_message_is_rung_by_eventfd() {
    if !has_uring() {
        return;
    }
    let (config, _) = config();
    let Ok(mut driver) = UringDriver::open(config) else { panic!("it was there a moment ago") };
    let mut other = crate::EpollDriver::open(Config::default()).unwrap();
    let bell = other.bell();
    // As when its ring is gone, and the number is another descriptor's.
    bell.set_ring(std::os::fd::AsRawFd::as_raw_fd(&bell.eventfd()));
    bell.say_asleep();
    driver.connect(vec![bell]);
    let mut operations = Operations::default();
    operations.push(Operation::Ring { shard: 0 });
    driver.submit(&mut operations);
    driver.wait(Some(Duration::ZERO), &mut || true, &mut |_| ()).unwrap();
    let mut is_rung = false;
    let mut sink = |completion: Completion<'_>| is_rung |= matches!(completion, Completion::Rung);
    other.wait(Some(Duration::ZERO), &mut || true, &mut sink).unwrap();
    assert!(is_rung);
}

#[test]
fn a_full_device_is_an_error() {
    if !has_uring() {
        return;
    }
    let (config, _) = config();
    let Ok(mut driver) = UringDriver::open(config) else { panic!("it was there a moment ago") };
    let file = FileId(1);
    driver.files.adopt(file, std::fs::File::options().write(true).open("/dev/full").unwrap());
    let mut operations = Operations::default();
    operations.push(Operation::WriteSync { file, offset: 0, data: Bytes::from_static(b"x") });
    driver.submit(&mut operations);
    run(&mut driver, |_, completion| match completion {
        Completion::Synced { result, .. } => {
            assert_eq!(result.unwrap_err().raw_os_error(), Some(libc::ENOSPC));
            true
        }
        _ => false,
    });
}
