//! HTTP heads of any content: an answer of HTTP or patience, the same once the end of the head is there.

#![no_main]

use ringwire_protocol::limits::HANDSHAKE_BYTES_MAX;
use ringwire_protocol::ws::handshake;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    match handshake::parse_request(data) {
        Ok(None) => assert!(data.len() < HANDSHAKE_BYTES_MAX),
        Ok(Some((upgrade, consumed))) => {
            assert!(consumed <= data.len() && consumed <= HANDSHAKE_BYTES_MAX);
            assert!(upgrade.path.starts_with('/'));
            let response = handshake::response(&upgrade);
            assert!(response.starts_with(b"HTTP/1.1 101 ") && response.ends_with(b"\r\n\r\n"));
            assert_eq!(handshake::parse_request(&data[..consumed]), Ok(Some((upgrade, consumed))));
        }
        Err(fault) => {
            let response = fault.response();
            assert!(response.starts_with(b"HTTP/1.1 "));
            assert_eq!(response.windows(4).filter(|window| window == b"\r\n\r\n").count(), 1);
        }
    }
    if let Ok(Some(consumed)) = handshake::parse_response(data, [7; 16]) {
        assert!(consumed <= data.len());
    }
    // A path and a host of any content end in one request line.
    let text = String::from_utf8_lossy(data);
    let request = handshake::request(&text, &text, [7; 16]);
    assert_eq!(request.windows(2).filter(|window| window == b"\r\n").count(), 8);
});
