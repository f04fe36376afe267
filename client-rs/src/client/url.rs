//! Addresses: what a program writes, and what a server names in `GoAway`.

use ringwire_protocol::ws;

use crate::error::Error;

/// How a server is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// WebSocket in the clear.
    Ws,
    /// WebSocket over TLS.
    Wss,
    /// QUIC.
    Quic,
    /// QUIC, or WebSocket over TLS where that does not get through: `ringwire://`.
    Either,
}

impl Scheme {
    fn parse(scheme: &str) -> Option<Self> {
        match scheme.to_ascii_lowercase().as_str() {
            "ws" => Some(Self::Ws),
            "wss" => Some(Self::Wss),
            "quic" => Some(Self::Quic),
            "ringwire" => Some(Self::Either),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Ws => "ws",
            Self::Wss => "wss",
            Self::Quic => "quic",
            Self::Either => "ringwire",
        }
    }

    /// The port where none is given.
    fn port(self) -> u16 {
        if self.is_secure() { 443 } else { 80 }
    }

    /// Whether nobody in between can read along.
    pub(crate) fn is_secure(self) -> bool {
        self != Self::Ws
    }
}

/// Where a server is to be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) scheme: Scheme,
    /// A name or an address, without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Begins with a slash. QUIC has no use for it.
    pub(crate) path: String,
}

impl Endpoint {
    /// Reads `scheme://host[:port][/path]`.
    pub(crate) fn parse(url: &str) -> Result<Self, Error> {
        let wrong = |why: &str| Err(Error::Url(format!("{url:?} is no address of a server: {why}")));
        let Some((scheme, rest)) = url.split_once("://") else {
            return wrong("write it as ws://host:port/v1/ws");
        };
        let Some(scheme) = Scheme::parse(scheme) else {
            return wrong(
                "the scheme is ws, wss, quic, or ringwire for the best of them, as in wss://host:port/v1/ws",
            );
        };
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
        Ok(Self { scheme, host: host.to_owned(), port: port.unwrap_or(scheme.port()), path })
    }

    /// What a server named instead of itself: a URL, or `host:port` that is to be used in the same way. It may not
    /// talk a client out of its encryption.
    pub(crate) fn moved(&self, address: &str) -> Result<Self, Error> {
        let endpoint = if address.contains("://") {
            Self::parse(address)?
        } else {
            Self::parse(&format!("{}://{address}{}", self.scheme.name(), self.path))?
        };
        if self.scheme.is_secure() && !endpoint.scheme.is_secure() {
            return Err(Error::Url(format!("{address:?} is not encrypted, and {} was", self.host)));
        }
        Ok(endpoint)
    }

    /// What goes into the Host header.
    pub(crate) fn authority(&self) -> String {
        let Self { scheme, host, port, .. } = self;
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        if *port == scheme.port() { host } else { format!("{host}:{port}") }
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
            ("wss://chat.example", "chat.example", 443, "/v1/ws", "chat.example"),
            ("wss://chat.example:80", "chat.example", 80, "/v1/ws", "chat.example:80"),
            ("quic://chat.example:7400", "chat.example", 7400, "/v1/ws", "chat.example:7400"),
            ("ringwire://chat.example", "chat.example", 443, "/v1/ws", "chat.example"),
        ];
        for (url, host, port, path, authority) in cases {
            let endpoint = Endpoint::parse(url).unwrap();
            let scheme = endpoint.scheme;
            assert_eq!(endpoint, Endpoint { scheme, host: host.into(), port, path: path.into() }, "{url}");
            assert!(url.to_lowercase().starts_with(&format!("{}://", scheme.name())), "{url}: {scheme:?}");
            assert_eq!(endpoint.authority(), authority, "{url}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_a_hint() {
        let cases = [
            ("localhost:7400", "ws://host:port"),
            ("http://localhost:7400", "scheme is ws"),
            ("https://localhost:7400", "wss"),
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
        assert_eq!(here.moved("wss://c:3").unwrap().scheme, Scheme::Wss);
        let secure = Endpoint::parse("quic://a:1").unwrap();
        assert_eq!(secure.moved("b:2").unwrap(), Endpoint::parse("quic://b:2").unwrap());
        assert!(secure.moved("ws://c:3").unwrap_err().to_string().contains("not encrypted"));
    }
}
