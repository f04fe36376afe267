//! mosquitto: MQTT 3.1.1 in WebSocket messages, QoS 0.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Peer, Running, free_address, install, place, write};
use crate::fault::{Fault, Result};
use crate::load::adapter::{Adapter, Item, Role, Step, Who, websocket};
use crate::system::server::Process;

/// The peer.
#[derive(Debug)]
pub struct Mosquitto;

impl Peer for Mosquitto {
    type Adapter = Mqtt;
    const NAME: &'static str = "mosquitto";

    fn find() -> Result<PathBuf, String> {
        install::of_debian(&["usr/sbin/mosquitto", "usr/local/sbin/mosquitto"], "mosquitto")
    }

    fn install() -> crate::fault::Result<()> {
        install::debian(&["mosquitto"])
    }

    fn version(program: &Path) -> Command {
        let mut command = Command::new(program);
        command.arg("-h");
        install::with_libraries(&mut command);
        command
    }

    fn start(cpus: &[usize]) -> Result<Running<Mqtt>> {
        let program = Self::find().map_err(Fault::Usage)?;
        let (folder, address) = place()?;
        // 2.0.11 refuses to start with a WebSocket listener alone.
        let plain = free_address()?;
        let config = folder.path().join("mosquitto.conf");
        write(
            &config,
            &format!(
                "user root\nallow_anonymous true\nlistener {} 127.0.0.1\nlistener {} 127.0.0.1\nprotocol websockets\n\
                 max_connections -1\n",
                plain.port(),
                address.port()
            ),
        )?;
        let mut command = Command::new(program);
        command.arg("-c").arg(&config);
        install::with_libraries(&mut command);
        let mut process = Process::start(Self::NAME, command, cpus)?;
        process.wait_for_listener(address)?;
        Ok(Running { process, address, adapter: Mqtt, is_acknowledged: false, folder })
    }
}

/// MQTT 3.1.1.
#[derive(Debug)]
pub struct Mqtt;

/// Appends one packet in one WebSocket message.
fn packet(kind: u8, content: &[&[u8]], out: &mut Vec<u8>) {
    let length: usize = content.iter().map(|part| part.len()).sum();
    let mut head = vec![kind];
    let mut left = length;
    loop {
        let more = if left >= 128 { 0x80 } else { 0 };
        head.push((left % 128) as u8 | more);
        left /= 128;
        if left == 0 {
            break;
        }
    }
    websocket::open_frame(websocket::BINARY, head.len() + length, out);
    out.extend_from_slice(&head);
    for part in content {
        out.extend_from_slice(part);
    }
}

fn topic(room: u32) -> Vec<u8> {
    let name = format!("room/{room}");
    let mut bytes = (name.len() as u16).to_be_bytes().to_vec();
    bytes.extend_from_slice(name.as_bytes());
    bytes
}

/// The next packet: its first byte, where its content starts, and how long it is in all.
fn next(input: &[u8]) -> Option<(u8, usize, usize)> {
    let (mut length, mut at) = (0usize, 1);
    loop {
        let byte = *input.get(at)?;
        length |= usize::from(byte & 0x7f) << (7 * (at - 1));
        at += 1;
        if byte & 0x80 == 0 || at > 4 {
            return Some((*input.first()?, at, at + length));
        }
    }
}

impl Adapter for Mqtt {
    fn begin(&self, _: &Who, out: &mut Vec<u8>) {
        websocket::upgrade("/mqtt", Some("mqtt"), out);
    }

    fn unit<'a>(&self, step: u8, input: &mut &'a [u8]) -> Result<Option<&'a [u8]>, String> {
        websocket::unit(step > 0, input)
    }

    fn set_up(&self, who: &Who, step: &mut u8, unit: &[u8], out: &mut Vec<u8>) -> Result<Step, String> {
        if *step == 0 {
            *step = 1;
            let name = format!("c{}", who.index);
            let length = (name.len() as u16).to_be_bytes();
            packet(0x10, &[b"\0\x04MQTT\x04\x02\x0e\x10", &length, name.as_bytes()], out);
            return Ok(Step::Waits);
        }
        let (_, payload) = websocket::payload(unit);
        match (payload.first().map(|byte| byte >> 4), &who.role) {
            (Some(2), Role::Subscriber(rooms)) => {
                for room in rooms {
                    packet(0x82, &[&(room + 1).to_be_bytes()[2..], &topic(*room), &[0]], out);
                }
                *step = 1 + rooms.len() as u8;
                Ok(Step::Waits)
            }
            (Some(2), _) => Ok(Step::Ready),
            (Some(9), _) => {
                *step -= 1;
                Ok(if *step == 1 { Step::Ready } else { Step::Waits })
            }
            (other, _) => Err(format!("packet {other:?} came while setting up")),
        }
    }

    fn items<'a>(&self, unit: &'a [u8], each: &mut dyn FnMut(Item<'a>)) -> Result<(), String> {
        let (opcode, mut rest) = websocket::payload(unit);
        if opcode != websocket::BINARY {
            return Err(format!("a frame of opcode {opcode} came"));
        }
        while !rest.is_empty() {
            let (kind, _, whole) =
                next(rest).filter(|(_, _, whole)| *whole <= rest.len()).ok_or("a packet is cut")?;
            each(if kind >> 4 == 3 { Item::Message(&rest[..whole]) } else { Item::Other });
            rest = &rest[whole..];
        }
        Ok(())
    }

    fn body<'a>(&self, message: &'a [u8]) -> Result<Option<&'a [u8]>, String> {
        let (_, start, whole) = next(message).ok_or("no packet")?;
        let content = message.get(start..whole).ok_or("a packet is cut")?;
        let (length, rest) = content.split_first_chunk::<2>().ok_or("a packet without a topic")?;
        Ok(rest.get(usize::from(u16::from_be_bytes(*length))..))
    }

    fn publish(&self, _: u32, room: u32, _: u64, body: &[u8], out: &mut Vec<u8>) {
        packet(0x30, &[&topic(room), body], out);
    }

    fn echo(&self, _: u64, out: &mut Vec<u8>) {
        packet(0xc0, &[], out);
    }
}
