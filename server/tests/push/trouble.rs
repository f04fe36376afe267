//! Services that fail, hang, reset and forget; devices that are gone; crashes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use ringwire::plane::exchange::Ask;
use ringwire::plane::push::{Carriers, Pace, Webhook, WebhookConfig};
use ringwire_protocol::id::UserId;
use ringwire_protocol::message::Provider;

use crate::engine::{Engine, client, run, target};
use crate::service::{PATIENCE, Reply, Service};

/// A webhook is the plainest carrier: what is tried here is the same for all.
fn webhook(service: &Service) -> Carriers {
    let config = WebhookConfig { url: service.url.clone(), secret: vec![7; 32] };
    Carriers { webhook: Some(Webhook::new(&config, client(service))), ..Default::default() }
}

fn hook() -> ringwire::plane::push::target::Target {
    target(Provider::Webhook, "device")
}

/// Answers `first` so many times, then 200.
fn then_well(
    times: u32,
    first: impl Fn() -> Reply + Send + 'static,
) -> impl FnMut(&crate::service::Received) -> Reply {
    let mut count = 0;
    move |_| {
        count += 1;
        if count <= times { first() } else { Reply::status(200) }
    }
}

#[test]
fn what_fails_for_a_while_is_delivered_in_the_end() {
    for (what, reply) in [
        ("an error", (|| Reply::status(500)) as fn() -> Reply),
        ("overload", || Reply::status(503)),
        ("a reset", || Reply::Reset),
        ("a service that hangs", || Reply::Hang),
    ] {
        let data = tempfile::tempdir().expect("a directory");
        run(async || {
            let service = Service::start(then_well(2, reply)).await;
            let mut engine = Engine::start(data.path(), webhook(&service));
            engine.wake("bob", "room", 1, &[hook()]);
            let received = service.wait_for(3).await;
            engine.until_empty().await;
            let ids: Vec<&str> = received.iter().map(|push| push.header("idempotency-key")).collect();
            assert!(ids.iter().all(|id| *id == ids[0]), "{what}: every try has the same id");
            let counts = engine.push.counters().by_provider[3];
            assert_eq!((counts.failed, counts.delivered, counts.dead), (2, 1, 0), "{what}");
            engine.stop().await;
        });
    }
}

#[test]
fn a_service_that_asks_for_a_pause_gets_it_from_all() {
    let data = tempfile::tempdir().expect("a directory");
    run(async || {
        let busy = || Reply::Say(429, vec![("retry-after", "2".to_owned())], String::new());
        let service = Service::start(then_well(1, busy)).await;
        let pace = Pace { concurrency: 1, attempts_max: 4 };
        let mut engine = Engine::start_with(data.path(), webhook(&service), pace);
        for room in ["a", "b", "c"] {
            engine.wake("bob", room, 1, &[hook()]);
        }
        let received = service.wait_for(4).await;
        engine.until_empty().await;
        for later in &received[1..] {
            let pause = later.at - received[0].at;
            assert!(pause >= Duration::from_secs(2), "somebody came back after {pause:?}");
        }
        engine.stop().await;
    });
}

#[test]
fn what_fails_for_ever_is_a_dead_letter_that_can_be_replayed() {
    let data = tempfile::tempdir().expect("a directory");
    run(async || {
        let is_well = Arc::new(AtomicU32::new(0));
        let well = Arc::clone(&is_well);
        let service = Service::start(move |_| match well.load(Ordering::Relaxed) {
            0 => Reply::Say(500, Vec::new(), "out of order".into()),
            1 => Reply::Say(400, Vec::new(), "not like this".into()),
            _ => Reply::status(200),
        })
        .await;
        let pace = Pace { concurrency: 4, attempts_max: 2 };
        let mut engine = Engine::start_with(data.path(), webhook(&service), pace);
        engine.wake("bob", "room", 1, &[hook()]);
        engine.until("a dead letter", |push| push.levels() == (0, 1)).await;
        let letter = engine.push.dead_letters(None, 10).remove(0);
        assert_eq!((letter.attempts, service.received().len()), (2, 2));
        assert!(letter.why.contains("500") && letter.why.contains("out of order"), "{}", letter.why);

        // It survives a restart, and a replay that fails is a dead letter again.
        engine.stop().await;
        is_well.store(1, Ordering::Relaxed);
        let engine = Engine::start_with(data.path(), webhook(&service), pace);
        assert_eq!(engine.push.levels(), (0, 1));
        assert_eq!(engine.push.replay(None).await, 1);
        engine.until("a dead letter", |push| push.levels() == (0, 1)).await;
        assert_eq!(service.received().len(), 3, "what is refused for good is not tried again by itself");
        is_well.store(2, Ordering::Relaxed);
        assert_eq!(engine.push.replay(Some(letter.job.id)).await, 1);
        engine.until("delivered", |push| push.levels() == (0, 0)).await;
        assert_eq!(engine.push.replay(Some(letter.job.id)).await, 0, "it is not there any more");
        let ids: Vec<_> =
            service.received().iter().map(|push| push.headers["idempotency-key"].clone()).collect();
        assert!(ids.iter().all(|id| *id == ids[0]));
        engine.stop().await;
    });
}

#[test]
fn a_device_that_is_gone_loses_its_registration() {
    let data = tempfile::tempdir().expect("a directory");
    run(async || {
        let service = Service::start(|_| Reply::status(410)).await;
        let mut engine = Engine::start(data.path(), webhook(&service));
        engine.wake("bob", "room", 1, &[hook()]);
        let until = Instant::now() + PATIENCE;
        let ask = loop {
            if let Some(ask) = engine.outlet.take_ask() {
                break ask;
            }
            assert!(Instant::now() < until, "the home is not asked");
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        let Ask::Unregister { user, device, token, .. } = ask else { panic!("not {ask:?}") };
        assert_eq!((user, device, &*token), (UserId::from_name("bob"), 0, "device"));
        engine.until_empty().await;
        let counts = engine.push.counters().by_provider[3];
        assert_eq!((counts.gone, counts.failed, counts.dead), (1, 0, 0));
        engine.stop().await;
    });
}

#[test]
fn one_wake_up_per_conversation_until_the_return() {
    let data = tempfile::tempdir().expect("a directory");
    run(async || {
        let service = Service::start(|_| Reply::status(200)).await;
        let mut engine = Engine::start(data.path(), webhook(&service));
        for sequence in 1..4 {
            engine.wake("bob", "room", sequence, &[hook()]);
        }
        engine.wake("bob", "other", 1, &[hook()]);
        service.wait_for(2).await;
        engine.until_empty().await;
        // A restart does not forget who was woken.
        engine.kill().await;
        let mut engine = Engine::start(data.path(), webhook(&service));
        engine.wake("bob", "room", 4, &[hook()]);
        engine.until("a repeated wake-up", |push| push.counters().wakes_repeated == 1).await;
        assert_eq!(service.received().len(), 2);
        engine.back("bob");
        engine.wake("bob", "room", 5, &[hook()]);
        assert_eq!(service.wait_for(3).await[2].json()["sequence"], "5");
        engine.stop().await;
    });
}

#[test]
fn who_is_back_is_not_pushed_to() {
    let data = tempfile::tempdir().expect("a directory");
    run(async || {
        let service = Service::start(|_| Reply::status(500)).await;
        let mut engine = Engine::start(data.path(), webhook(&service));
        engine.wake("bob", "room", 1, &[hook()]);
        service.wait_for(1).await;
        engine.back("bob");
        engine.until_empty().await;
        let tries = service.received().len();
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert_eq!(service.received().len(), tries, "a try more after he was back");
        assert_eq!(engine.push.levels(), (0, 0), "and no dead letter");
        engine.stop().await;
    });
}

#[test]
fn a_crash_loses_no_wake_up_and_the_id_tells_repeats() {
    let data = tempfile::tempdir().expect("a directory");
    run(async || {
        let service = Service::start(|_| Reply::Hang).await;
        let mut engine = Engine::start(data.path(), webhook(&service));
        for at in 0..50 {
            engine.wake(&format!("user-{at}"), "room", 1, &[hook()]);
        }
        // Some are under way, the others wait; all are on the disk once one of the last batch was tried.
        service.wait_for(4).await;
        engine.kill().await;
        let service = Service::start(|_| Reply::status(200)).await;
        let engine = Engine::start(data.path(), webhook(&service));
        service.wait_for(50).await;
        engine.until_empty().await;
        let mut ids: Vec<_> =
            service.received().iter().map(|push| push.headers["idempotency-key"].clone()).collect();
        assert_eq!(ids.len(), 50);
        ids.sort_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
        ids.dedup();
        assert_eq!(ids.len(), 50, "each has an id of its own");
        engine.stop().await;
    });
}
