//! Addresses: what a program writes, and what a server names in `GoAway`.

use ringwire_protocol::ws;

use crate::error::Error;

/// The port of `ws://` where none is given.
const PORT: u16 = 80;

/// Where a server is to be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// A name or an address, without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Begins with a slash.
    pub(crate) path: String,
}

impl Endpoint {
    /// Reads `ws://host[:port][/path]`.
    pub(crate) fn parse(url: &str) -> Result<Self, Error> {
        let wrong = |why: &str| Err(Error::Url(format!("{url:?} is no address of a server: {why}")));
        let Some((scheme, rest)) = url.split_once("://") else {
            return wrong("write it as ws://host:port/v1/ws");
        };
        match scheme.to_ascii_lowercase().as_str() {
            "ws" => {}
            "wss" => {
                return wrong(
                    "wss:// is not supported by this version; use ws:// on a trusted network, or a TLS proxy",
                );
            }
            "quic" => return wrong("quic:// is not supported by this version; use ws://"),
            "http" | "https" => return wrong("the scheme is ws, as in ws://host:port/v1/ws"),
            _ => return wrong("the scheme is ws"),
        }
        let (authority, path) = match rest.find(['/', '?']) {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        if authority.contains('@') {
            return wrong("user names do not belong there; the token says who you are");
        }
        if path.contains('#') {
            return wrong("a fragment means nothing here");
        }
        let path = match path {
            "" | "/" => ws::PATH.to_owned(),
            path if path.starts_with('/') => path.to_owned(),
            query => format!("{}{query}", ws::PATH),
        };
        let Some((host, port)) = split_port(authority) else { return wrong("the port is not a number") };
        if host.is_empty() || host.contains(|char: char| char.is_whitespace() || char.is_control()) {
            return wrong("the host is missing");
        }
        Ok(Self { host: host.to_owned(), port: port.unwrap_or(PORT), path })
    }

    /// What a server named instead of itself: a URL, or `host:port` that is to be used in the same way.
    pub(crate) fn moved(&self, address: &str) -> Result<Self, Error> {
        if address.contains("://") {
            return Self::parse(address);
        }
        Self::parse(&format!("ws://{address}{}", self.path))
    }

    /// What goes into the Host header.
    pub(crate) fn authority(&self) -> String {
        let Self { host, port, .. } = self;
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        if *port == PORT { host } else { format!("{host}:{port}") }
    }
}

/// The host and the port, if one is given; `None` if it is not a number.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        (host, rest.strip_prefix(':').or(rest.is_empty().then_some("")))
    } else {
        match authority.rsplit_once(':') {
            // An IPv6 address without brackets.
            Some((host, _)) if host.contains(':') => (authority, Some("")),
            Some((host, port)) => (host, Some(port)),
            None => (authority, Some("")),
        }
    };
    match port? {
        "" => Some((host, None)),
        port => port.parse().ok().filter(|&port| port != 0).map(|port| (host, Some(port))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_people_write_them() {
        let cases = [
            ("ws://127.0.0.1:7400/v1/ws", "127.0.0.1", 7400, "/v1/ws", "127.0.0.1:7400"),
            ("ws://chat.example", "chat.example", 80, "/v1/ws", "chat.example"),
            ("ws://chat.example/", "chat.example", 80, "/v1/ws", "chat.example"),
            ("WS://chat.example:80/edge/ws?x=1", "chat.example", 80, "/edge/ws?x=1", "chat.example"),
            ("ws://chat.example:9?x=1", "chat.example", 9, "/v1/ws?x=1", "chat.example:9"),
            ("ws://[::1]:7400/v1/ws", "::1", 7400, "/v1/ws", "[::1]:7400"),
            ("ws://[::1]", "::1", 80, "/v1/ws", "[::1]"),
        ];
        for (url, host, port, path, authority) in cases {
            let endpoint = Endpoint::parse(url).unwrap();
            assert_eq!(endpoint, Endpoint { host: host.into(), port, path: path.into() }, "{url}");
            assert_eq!(endpoint.authority(), authority, "{url}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_a_hint() {
        let cases = [
            ("localhost:7400", "ws://host:port"),
            ("http://localhost:7400", "scheme is ws"),
            ("wss://localhost", "TLS proxy"),
            ("quic://localhost", "not supported"),
            ("ws://", "host is missing"),
            ("ws://:7400", "host is missing"),
            ("ws://host:port", "not a number"),
            ("ws://host:0", "not a number"),
            ("ws://host:70000", "not a number"),
            ("ws://[::1", "not a number"),
            ("ws://me@host", "token"),
            ("ws://host/#x", "fragment"),
            ("ws://a b", "host is missing"),
        ];
        for (url, hint) in cases {
            let error = Endpoint::parse(url).unwrap_err().to_string();
            assert!(error.contains(hint), "{url}: {error}");
        }
    }

    #[test]
    fn a_server_may_name_another_one_by_url_or_by_host_and_port() {
        let here = Endpoint::parse("ws://a:1/edge").unwrap();
        assert_eq!(here.moved("b:2").unwrap(), Endpoint::parse("ws://b:2/edge").unwrap());
        assert_eq!(here.moved("ws://c:3/v1/ws").unwrap(), Endpoint::parse("ws://c:3/v1/ws").unwrap());
        assert!(here.moved("wss://c:3").is_err());
    }
}
