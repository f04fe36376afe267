//! HTTP/1.1 by hand, so that it can misbehave.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::support::PATIENCE;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
}

impl Answer {
    /// A header that has to be there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("{name} is missing: {self:?}"))
    }

    /// The problem's code, after a look at the rest of it.
    pub fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let problem: serde_json::Value = serde_json::from_slice(&self.body).expect("JSON");
        let text = |key: &str| problem[key].as_str().unwrap_or_else(|| panic!("{key}: {problem}")).to_owned();
        let code = text("code");
        assert_eq!(text("type"), format!("urn:ringwire:problem:{code}"));
        assert_eq!(problem["status"].as_u64(), Some(u64::from(self.status)));
        assert!(!text("title").is_empty() && text("detail").len() > 10);
        assert!(["peer", "policy", "server"].contains(&text("whose").as_str()), "{problem}");
        code
    }
}

/// A connection.
pub struct Http {
    pub stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Http {
    pub fn connect(address: SocketAddr) -> Http {
        let stream = TcpStream::connect(address).expect("the plane listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("settable");
        stream.set_nodelay(true).expect("settable");
        let reader = BufReader::new(stream.try_clone().expect("clonable"));
        Http { stream, reader }
    }

    /// Sends a request's head.
    pub fn head(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: x\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        self.stream.write_all(format!("{head}\r\n").as_bytes()).expect("sent");
    }

    /// Sends bytes; whether they went.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Reads an answer.
    pub fn answer(&mut self, method: &str) -> Answer {
        self.try_answer(method).expect("an answer")
    }

    /// Reads an answer, where there is one.
    pub fn try_answer(&mut self, method: &str) -> Option<Answer> {
        let mut line = String::new();
        self.reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
        let status: u16 = line.split(' ').nth(1).and_then(|text| text.parse().ok()).expect("a status");
        let mut headers = HashMap::new();
        loop {
            line.clear();
            self.reader.read_line(&mut line).expect("a head");
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            let value = value.trim().to_owned();
            headers
                .entry(name.to_ascii_lowercase())
                .and_modify(|before: &mut String| {
                    before.push_str(", ");
                    before.push_str(&value);
                })
                .or_insert(value);
        }
        if status == 100 {
            return self.try_answer(method);
        }
        let length: usize = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        let mut body = Vec::new();
        if method != "HEAD" && status != 204 && status != 304 {
            self.reader.by_ref().take(length as u64).read_to_end(&mut body).expect("a body");
            assert_eq!(body.len(), length, "the body is whole");
        }
        Some(Answer { status, headers, body })
    }
}

/// One request on a connection of its own.
pub fn ask(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let mut http = Http::connect(address);
    let length = body.len().to_string();
    let mut headers = headers.to_vec();
    if !body.is_empty() || method == "POST" || method == "PATCH" {
        headers.push(("content-length", &length));
    }
    http.head(method, path, &headers);
    // Who is refused may not get rid of all.
    http.send(body);
    http.answer(method)
}
