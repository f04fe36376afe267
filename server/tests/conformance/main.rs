//! The protocol's scenarios (`schema/conformance.json`) with the Rust client, against the real server. The client for
//! browsers runs the same list in `client-web/test/conformance.test.ts`.

#![allow(clippy::disallowed_methods, reason = "tests start processes and wait for them")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod link;
mod person;
#[path = "../support/mod.rs"]
mod support;

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ringwire_client::DeviceId;
use serde::Deserialize;
use serde_json::Value;

use link::Way;
use person::{Person, Read};
use support::{PATIENCE, Server};

/// So long nothing may come, where nothing is to come.
const QUIET: Duration = Duration::from_millis(300);
const SECRET: &str = "0123456789abcdef0123456789abcdef";

#[derive(Deserialize)]
struct List {
    scenarios: Vec<Scenario>,
}

#[derive(Deserialize)]
struct Scenario {
    name: String,
    #[serde(default)]
    set: Vec<String>,
    #[serde(default)]
    keys: bool,
    steps: Vec<Value>,
}

/// The server of one scenario, on one port for its whole life.
struct Host {
    folder: tempfile::TempDir,
    settings: Vec<String>,
    address: String,
    server: Option<Server>,
    keys: bool,
}

impl Host {
    fn new(scenario: &Scenario) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = scenario.set.clone();
        if scenario.keys {
            let key = folder.path().join("key");
            std::fs::write(&key, SECRET).unwrap();
            settings.push(format!("auth.hs256_secret_file={}", key.display()));
        }
        let address = "127.0.0.1:0".to_owned();
        let mut host = Host { folder, settings, address, server: None, keys: scenario.keys };
        host.start(&[]);
        host
    }

    fn data(&self) -> std::path::PathBuf {
        self.folder.path().join("data")
    }

    fn start(&mut self, further: &[String]) {
        let mut arguments = vec!["--shards", "2", "--listen", &self.address];
        for setting in self.settings.iter().chain(further) {
            arguments.extend(["--set", setting]);
        }
        let server = Server::start(&self.data(), &arguments);
        self.address = server.address.to_string();
        self.server = Some(server);
    }

    /// One byte of this text, which is stored once, becomes another.
    fn damage(&self, text: &str) {
        let journal = self.data().join("journal");
        for entry in std::fs::read_dir(&journal).unwrap() {
            let path = entry.unwrap().path();
            let mut bytes = std::fs::read(&path).unwrap();
            if let Some(at) = bytes.windows(text.len()).position(|window| window == text.as_bytes()) {
                bytes[at] ^= 0x55;
                return std::fs::write(&path, bytes).unwrap();
            }
        }
        panic!("nothing in {} has the text {text:?}", journal.display());
    }

    /// A token of that user for so long.
    fn token(is_signed: bool, user: &str, seconds: u64) -> String {
        if !is_signed {
            return format!("dev:{user}");
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let claims = serde_json::json!({ "sub": user, "name": user, "exp": now + seconds, "join": ["*"] });
        let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
        jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap()
    }
}

struct World {
    host: Host,
    people: HashMap<String, Person>,
    devices: HashMap<String, DeviceId>,
}

impl World {
    fn person(&mut self, step: &Value, verb: &str) -> &mut Person {
        let name = step[verb].as_str().expect("a client's name");
        self.people.get_mut(name).unwrap_or_else(|| panic!("{name} has not connected"))
    }

    async fn step(&mut self, step: &Value) {
        let verb = |verb: &str| !step[verb].is_null();
        let number = |of: &str| step[of].as_u64();
        if verb("connect") {
            self.connect(step).await;
        } else if verb("join") {
            let from = number("from");
            self.person(step, "join").join(from).await;
        } else if verb("publish") {
            let dots = ".".repeat(number("bytes").unwrap_or(0) as usize);
            let texts: Vec<String> = match step["texts"].as_array() {
                Some(texts) => texts.iter().map(|text| text.as_str().unwrap().to_owned()).collect(),
                None => (0..number("count").unwrap()).map(|number| format!("{number}{dots}")).collect(),
            };
            self.person(step, "publish").publish(texts).await;
        } else if verb("link") {
            let way = match step["to"].as_str().unwrap() {
                "up" | "flowing" => Way::Up,
                "down" => Way::Down,
                "deaf" => Way::Deaf,
                "held" => Way::Held,
                other => panic!("a link is not {other}"),
            };
            self.person(step, "link").link.to(way);
        } else if let Some(to) = step["server"].as_str() {
            self.server(to, step);
        } else if verb("leave") {
            self.person(step, "leave").leave().await;
        } else if let Some(wait) = number("wait") {
            tokio::time::sleep(Duration::from_millis(wait)).await;
        } else if verb("asked") {
            let asked = self.person(step, "asked").asked();
            assert!(asked >= number("times").unwrap(), "asked {asked} times");
        } else if verb("nothing") {
            tokio::time::sleep(QUIET).await;
            self.person(step, "nothing").expect_nothing();
        } else if verb("see") {
            see(self.person(step, "see"), step).await;
        } else {
            panic!("a step that is not known");
        }
    }

    async fn connect(&mut self, step: &Value) {
        let name = step["connect"].as_str().unwrap();
        let device = match step["device_of"].as_str() {
            Some(other) => self.devices[other],
            None => DeviceId::from_name(name),
        };
        self.devices.insert(name.to_owned(), device);
        let user = step["user"].as_str().unwrap_or(name).to_owned();
        let (is_signed, seconds) = (self.host.keys, step["token_seconds"].as_u64().unwrap_or(600));
        let given = step["token"].as_str().map(str::to_owned);
        let version = step["hello_version"].as_u64().map(|version| version as u16);
        let address = self.host.address.parse().unwrap();
        let mint = move || Host::token(is_signed, &user, seconds);
        let person = Person::connect(address, device, given, mint, version).await;
        self.people.insert(name.to_owned(), person);
    }

    fn server(&mut self, to: &str, step: &Value) {
        match to {
            "killed" => self.host.server.take().expect("it runs").kill(),
            "terminated" => {
                // It ends by itself, and not before those who are connected have gone.
                let server = self.host.server.as_ref().expect("it runs");
                server.signal("TERM");
            }
            "damaged" => self.host.damage(step["text"].as_str().unwrap()),
            "started" => {
                let set = step["set"].as_array().into_iter().flatten();
                let set: Vec<String> = set.map(|setting| setting.as_str().unwrap().to_owned()).collect();
                if let Some(mut server) = self.host.server.take() {
                    server.wait();
                }
                self.host.start(&set);
            }
            other => panic!("a server is not {other}"),
        }
    }
}

async fn see(person: &mut Person, step: &Value) {
    let words = ["connected", "disconnected", "failed", "ended"];
    if let Some(word) = words.into_iter().find(|word| !step[*word].is_null()) {
        let code = person.take_state(word).await;
        if let Some(expected) = step.get("code") {
            assert_eq!(code.map_or(Value::Null, Value::from), *expected);
        }
    } else if let Some(expected) = step["messages"].as_array() {
        let expected: Vec<Read> = expected.iter().map(Read::expected).collect();
        assert_eq!(person.take_read(expected.len()).await, expected);
    } else if let Some(count) = step["numbers"].as_u64() {
        for (number, read) in (0..).zip(person.take_read(count as usize).await) {
            let Read::Text(text) = read else { panic!("{read:?} in place of {number}") };
            assert_eq!(text.trim_end_matches('.'), number.to_string());
        }
    } else if let Some(count) = step["published_count"].as_u64() {
        person.take_answers(count as usize).await;
    } else {
        let expected: Vec<u64> =
            step["published"].as_array().unwrap().iter().map(|sequence| sequence.as_u64().unwrap()).collect();
        let answers = person.take_answers(expected.len()).await;
        let sequences: Vec<u64> = answers.iter().map(|(sequence, _)| *sequence).collect();
        assert_eq!(sequences, expected);
        if let Some(duplicate) = step["duplicate"].as_bool() {
            assert!(answers.iter().all(|(_, was)| *was == duplicate), "duplicate is {}", !duplicate);
        }
    }
}

#[test]
fn the_rust_client_does_what_every_client_does() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schema/conformance.json");
    let list: List = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    assert!(list.scenarios.len() >= 9, "the list has lost scenarios");
    for scenario in list.scenarios {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let host = Host::new(&scenario);
            let mut world = World { host, people: HashMap::new(), devices: HashMap::new() };
            for (at, step) in scenario.steps.iter().enumerate() {
                // Shown where the test fails.
                println!("{}, step {}: {step}", scenario.name, at + 1);
                tokio::time::timeout(PATIENCE, world.step(step)).await.expect("in time");
            }
        });
    }
}
