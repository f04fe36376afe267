//! tokio on one thread, on epoll: sends are tried at once by whoever publishes, and left to a writer task only
//! where the kernel does not take everything. That is its best: with a task per send it costs a tenth more.

use std::cell::RefCell;
use std::io;
use std::net::TcpListener as Listener;
use std::rc::Rc;

use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::task::{LocalSet, spawn_local};

use super::{Direct, Hub, READ_BYTES};

pub(super) fn serve(listener: Listener, hub: Rc<Hub>) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let runtime = Builder::new_current_thread().enable_io().build()?;
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::from_std(listener)?;
        // On epoll nobody needs a buffer before there is something to read, so all share one.
        let shared = Rc::new(RefCell::new(vec![0; READ_BYTES].into_boxed_slice()));
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let stream = Rc::new(stream);
            let at_once = Rc::clone(&stream);
            let direct: Direct = Box::new(move |bytes| at_once.try_write(bytes).unwrap_or(0));
            let (mut reader, outbox) = hub.connect_through(Some(direct));
            let (sending, buffer) = (Rc::clone(&stream), Rc::clone(&shared));
            spawn_local(async move {
                while let Some(bytes) = outbox.next().await {
                    let mut left = &bytes[..];
                    while !left.is_empty() && sending.writable().await.is_ok() {
                        match sending.try_write(left) {
                            Ok(sent) => left = &left[sent..],
                            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                            Err(_) => return,
                        }
                    }
                }
            });
            spawn_local(async move {
                while stream.readable().await.is_ok() {
                    let mut buffer = buffer.borrow_mut();
                    match stream.try_read(&mut buffer) {
                        Ok(count @ 1..) => reader.received(&buffer[..count]),
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Ok(0) | Err(_) => break,
                    }
                }
            });
        }
    })
}
