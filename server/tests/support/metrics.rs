//! Numbers of `/metrics`.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::{PATIENCE, Server};

/// A metric, added up over all lines that have these labels.
pub fn sum(page: &str, name: &str, labels: &[&str]) -> u64 {
    let lines = page.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('{')?.split_once("} "));
    let of_these =
        lines.filter(|(found, _)| labels.iter().all(|label| found.split(',').any(|one| one == *label)));
    of_these.map(|(_, value)| value.parse::<u64>().expect("a number")).sum()
}

/// The same of a server whose operators' port is in the clear.
pub fn metric(server: &Server, name: &str, labels: &[&str]) -> u64 {
    let mut stream = TcpStream::connect(server.plane.expect("a plane")).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("settable");
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").expect("sent");
    let mut page = String::new();
    stream.read_to_string(&mut page).expect("text");
    assert!(page.contains(name), "{name} is missing in\n{page}");
    sum(&page, name, labels)
}
