//! The way between one client and the server, which can be cut, held and made deaf; and a `Hello` changed on it.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How the way is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    Up,
    /// What is connected is cut, and nothing gets through.
    Down,
    /// What the server says is lost.
    Deaf,
    /// What the server says is not read.
    Held,
}

pub struct Link {
    pub address: SocketAddr,
    way: watch::Sender<Way>,
}

impl Link {
    /// A way to that server; the client's `Hello` names another protocol version, if one is given.
    pub async fn open(server: SocketAddr, version: Option<u16>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, way) = watch::channel(Way::Up);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                if *way.borrow() != Way::Down {
                    tokio::spawn(connection(near, server, way.clone(), version));
                }
            }
        });
        Link { address, way: sender }
    }

    pub fn to(&self, way: Way) {
        self.way.send_replace(way);
    }
}

/// Ends with the first of: either side, the way.
async fn connection(near: TcpStream, server: SocketAddr, way: watch::Receiver<Way>, version: Option<u16>) {
    let Ok(far) = TcpStream::connect(server).await else { return };
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    let mut cut = way.clone();
    tokio::select! {
        _ = up(near_read, far_write, version) => {}
        _ = down(far_read, near_write, way) => {}
        _ = cut.wait_for(|way| *way == Way::Down) => {}
    }
}

async fn up(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, version: Option<u16>) -> std::io::Result<()> {
    if let Some(version) = version {
        with_version(&mut from, &mut to, version).await?;
    }
    tokio::io::copy(&mut from, &mut to).await.map(drop)
}

async fn down(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut way: watch::Receiver<Way>,
) -> std::io::Result<()> {
    let mut bytes = vec![0; 16 * 1024];
    loop {
        // Its sender lives as long as the test.
        let _ = way.wait_for(|way| *way != Way::Held).await;
        let count = from.read(&mut bytes).await?;
        if count == 0 {
            return Ok(());
        }
        if *way.borrow() != Way::Deaf {
            to.write_all(&bytes[..count]).await?;
        }
    }
}

/// Passes the upgrade on, and then the first message, whose first frame is `Hello`, with these versions in it.
async fn with_version(
    from: &mut OwnedReadHalf,
    to: &mut OwnedWriteHalf,
    version: u16,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(from.read_u8().await?);
    }
    to.write_all(&head).await?;
    let mut header = [0; 2];
    from.read_exact(&mut header).await?;
    to.write_all(&header).await?;
    let length = match header[1] & 0x7f {
        126 => {
            let length = from.read_u16().await?;
            to.write_u16(length).await?;
            usize::from(length)
        }
        short => usize::from(short),
    };
    let mut mask = [0; 4];
    from.read_exact(&mut mask).await?;
    to.write_all(&mask).await?;
    let mut payload = vec![0; length];
    from.read_exact(&mut payload).await?;
    let toggle = |bytes: &mut [u8]| (0..).zip(bytes).for_each(|(at, byte): (usize, _)| *byte ^= mask[at % 4]);
    toggle(&mut payload);
    let number = |at: usize| u32::from_le_bytes(payload[at..at + 4].try_into().unwrap()) as usize;
    let table = 8 + number(8);
    let vtable = table - number(table);
    let fixed = table + (number(vtable + 4) & 0xffff);
    // Behind the device's id and the capabilities.
    payload[fixed + 24..fixed + 26].copy_from_slice(&version.to_le_bytes());
    payload[fixed + 26..fixed + 28].copy_from_slice(&version.to_le_bytes());
    toggle(&mut payload);
    to.write_all(&payload).await
}
