//! A wrong password, or a broker that cannot be trusted.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::broker::{Login, MECHANISMS, RIGHT, STRANGER, Secure};
use crate::support::bayeux::{BOTH, Client};
use crate::support::eventually;
use crate::support::gateway::keyed;

/// The gateway is there and answers, as if Kafka were away; its log says `why` and no password.
fn refused(login: &Login<'_>, why: &str) {
    let gateway = Secure::shared().gateway(&keyed("numbers"), login);
    for transport in BOTH {
        let mut client = Client::open(gateway.addr(), transport);
        let asked = Instant::now();
        let reply = client.subscribe("/numbers/*");
        assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
        assert_eq!(reply["successful"], false, "{reply}");
        let error = reply["error"].as_str().unwrap();
        assert!(error.starts_with("504:/numbers/*:kafka_unavailable, no answer"), "{reply}");
        let asked = Instant::now();
        let reply = client.publish("/numbers/p0", &json!(1));
        assert!(asked.elapsed() < Duration::from_secs(6), "{:?}", asked.elapsed());
        assert_eq!(reply["successful"], false, "{reply}");
        let error = reply["error"].as_str().unwrap();
        assert!(error.starts_with("504:/numbers/p0:not_written"), "{reply}");
    }
    assert!(gateway.ready(), "what Kafka refuses does not take the gateway out of service");
    eventually(Duration::from_secs(10), why, || gateway.log().contains(why));
    assert!(!gateway.log().contains(login.password), "the password is in the log");
}

#[test]
fn a_wrong_password_is_told_and_does_not_show() {
    std::thread::scope(|scope| {
        for mechanism in MECHANISMS {
            let login = Login { mechanism, password: "wrong-c0ffee", ..RIGHT };
            scope.spawn(move || refused(&login, "SASL authentication error: Authentication failed"));
        }
    });
}

#[test]
fn an_unknown_authority_is_told() {
    refused(&Login { ca: STRANGER, ..RIGHT }, "certificate verify failed");
}

#[test]
fn a_broker_with_another_name_than_its_certificate_is_told() {
    refused(&Login { host: "localhost", ..RIGHT }, "certificate verify failed");
}
