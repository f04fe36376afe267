//! What a driver is opened with, and why opening may fail.

use std::fmt;
use std::io;
use std::net::{TcpListener, UdpSocket};
use std::str::FromStr;
use std::time::Duration;

/// The largest `connections_max`: a slot number has 24 bits in an io_uring token.
pub const CONNECTIONS_MAX: u32 = 1 << 24;

/// Which driver is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Kind {
    /// io_uring where the kernel gives it, else epoll.
    #[default]
    Auto,
    /// io_uring or an error.
    Uring,
    /// epoll.
    Epoll,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Uring => "uring",
            Self::Epoll => "epoll",
        })
    }
}

/// Not the name of a driver.
#[derive(Debug, thiserror::Error)]
#[error("there is no driver \"{0}\"; choose auto, uring or epoll")]
pub struct UnknownKind(String);

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(name: &str) -> Result<Self, UnknownKind> {
        match name {
            "auto" => Ok(Self::Auto),
            "uring" => Ok(Self::Uring),
            "epoll" => Ok(Self::Epoll),
            other => Err(UnknownKind(other.to_owned())),
        }
    }
}

/// How a driver is to be set up.
#[derive(Debug)]
pub struct Config {
    /// Where connections come from: bound by the caller (see [`listen`](crate::listen)); accepted sockets
    /// inherit its options. `None`: this driver accepts nothing.
    pub listener: Option<TcpListener>,
    /// Where datagrams come from and leave: bound by the caller (see [`listen`](crate::listen)). `None`: there
    /// are none, and nothing is paid for them.
    pub datagrams: Option<UdpSocket>,
    /// How many connections there may be at once; one more is closed at once and counted. 1 to
    /// [`CONNECTIONS_MAX`].
    pub connections_max: u32,
    /// io_uring: how many receive buffers all connections share, rounded up to a power of two, at most
    /// 32,768.
    pub receive_buffers: u16,
    /// io_uring: bytes of one receive buffer.
    pub receive_buffer_bytes: u32,
    /// epoll: bytes of its single receive buffer, which bounds what one connection may deliver before the others
    /// have their turn. What comes in two turns is sent on in two, so it holds a window of publishes.
    pub receive_turn_bytes: u32,
    /// io_uring: how many completions the kernel's queue holds, rounded up to a power of two; what does not
    /// fit the kernel keeps aside, slower. 0: two per connection.
    pub completions: u32,
    /// `SO_SNDBUF` of accepted sockets, bytes (the kernel doubles it): bounds what a reader that stalls
    /// holds in the kernel. 0: the kernel's default, which grows to megabytes.
    pub send_buffer_bytes: u32,
    /// Which shard this is, for thread names and logs.
    pub shard: usize,
    /// Of how many: with epoll all of them live on the descriptors of one process.
    pub shards: usize,
    /// How long to look at `idle()` again and again before sleeping, where other shards are connected.
    /// Waking a sleeping thread costs both sides tens of microseconds; 0 where the processors are shared.
    pub spin: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listener: None,
            datagrams: None,
            connections_max: 16_384,
            receive_buffers: 1_024,
            receive_buffer_bytes: 4_096,
            receive_turn_bytes: 64 * 1_024,
            completions: 0,
            send_buffer_bytes: 256 * 1_024,
            shard: 0,
            shards: 1,
            spin: Duration::from_micros(20),
        }
    }
}

impl Config {
    /// Refuses what no driver could honour.
    pub(crate) fn check(&self) -> Result<(), OpenError> {
        let refuse = |what| Err(OpenError::Configuration(what));
        if self.connections_max == 0 || self.connections_max > CONNECTIONS_MAX {
            return refuse("connections_max must be between 1 and 16,777,216");
        }
        if self.receive_buffers == 0 || self.receive_buffers > 1 << 15 {
            return refuse("receive_buffers must be between 1 and 32,768");
        }
        if [self.receive_buffer_bytes, self.receive_turn_bytes]
            .iter()
            .any(|bytes| !(1..=1 << 30).contains(bytes))
        {
            return refuse("receive_buffer_bytes and receive_turn_bytes must be between 1 and 1 GiB");
        }
        if self.send_buffer_bytes > 1 << 30 {
            return refuse("send_buffer_bytes must be at most 1 GiB");
        }
        Ok(())
    }
}

/// Why no driver was opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The configuration contradicts itself or the kernel's limits.
    #[error("{0}")]
    Configuration(&'static str),
    /// More connections are wanted than descriptors may be had.
    #[error(
        "{connections_max} connections on each shard need {needed} descriptors, but this process may have {limit}; \
         raise the hard limit (ulimit -Hn, LimitNOFILE=) or lower the number of connections"
    )]
    Descriptors {
        /// As configured.
        connections_max: u32,
        /// Descriptors, with those beside the connections.
        needed: u64,
        /// The hard limit of `RLIMIT_NOFILE`.
        limit: u64,
    },
    /// io_uring was asked for by name and is not to be had.
    #[error("io_uring was asked for, but {0}")]
    Uring(String),
    /// The kernel refused something else.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Its answer.
        source: io::Error,
    },
}

impl OpenError {
    /// For `map_err`: names what was tried.
    pub(crate) fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_reads_what_it_writes() {
        for kind in [Kind::Auto, Kind::Uring, Kind::Epoll] {
            assert_eq!(kind.to_string().parse::<Kind>().unwrap(), kind);
        }
        let error = "iouring".parse::<Kind>().unwrap_err().to_string();
        assert!(error.contains("iouring") && error.contains("auto, uring or epoll"), "{error}");
    }

    #[test]
    fn limits_that_cannot_be_honoured_are_refused() {
        let check = |change: fn(&mut Config)| {
            let mut config = Config::default();
            change(&mut config);
            config.check()
        };
        assert!(check(|_| ()).is_ok());
        assert!(check(|c| c.connections_max = 0).is_err());
        assert!(check(|c| c.connections_max = CONNECTIONS_MAX + 1).is_err());
        assert!(check(|c| c.receive_buffers = 0).is_err());
        assert!(check(|c| c.receive_buffers = 32_769).is_err());
        assert!(check(|c| c.receive_buffer_bytes = 0).is_err());
        assert!(check(|c| c.send_buffer_bytes = u32::MAX).is_err());
    }
}
