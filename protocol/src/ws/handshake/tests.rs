//! What the server half accepts, and how it says no.

use super::*;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// A valid request with lines replaced, left out (empty value) or added.
fn request_with(changes: &[(&str, &str)]) -> Vec<u8> {
    let mut lines = vec![
        ("", "GET /v1/ws?a=b HTTP/1.1"),
        ("Host", "example"),
        ("Upgrade", "websocket"),
        ("Connection", "keep-alive, Upgrade"),
        ("Sec-WebSocket-Key", KEY),
        ("Sec-WebSocket-Version", "13"),
    ];
    for &(name, value) in changes {
        match lines.iter_mut().find(|(other, _)| *other == name) {
            Some(line) => line.1 = value,
            None => lines.push((name, value)),
        }
    }
    let mut out = String::new();
    for (name, value) in lines {
        match (name, value) {
            (_, "") => {}
            ("", line) => out += &format!("{line}\r\n"),
            (name, value) => out += &format!("{}: {value}\r\n", name.trim_end_matches('2')),
        }
    }
    (out + "\r\n").into_bytes()
}

fn check(changes: &[(&str, &str)]) -> Result<Upgrade, HandshakeFault> {
    parse_request(&request_with(changes)).map(|parsed| parsed.expect("whole").0)
}

#[test]
fn the_example_of_the_rfc_is_answered_as_the_rfc_says() {
    let upgrade = check(&[]).expect("valid");
    assert_eq!((upgrade.path.as_str(), upgrade.query.as_str()), ("/v1/ws", "a=b"));
    assert!(!upgrade.protocol_offered);
    let response = String::from_utf8(response(&upgrade)).expect("text");
    assert!(response.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{response}");
    assert!(!response.contains("Sec-WebSocket-Protocol"));
    assert!(response.ends_with("\r\n\r\n"));
}

#[test]
fn each_rule_has_its_fault() {
    use HandshakeFault as F;
    let cases: &[(&[(&str, &str)], F)] = &[
        (&[("", "POST /v1/ws HTTP/1.1")], F::Method),
        (&[("", "GET /v1/ws HTTP/1.0")], F::HttpVersion),
        (&[("", "GET /v1/ws HTTP/2.0")], F::HttpVersion),
        (&[("", "GET nowhere HTTP/1.1")], F::Target),
        (&[("", "gibberish")], F::NotHttp),
        (&[("Host", "")], F::Host),
        (&[("Host2", "other")], F::Host),
        (&[("Upgrade", "h2c")], F::Upgrade),
        (&[("Upgrade", "")], F::Upgrade),
        (&[("Connection", "keep-alive")], F::Connection),
        (&[("Connection", "Upgraded")], F::Connection),
        (&[("Connection", "")], F::Connection),
        (&[("Sec-WebSocket-Version", "8")], F::Version),
        (&[("Sec-WebSocket-Version", "")], F::Version),
        (&[("Sec-WebSocket-Key", "")], F::Key),
        (&[("Sec-WebSocket-Key", "c2hvcnQ=")], F::Key),
        (&[("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZ!==")], F::Key),
        (&[("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZTEx")], F::Key),
        (&[("Sec-WebSocket-Key2", KEY)], F::Key),
        (&[("Sec-WebSocket-Protocol", "chat, soap")], F::Subprotocol),
        (&[("Content-Length", "5")], F::Body),
        (&[("Transfer-Encoding", "chunked")], F::Body),
        (&[("Origin", "https://a"), ("Origin2", "https://b")], F::Header("Origin")),
        (&[("Origin", "https://é")], F::Header("Origin")),
    ];
    for (changes, fault) in cases {
        let result = check(changes);
        assert_eq!(result.as_ref(), Err(fault), "{changes:?}");
        let answer = String::from_utf8(fault.response()).expect("text");
        let (head, body) = answer.split_once("\r\n\r\n").expect("head and body");
        assert!(head.starts_with(&format!("HTTP/1.1 {} ", fault.status().0)), "{head}");
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{answer}");
        assert!(head.contains("Connection: ") && head.ends_with("close"), "{head}");
    }
    let version = String::from_utf8(F::Version.response()).expect("text");
    assert!(version.starts_with("HTTP/1.1 426 ") && version.contains("Sec-WebSocket-Version: 13\r\n"));
}

#[test]
fn lists_and_cases_are_read_as_http_means_them() {
    assert!(check(&[("Connection", "foo ,\tUPGRADE")]).is_ok());
    assert!(check(&[("Connection", "close"), ("Connection2", "upgrade")]).is_ok());
    assert!(check(&[("Upgrade", "h2c, WebSocket")]).is_ok());
    assert!(check(&[("Content-Length", "0")]).is_ok());
    assert!(
        check(&[("", "GET http://example/v1/ws HTTP/1.1")]).is_ok_and(|upgrade| upgrade.path == "/v1/ws")
    );
    assert!(check(&[("", "GET http://example HTTP/1.1")]).is_ok_and(|upgrade| upgrade.path == "/"));
    let both = check(&[("Sec-WebSocket-Protocol", "ringwire.v9, ringwire.v1")]).expect("ours is among them");
    assert!(both.protocol_offered);
    let origin = check(&[("Origin", "https://chat.example")]).expect("valid");
    assert_eq!(origin.origin.as_deref(), Some("https://chat.example"));
    // Names of subprotocols are exact.
    assert_eq!(check(&[("Sec-WebSocket-Protocol", "Ringwire.V1")]), Err(HandshakeFault::Subprotocol));
}

#[test]
fn ordinary_requests_are_told_apart() {
    let request = b"GET /index.html?x=1 HTTP/1.1\r\nHost: a\r\nAccept-Encoding: br, gzip;q=0.8\r\n\r\n";
    let Err(HandshakeFault::Plain(plain)) = parse_request(request) else { panic!("not plain") };
    assert_eq!(
        plain,
        Plain {
            head: false,
            path: "/index.html".to_owned(),
            accepts_gzip: true,
            if_none_match: None,
            consumed: request.len()
        }
    );
    let status = |bytes: &[u8]| parse_request(bytes).expect_err("plain").response()[9..12].to_vec();
    assert_eq!(status(request), b"404");
    assert_eq!(status(b"GET /v1/ws HTTP/1.1\r\nHost: a\r\n\r\n"), b"426");
    assert_eq!(status(b"DELETE / HTTP/1.1\r\nHost: a\r\n\r\n"), b"405");
    let head = parse_request(b"HEAD /v1/ws HTTP/1.0\r\n\r\n").expect_err("plain").response();
    assert!(head.ends_with(b"\r\n\r\n"), "no body after HEAD");
}

#[test]
fn heads_are_bounded_and_garbage_is_refused_early() {
    assert_eq!(parse_request(b"\x16\x03\x01"), Err(HandshakeFault::Tls));
    assert_eq!(parse_request(b"\0"), Err(HandshakeFault::NotHttp));
    assert_eq!(parse_request(b"\r\n\r\n"), Ok(None));
    assert_eq!(parse_request(b"\r\n\r\nX"), Err(HandshakeFault::NotHttp));
    let endless =
        [b"GET / HTTP/1.1\r\nX: ".as_slice(), &vec![b'a'; crate::limits::HANDSHAKE_BYTES_MAX]].concat();
    assert_eq!(parse_request(&endless[..1000]), Ok(None));
    assert_eq!(parse_request(&endless), Err(HandshakeFault::HeadTooLarge));
    let many =
        format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(crate::limits::HANDSHAKE_HEADERS_MAX + 1));
    assert_eq!(parse_request(many.as_bytes()), Err(HandshakeFault::HeadTooLarge));
}

#[test]
fn a_host_or_path_cannot_smuggle_lines_in() {
    let bytes = request("a\r\nX: y", "v1/ws\r\nEvil: 1 #é", [1; 16]);
    let text = String::from_utf8(bytes).expect("ASCII");
    assert!(text.starts_with("GET /v1/ws%0D%0AEvil:%201%20%23%C3%A9 HTTP/1.1\r\nHost: aX:y\r\n"), "{text}");
}

#[test]
fn refusals_reach_the_client_with_their_text() {
    let bytes = HandshakeFault::Overloaded { retry_after_s: 7 }.response();
    let Err(HandshakeFault::Refused { status, retry_after_s, reason }) = parse_response(&bytes, [0; 16])
    else {
        panic!("not refused")
    };
    assert_eq!((status, retry_after_s), (503, Some(7)));
    assert_eq!(reason, "the server is busy; try again in 7 s");
    assert_eq!(parse_response(b"SSH-2.0", [0; 16]), Err(HandshakeFault::NotHttp));
}
