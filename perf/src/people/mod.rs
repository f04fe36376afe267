//! What people cost: presence, and a storm of those who come back.
//!
//! Clients here are honest and many; what is measured is the server, and that everybody gets what is his.

pub mod crowd;
pub mod presence;
pub mod storm;

use std::time::Duration;

use ringwire_protocol::DeviceId;
use ringwire_protocol::message::{Cursor, Hello, ServerFrame, VERSION};
use ringwire_protocol::ws::PATH;

use crate::fault::{Fault, Result};
use crate::system::now_ns;
use crowd::{Crowd, Each};

/// Handshakes under way at once.
const AT_ONCE: usize = 256;

/// How long signing in may take, nanoseconds.
const PATIENCE_NS: u64 = 120_000_000_000;

/// Says `Hello` as the user that is named after the client.
fn hello(crowd: &mut Crowd, client: usize, capabilities: u64, cursors: &[Cursor]) {
    let name = format!("user-{client}");
    hello_as(crowd, client, &name, &name, capabilities, cursors);
}

fn hello_as(
    crowd: &mut Crowd,
    client: usize,
    user: &str,
    device: &str,
    capabilities: u64,
    cursors: &[Cursor],
) {
    let (token, device) = (format!("dev:{user}"), DeviceId::from_name(device));
    crowd.say(client, |encoder, out| {
        let hello = Hello {
            version_min: VERSION,
            version_max: VERSION,
            device,
            capabilities,
            token: &token,
            agent: "ringwire-perf",
            cursors: cursors.into(),
            attempt: 0,
        };
        hello.encode(encoder, out);
    });
}

/// Connects everybody and waits for every `Welcome`.
fn sign_in_all(crowd: &mut Crowd, capabilities: u64, each: &mut Each<'_>) -> Result<()> {
    let (mut next, mut greeted) = (0, 0);
    let until = now_ns() + PATIENCE_NS;
    while greeted < crowd.len() {
        while next < crowd.len() && next < greeted + AT_ONCE {
            crowd.connect(next, PATH)?;
            hello(crowd, next, capabilities, &[]);
            crowd.send(next)?;
            next += 1;
        }
        if now_ns() > until {
            return Err(Fault::Server(format!("{greeted} of {} are signed in, and no more", crowd.len())));
        }
        crowd.turn(Duration::from_millis(20), &mut |client, frame| {
            greeted += usize::from(matches!(frame, ServerFrame::Welcome(_)));
            each(client, frame)
        })?;
    }
    Ok(())
}
