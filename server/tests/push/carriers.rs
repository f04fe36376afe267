//! What each service gets, checked as it checks it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree};
use aws_lc_rs::{hkdf, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Version;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Validation};
use ringwire::plane::push::target::Target;
use ringwire::plane::push::{
    Apns, ApnsConfig, Carriers, Fcm, FcmConfig, VapidKey, WakeId, WebPush, WebPushConfig, Webhook,
    WebhookConfig,
};
use ringwire_protocol::id::{ConversationId, UserId};
use ringwire_protocol::message::Provider;
use serde_json::{Value, json};

use crate::engine::{Engine, client, run, target};
use crate::service::{Reply, Service};

fn room() -> String {
    ConversationId::from_name("room").to_string()
}

fn wake(sequence: u64) -> String {
    WakeId::new(UserId::from_name("bob"), ConversationId::from_name("room"), sequence).to_string()
}

fn verify(
    token: &str,
    algorithm: Algorithm,
    key: &DecodingKey,
    audience: Option<&str>,
) -> (Option<String>, Value) {
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = audience.is_some();
    match audience {
        Some(audience) => validation.set_audience(&[audience]),
        None => validation.validate_aud = false,
    }
    let data = jsonwebtoken::decode::<Value>(token, key, &validation).expect("a token with a good signature");
    (data.header.kid, data.claims)
}

#[test]
fn apns_gets_a_signed_token_and_ids_over_http_2() {
    let data = tempfile::tempdir().expect("a directory");
    run(async || {
        let service = Service::start(|_| Reply::status(200)).await;
        let pair = rcgen::KeyPair::generate().expect("a key");
        let config = ApnsConfig {
            url: service.url.clone(),
            key: EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).expect("a key"),
            key_id: "KEY".into(),
            team_id: "TEAM".into(),
            topics: vec!["com.example.app".into(), "com.example.other".into()],
            ttl: Duration::from_secs(600),
        };
        let apns = Some(Apns::new(config, client(&service)));
        let mut engine = Engine::start(data.path(), Carriers { apns, ..Default::default() });
        let other = Target { app: "com.example.other".into(), ..target(Provider::Apns, "beef") };
        engine.wake("bob", "room", 7, &[target(Provider::Apns, "cafe"), other]);
        let received = service.wait_for(2).await;
        engine.until_empty().await;

        let key = DecodingKey::from_ec_pem(pair.public_key_pem().as_bytes()).expect("a key");
        for (token, topic) in [("cafe", "com.example.app"), ("beef", "com.example.other")] {
            let path = format!("/3/device/{token}");
            let push = received.iter().find(|push| push.path == path).expect("one for each device");
            assert_eq!(push.version, Version::HTTP_2);
            assert_eq!(push.header("apns-topic"), topic);
            assert_eq!(push.header("apns-push-type"), "alert");
            assert_eq!(push.header("apns-collapse-id"), room());
            assert_eq!(push.header("apns-id").replace('-', ""), wake(7));
            let expires: u64 = push.header("apns-expiration").parse().expect("a time");
            let now = std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_secs();
            assert!((now + 500..=now + 600).contains(&expires), "{expires}");
            let jwt = push.header("authorization").strip_prefix("bearer ").expect("a bearer");
            let (kid, claims) = verify(jwt, Algorithm::ES256, &key, None);
            assert_eq!((kid.as_deref(), &claims["iss"]), (Some("KEY"), &json!("TEAM")));
            assert!(claims["iat"].as_u64().is_some_and(|iat| iat.abs_diff(now) < 60));
            let body = push.json();
            assert_eq!(body["ringwire"], json!({ "conversation": room(), "sequence": "7", "wake": wake(7) }));
            assert_eq!(body["aps"]["mutable-content"], 1);
        }
        let tokens: Vec<&str> = received.iter().map(|push| push.header("authorization")).collect();
        assert_eq!(tokens[0], tokens[1], "one token serves for all");
        assert_eq!(engine.push.counters().by_provider[0].delivered, 2);
        assert_eq!(engine.push.counters().wakes, 1, "a wake-up of two devices is one");
        engine.stop().await;
    });
}

#[test]
fn fcm_buys_a_token_once_and_sends_with_it() {
    let data = tempfile::tempdir().expect("a directory");
    run(async || {
        let sends = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&sends);
        let service = Service::start(move |received| match &*received.path {
            "/token" => Reply::json(200, json!({ "access_token": format!("bought-{}", counted.load(Ordering::Relaxed)), "expires_in": 3600 })),
            // The first token is taken back, as Google does when a key is replaced.
            _ if counted.fetch_add(1, Ordering::Relaxed) == 0 => Reply::status(401),
            _ => Reply::json(200, json!({ "name": "projects/p/messages/1" })),
        })
        .await;
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).expect("a key");
        let config = FcmConfig {
            url: service.url.clone(),
            token_url: format!("{}/token", service.url),
            project_id: "project".into(),
            client_email: "push@project.example".into(),
            key: EncodingKey::from_rsa_pem(pair.serialize_pem().as_bytes()).expect("a key"),
            key_id: Some("kid".into()),
            ttl: Duration::from_secs(600),
        };
        let fcm = Some(Fcm::new(config, client(&service)));
        let mut engine = Engine::start(data.path(), Carriers { fcm, ..Default::default() });
        engine.wake("bob", "room", 7, &[target(Provider::Fcm, "device-1")]);
        service.wait_for(4).await;
        engine.until_empty().await;
        engine.wake("eve", "room", 8, &[target(Provider::Fcm, "device-2")]);
        let received = service.wait_for(5).await;
        engine.until_empty().await;

        let paths: Vec<&str> = received.iter().map(|request| &*request.path).collect();
        let send = "/v1/projects/project/messages:send";
        assert_eq!(paths, ["/token", send, "/token", send, send]);
        let form = String::from_utf8(received[0].body.to_vec()).expect("a form");
        let assertion = form
            .strip_prefix("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=")
            .expect("the grant that service accounts use");
        let key = DecodingKey::from_rsa_pem(pair.public_key_pem().as_bytes()).expect("a key");
        let audience = format!("{}/token", service.url);
        let (kid, claims) = verify(assertion, Algorithm::RS256, &key, Some(&audience));
        assert_eq!(kid.as_deref(), Some("kid"));
        assert_eq!(claims["iss"], "push@project.example");
        assert_eq!(claims["scope"], "https://www.googleapis.com/auth/firebase.messaging");
        let (first, second) = (&received[3], &received[4]);
        assert_eq!(first.header("authorization"), "Bearer bought-1", "not the one that was refused");
        assert_eq!(second.header("authorization"), "Bearer bought-1", "and not a third");
        let message = &first.json()["message"];
        assert_eq!(message["token"], "device-1");
        assert_eq!(message["data"], json!({ "conversation": room(), "sequence": "7", "wake": wake(7) }));
        assert_eq!(message["android"]["collapse_key"], room());
        assert_eq!(message["android"]["ttl"], "600s");
        engine.stop().await;
    });
}

/// RFC 8291 from the browser's side, on another interface of the crypto library than the server's.
fn unseal(body: &[u8], ours: &PrivateKey, secret: &[u8]) -> Vec<u8> {
    struct Length(usize);
    impl hkdf::KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }
    let expand = |key: &hkdf::Prk, info: &[u8], length: usize| {
        let mut out = vec![0; length];
        key.expand(&[info], Length(length)).and_then(|okm| okm.fill(&mut out)).expect("short enough");
        out
    };
    let (salt, rest) = body.split_at(16);
    assert_eq!(rest[..5], [0, 0, 16, 0, 65], "one record of 4096, and a key");
    let (theirs, sealed) = rest[5..].split_at(65);
    let public = ours.compute_public_key().expect("a key");
    let shared =
        agree(ours, UnparsedPublicKey::new(&ECDH_P256, theirs), "no point", |shared| Ok(shared.to_vec()));
    let info = [b"WebPush: info\0", public.as_ref(), theirs].concat();
    let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, secret).extract(&shared.expect("a point"));
    let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(&expand(&prk, &info, 32));
    let key = expand(&prk, b"Content-Encoding: aes128gcm\0", 16);
    let nonce = expand(&prk, b"Content-Encoding: nonce\0", 12);
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).expect("16 bytes"));
    let mut sealed = sealed.to_vec();
    let nonce = Nonce::try_assume_unique_for_key(&nonce).expect("12 bytes");
    let open = key.open_in_place(nonce, Aad::empty(), &mut sealed).expect("it was sealed for this browser");
    let (delimiter, payload) = open.split_last().expect("a delimiter");
    assert_eq!(*delimiter, 2, "the last record");
    payload.to_vec()
}

#[test]
fn a_browser_can_read_what_its_service_cannot() {
    let data = tempfile::tempdir().expect("a directory");
    run(async || {
        let service = Service::start(|_| Reply::status(201)).await;
        let pair = rcgen::KeyPair::generate().expect("a key");
        let key = VapidKey::from_pem(pair.serialize_pem().as_bytes()).expect("a key");
        let config =
            WebPushConfig { key, subject: "mailto:ops@example.com".into(), ttl: Duration::from_secs(600) };
        let web_push = Some(WebPush::new(config, client(&service)));
        let mut engine = Engine::start(data.path(), Carriers { web_push, ..Default::default() });
        let browser = PrivateKey::generate(&ECDH_P256).expect("a key");
        let subscription = Target {
            key: browser.compute_public_key().expect("a key").as_ref().into(),
            secret: [5; 16].into(),
            ..target(Provider::WebPush, &format!("{}/subscription/1", service.url))
        };
        engine.wake("bob", "room", 7, &[subscription]);
        let push = service.wait_for(1).await.remove(0);
        engine.until_empty().await;

        assert_eq!(push.path, "/subscription/1");
        assert_eq!(push.header("content-encoding"), "aes128gcm");
        assert_eq!(push.header("ttl"), "600");
        assert_eq!(push.header("urgency"), "high");
        assert!(push.header("topic").len() <= 32, "RFC 8030 allows 32 characters");
        let credentials = push.header("authorization").strip_prefix("vapid t=").expect("RFC 8292");
        let (token, public) = credentials.split_once(", k=").expect("a token and a key");
        assert_eq!(URL_SAFE_NO_PAD.decode(public).expect("base64url"), pair.public_key_raw());
        let key = DecodingKey::from_ec_pem(pair.public_key_pem().as_bytes()).expect("a key");
        let (_, claims) = verify(token, Algorithm::ES256, &key, Some(&service.url));
        assert_eq!(claims["sub"], "mailto:ops@example.com");
        let now = std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_secs();
        assert!(claims["exp"].as_u64().is_some_and(|exp| exp > now && exp <= now + 86_400));

        let payload: Value = serde_json::from_slice(&unseal(&push.body, &browser, &[5; 16])).expect("JSON");
        assert_eq!(payload, json!({ "conversation": room(), "sequence": "7", "wake": wake(7) }));
        engine.stop().await;
    });
}

#[test]
fn a_webhook_can_check_who_calls() {
    let data = tempfile::tempdir().expect("a directory");
    run(async || {
        let service = Service::start(|_| Reply::status(204)).await;
        let secret = b"0123456789abcdef0123456789abcdef";
        let config = WebhookConfig { url: format!("{}/hook", service.url), secret: secret.to_vec() };
        let webhook = Some(Webhook::new(&config, client(&service)));
        let mut engine = Engine::start(data.path(), Carriers { webhook, ..Default::default() });
        engine.wake("bob", "room", 7, &[target(Provider::Webhook, "whatever")]);
        let push = service.wait_for(1).await.remove(0);
        engine.until_empty().await;

        let signature = push.header("ringwire-signature");
        let (time, tag) =
            signature.strip_prefix("t=").and_then(|rest| rest.split_once(",v1=")).expect("t, v1");
        let tag: Vec<u8> = (0..tag.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&tag[at..at + 2], 16).expect("hexadecimal"))
            .collect();
        let mut signed = format!("{time}.").into_bytes();
        signed.extend_from_slice(&push.body);
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        hmac::verify(&key, &signed, &tag).expect("signed with the shared secret");
        let now = std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_secs();
        assert!(time.parse::<u64>().expect("seconds").abs_diff(now) < 60);
        assert_eq!(push.header("idempotency-key"), wake(7));
        assert_eq!(
            push.json(),
            json!({
                "wake": wake(7), "user": UserId::from_name("bob").to_string(), "conversation": room(),
                "sequence": "7", "token": "whatever", "app": "",
            })
        );
        engine.stop().await;
    });
}
