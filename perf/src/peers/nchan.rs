//! nginx with the nchan module: channels by path, published and received over WebSocket.
//!
//! A publisher of nchan has one channel, so scenarios need a publisher per room to be measured with it.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Peer, Running, install, place, write};
use crate::fault::{Fault, Result};
use crate::load::adapter::{Adapter, Item, Role, Step, Who, websocket};
use crate::system::server::Process;

/// The module, where Debian has it.
fn module() -> Result<PathBuf, String> {
    install::of_debian(&["usr/lib/nginx/modules/ngx_nchan_module.so"], "nchan")
}

/// Where the module, unlike nginx itself, keeps request bodies whatever the configuration says; installing the
/// package would have made it.
const STATE: &str = "/var/lib/nginx";

/// The peer.
#[derive(Debug)]
pub struct Nchan;

impl Peer for Nchan {
    type Adapter = NchanAdapter;
    const NAME: &'static str = "nchan";
    const ROOMS_MAX: u32 = 1;

    fn find() -> Result<PathBuf, String> {
        module()?;
        let program = install::of_debian(&["usr/sbin/nginx"], "nginx")?;
        if !Path::new(STATE).is_dir() {
            return Err(format!(
                "the module insists on the folder {STATE} (cargo xtask bench peers, as root)"
            ));
        }
        Ok(program)
    }

    fn install() -> crate::fault::Result<()> {
        install::debian(&["nginx-light", "libnginx-mod-nchan"])?;
        install::make(STATE.into()).map(drop)
    }

    fn version(program: &Path) -> Command {
        let mut command = Command::new(program);
        command.arg("-v");
        install::with_libraries(&mut command);
        command
    }

    fn start(cpus: &[usize]) -> Result<Running<NchanAdapter>> {
        let program = Self::find().map_err(Fault::Usage)?;
        let (folder, address) = place()?;
        let path = folder.path().display();
        let module = module().map_err(Fault::Usage)?;
        let module = module.display();
        let config = folder.path().join("nginx.conf");
        write(
            &config,
            &format!(
                "load_module {module};\nuser root;\nworker_processes 1;\ndaemon off;\npid {path}/pid;\nerror_log stderr warn;\n\
                 worker_rlimit_nofile 20000;\nevents {{ worker_connections 19000; }}\n\
                 http {{ access_log off; client_body_temp_path {path}/b; proxy_temp_path {path}/p;\n\
                 fastcgi_temp_path {path}/f; uwsgi_temp_path {path}/u; scgi_temp_path {path}/s;\n\
                 nchan_shared_memory_size 256M;\n\
                 server {{ listen {address} backlog=4096;\n\
                 location ~ /subscribe/(\\d+)$ {{ nchan_subscriber websocket; nchan_channel_id $1;\n\
                 nchan_subscriber_first_message newest; nchan_websocket_ping_interval 0; }}\n\
                 location ~ /publish/(\\d+)$ {{ nchan_publisher websocket; nchan_channel_id $1;\n\
                 nchan_message_buffer_length 32; nchan_message_timeout 10s; }}\n}} }}\n"
            ),
        )?;
        let mut command = Command::new(program);
        command.arg("-c").arg(&config).arg("-p").arg(folder.path()).arg("-e").arg("stderr");
        install::with_libraries(&mut command);
        let mut process = Process::start(Self::NAME, command, cpus)?;
        process.wait_for_listener(address)?;
        Ok(Running { process, address, adapter: NchanAdapter, is_acknowledged: false, folder })
    }
}

/// Bodies in WebSocket messages.
#[derive(Debug)]
pub struct NchanAdapter;

impl Adapter for NchanAdapter {
    fn begin(&self, who: &Who, out: &mut Vec<u8>) {
        let (kind, rooms) = match &who.role {
            Role::Subscriber(rooms) => ("subscribe", rooms.as_slice()),
            Role::Publisher(rooms) => ("publish", rooms.as_slice()),
            _ => ("subscribe", &[][..]),
        };
        websocket::upgrade(&format!("/{kind}/{}", rooms.first().copied().unwrap_or(0)), None, out);
    }

    fn unit<'a>(&self, step: u8, input: &mut &'a [u8]) -> Result<Option<&'a [u8]>, String> {
        websocket::unit(step > 0, input)
    }

    fn set_up(&self, _: &Who, step: &mut u8, _: &[u8], _: &mut Vec<u8>) -> Result<Step, String> {
        *step = 1;
        Ok(Step::Ready)
    }

    fn items<'a>(&self, unit: &'a [u8], each: &mut dyn FnMut(Item<'a>)) -> Result<(), String> {
        let (opcode, payload) = websocket::payload(unit);
        match opcode {
            websocket::CLOSE => return Err(websocket::close_text(payload)),
            // What a publisher is told of its channel.
            _ if payload.starts_with(b"queued messages") => each(Item::Other),
            websocket::TEXT | websocket::BINARY => each(Item::Message(payload)),
            _ => each(Item::Other),
        }
        Ok(())
    }

    fn body<'a>(&self, message: &'a [u8]) -> Result<Option<&'a [u8]>, String> {
        Ok(Some(message))
    }

    fn publish(&self, _: u32, _: u32, _: u64, body: &[u8], out: &mut Vec<u8>) {
        websocket::frame(websocket::BINARY, body, out);
    }

    fn echo(&self, _: u64, _: &mut Vec<u8>) {}
}
