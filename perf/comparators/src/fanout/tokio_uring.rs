//! tokio-uring, with the ring set-up of our driver as far as it can be had: single issuer, task work when it is
//! waited for.

use std::io;
use std::net::TcpListener as Listener;
use std::rc::Rc;

use tokio_uring::net::TcpListener;
use tokio_uring::{builder, spawn, uring_builder};

use super::{Hub, RING_ENTRIES};

pub(super) fn serve(listener: Listener, hub: Rc<Hub>) -> io::Result<()> {
    let mut ring = uring_builder();
    // It looks at its ring when epoll says so, and the kernel says nothing of task work that waits to be asked
    // for: with deferred task work it would hang.
    ring.setup_single_issuer().setup_coop_taskrun();
    builder().entries(RING_ENTRIES).uring_builder(&ring).start(async {
        let listener = TcpListener::from_std(listener);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let stream = Rc::new(stream);
            let (mut reader, outbox) = hub.connect();
            let sending = Rc::clone(&stream);
            spawn(async move {
                while let Some(bytes) = outbox.next().await {
                    if sending.write_all(bytes).await.0.is_err() {
                        break;
                    }
                }
            });
            spawn(async move {
                let mut buffer = Vec::with_capacity(reader.read_bytes());
                loop {
                    let (count, filled) = stream.read(buffer).await;
                    if !matches!(count, Ok(1..)) {
                        break;
                    }
                    buffer = filled;
                    reader.received(&buffer);
                    buffer.clear();
                    buffer.reserve(reader.read_bytes());
                }
            });
        }
    })
}
