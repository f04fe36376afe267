//! monoio, with the ring set-up of our driver: single issuer, task work when it is waited for.

use std::io;
use std::net::TcpListener as Listener;
use std::rc::Rc;

use monoio::io::{AsyncReadRent as _, AsyncWriteRentExt as _, Splitable as _};
use monoio::net::TcpListener;
use monoio::{IoUringDriver, RuntimeBuilder, spawn};

use super::{Hub, RING_ENTRIES};

pub(super) fn serve(listener: Listener, hub: Rc<Hub>) -> io::Result<()> {
    let mut ring = io_uring::IoUring::builder();
    ring.setup_single_issuer().setup_defer_taskrun();
    let mut runtime =
        RuntimeBuilder::<IoUringDriver>::new().with_entries(RING_ENTRIES).uring_builder(ring).build()?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let (mut receiving, mut sending) = stream.into_split();
            let (mut reader, outbox) = hub.connect();
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
                    let (count, filled) = receiving.read(buffer).await;
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
