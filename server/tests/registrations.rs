//! How devices ask to be woken: what is taken, what is refused, and what keeps a server from starting.

#![allow(clippy::disallowed_methods, reason = "tests start processes and write files")]

mod support;

use std::path::Path;

use ringwire_protocol::code::Code;
use ringwire_protocol::message::{Provider, Register, ServerFrame, Unregister};
use support::{DRIVERS, Raw, Server};

/// A key that signs nothing but these tests.
fn write_vapid_key(path: &Path) {
    let key = rcgen::KeyPair::generate().expect("a key").serialize_pem();
    std::fs::write(path, key).expect("written");
}

/// A server with a webhook and Web Push; nothing listens at their addresses.
fn start(data: &Path, extra: &[&str]) -> Server {
    let secret = data.join("webhook.secret");
    std::fs::write(&secret, "0123456789abcdef0123456789abcdef").expect("written");
    let key = data.join("vapid.pem");
    write_vapid_key(&key);
    let settings = [
        "push.webhook_url=http://127.0.0.1:9/".to_owned(),
        format!("push.webhook_secret_file={}", secret.display()),
        format!("push.vapid_key_file={}", key.display()),
        "push.vapid_subject=mailto:ops@example.com".to_owned(),
    ];
    let mut all: Vec<&str> = extra.to_vec();
    settings.iter().for_each(|setting| all.extend(["--set", setting]));
    Server::start(&data.join("data"), &all)
}

fn hook(request: u32, token: &str) -> Register<'_> {
    Register { request, provider: Provider::Webhook, token, app: "", key: &[], secret: &[] }
}

/// The answer to a request: done, or why not.
fn answer(raw: &mut Raw, request: u32) -> Result<(), (Code, String)> {
    loop {
        match raw.next().get() {
            ServerFrame::Done(done) if done.request == request => return Ok(()),
            ServerFrame::Reject(reject) if reject.request == request => {
                return Err((reject.code, reject.reason.to_owned()));
            }
            _ => {}
        }
    }
}

fn register(raw: &mut Raw, register: Register<'_>) -> Result<(), (Code, String)> {
    raw.frame(|encoder, out| register.encode(encoder, out));
    answer(raw, register.request)
}

fn unregister(raw: &mut Raw, request: u32) -> Result<(), (Code, String)> {
    raw.frame(|encoder, out| Unregister { request }.encode(encoder, out));
    answer(raw, request)
}

#[test]
fn registrations_are_durable_and_bounded() {
    for driver in DRIVERS {
        let data = tempfile::tempdir().expect("a directory");
        let server = start(data.path(), &["--driver", driver, "--shards", "2"]);
        for device in 0..16 {
            let mut raw = Raw::sign_in_on(server.address, "bob", &format!("device-{device}"));
            register(&mut raw, hook(1, "first")).expect("room for sixteen");
            register(&mut raw, hook(2, "second")).expect("a device may change its mind");
            register(&mut raw, hook(3, "second")).expect("or say the same again");
        }
        server.kill();

        let server = start(data.path(), &["--driver", driver, "--shards", "3"]);
        let mut late = Raw::sign_in_on(server.address, "bob", "device-16");
        let (code, reason) = register(&mut late, hook(1, "late")).expect_err("the others are remembered");
        assert_eq!(code, Code::TOO_MANY_REGISTRATIONS);
        assert!(reason.contains("16"), "{reason}");
        let mut other = Raw::sign_in_on(server.address, "eve", "device-16");
        register(&mut other, hook(1, "eve's")).expect("another user has room");
        let mut early = Raw::sign_in_on(server.address, "bob", "device-0");
        register(&mut early, hook(1, "third")).expect("its own is replaced");
        unregister(&mut early, 2).expect("it may go");
        unregister(&mut early, 3).expect("and be gone");
        register(&mut late, hook(2, "late")).expect("now there is room");
        assert_eq!(server.terminate(), Some(0));
    }
}

#[test]
fn what_no_service_takes_is_refused_with_the_reason() {
    let data = tempfile::tempdir().expect("a directory");
    let server = start(data.path(), &[]);
    let mut raw = Raw::sign_in(server.address, "bob");
    let mut key = [7; 65];
    key[0] = 4;
    let web = |request, token: &'static str| Register {
        request,
        provider: Provider::WebPush,
        token,
        app: "",
        key: &[],
        secret: &[5; 16],
    };
    let endpoint = "https://updates.push.services.mozilla.com/wpush/v2/x";
    let cases = [
        (Register { provider: Provider::Apns, ..hook(1, "cafe") }, "apns"),
        (Register { provider: Provider::Fcm, ..hook(2, "token") }, "fcm"),
        (hook(3, ""), "token"),
        (hook(4, "two words"), "token"),
        (Register { app: "a b", ..hook(5, "token") }, "application"),
        (web(6, endpoint), "p256dh"),
        (Register { key: &key, secret: &[1], ..web(7, endpoint) }, "auth"),
        (Register { key: &key, ..web(8, "https://127.0.0.1/internal") }, "push.web_push_hosts"),
        (Register { key: &key, ..web(9, "http://updates.push.services.mozilla.com/x") }, "endpoint"),
    ];
    for (wrong, named) in cases {
        let (code, reason) = register(&mut raw, wrong).expect_err("it is wrong");
        assert_eq!(code, Code::PUSH_TOKEN_INVALID, "{wrong:?}: {reason}");
        assert!(reason.contains(named), "{named} is missing in: {reason}");
    }
    register(&mut raw, Register { key: &key, ..web(10, endpoint) }).expect("a sound one");
    // Nobody fills the journal with changes of mind.
    let flood = (100..140).find_map(|request| {
        let token = if request % 2 == 0 { "this" } else { "that" };
        register(&mut raw, hook(request, token)).err()
    });
    assert_eq!(flood.map(|(code, _)| code), Some(Code::RATE_LIMITED));
    drop(server);

    let server = Server::start(&data.path().join("none"), &[]);
    let mut raw = Raw::sign_in(server.address, "bob");
    let (code, reason) = register(&mut raw, hook(1, "token")).expect_err("nothing is configured");
    assert_eq!(code, Code::PUSH_TOKEN_INVALID);
    assert!(reason.contains("operator"), "{reason}");
}

#[test]
fn keys_that_cannot_be_used_keep_it_from_starting_and_are_named() {
    let data = tempfile::tempdir().expect("a directory");
    let wrong = data.path().join("wrong.pem");
    std::fs::write(&wrong, "this is no key").expect("written");
    let wrong = wrong.to_str().expect("UTF-8");
    let apns = ["push.apns_key_id=K", "push.apns_team_id=T", "push.apns_topics=com.example"];
    let vapid = ["push.vapid_subject=mailto:ops@example.com"];
    let hook = ["push.webhook_url=https://hook.example/"];
    let cases: [(&str, &str, &[&str]); 9] = [
        ("push.apns_key_file", wrong, &apns),
        ("push.apns_key_file", "/nonexistent/key.p8", &apns),
        ("push.apns_key_file", wrong, &[]),
        ("push.fcm_account_file", wrong, &[]),
        ("push.fcm_account_file", "/nonexistent/account.json", &[]),
        ("push.vapid_key_file", wrong, &vapid),
        ("push.vapid_key_file", "/nonexistent/vapid.pem", &vapid),
        ("push.webhook_secret_file", wrong, &hook),
        ("push.webhook_secret_file", "/nonexistent/secret", &hook),
    ];
    for (setting, file, beside) in cases {
        let mut settings = vec![format!("{setting}={file}")];
        settings.extend(beside.iter().map(|text| (*text).to_owned()));
        let extra: Vec<&str> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
        let Err(refusal) = Server::try_start(&data.path().join("data"), &extra) else {
            panic!("{settings:?} should keep it from starting");
        };
        assert_eq!(refusal.code, Some(1));
        // Where a setting is missing beside it, that one is named.
        let named =
            if beside.is_empty() && setting == "push.apns_key_file" { "push.apns_key_id" } else { file };
        assert!(refusal.text.contains(named), "{named} is missing in: {}", refusal.text);
        assert!(refusal.text.contains("push."), "the setting is missing in: {}", refusal.text);
    }

    // A queue that is none of ours is not written over.
    let queue = data.path().join("data").join("push");
    std::fs::create_dir_all(&queue).expect("made");
    std::fs::write(queue.join("queue"), "another program's file").expect("written");
    let Err(refusal) = Server::try_start(&data.path().join("data"), &[]) else {
        panic!("it should not start on another's queue")
    };
    assert!(refusal.text.contains("push/queue"), "{}", refusal.text);
}
