//! The protocol, without a server: what a session sends for what it is sent.

use std::time::{Duration, Instant};

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::message;
use super::session::{News, Session};

/// A session, and a clock that only goes by hand.
struct Rig {
    session: Session,
    now: Instant,
}

impl Rig {
    fn new(channels: &[&str]) -> Self {
        let now = Instant::now();
        let channels = channels.iter().map(|&channel| channel.to_owned()).collect();
        Self { session: Session::new("websocket", channels, now), now }
    }

    /// Handshaken, subscribed, and with a connect held.
    fn open(channels: &[&str]) -> Self {
        let mut rig = Self::new(channels);
        rig.shake("c1");
        rig
    }

    fn shake(&mut self, client_id: &str) {
        let sent = self.sent();
        assert_eq!(channels(&sent), ["/meta/handshake"]);
        self.reply(&sent[0], &json!({ "successful": true, "clientId": client_id }));
    }

    fn sent(&mut self) -> Vec<Value> {
        let texts = std::iter::from_fn(|| self.session.outgoing());
        texts.flat_map(|out| serde_json::from_str::<Vec<Value>>(&out.text).unwrap()).collect()
    }

    fn receive(&mut self, messages: &Value) -> Result<(), String> {
        self.session.received(message::parse(messages.to_string().as_bytes()).unwrap(), self.now)
    }

    fn reply(&mut self, to: &Value, with: &Value) {
        self.try_reply(to, with).unwrap();
    }

    fn try_reply(&mut self, to: &Value, with: &Value) -> Result<(), String> {
        let mut reply = with.clone();
        reply["channel"] = to["channel"].clone();
        reply["id"] = to["id"].clone();
        self.receive(&json!([reply]))
    }

    fn pass(&mut self, time: Duration) -> Result<(), String> {
        self.now += time;
        self.session.tick(self.now)
    }

    fn news(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.session.news()).map(|news| format!("{news:?}")).collect()
    }
}

fn channels(messages: &[Value]) -> Vec<&str> {
    messages.iter().map(|message| message["channel"].as_str().unwrap()).collect()
}

fn data(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap()
}

fn unknown() -> Value {
    json!({ "successful": false, "error": "402::session_unknown", "advice": { "reconnect": "handshake", "interval": 0 } })
}

#[test]
fn a_session_from_handshake_to_disconnect() {
    let mut rig = Rig::open(&["/a", "/b/*"]);
    let sent = rig.sent();
    assert_eq!(channels(&sent), ["/meta/subscribe", "/meta/subscribe", "/meta/connect"]);
    assert!(sent.iter().all(|message| message["clientId"] == "c1"));
    assert_eq!(sent[2]["advice"]["timeout"], 0, "the first connect is not held");
    rig.reply(&sent[0], &json!({ "successful": true }));
    rig.reply(&sent[2], &json!({ "successful": true, "advice": { "interval": 500, "timeout": 3000 } }));
    assert_eq!(rig.session.wake(), Some(rig.now + Duration::from_millis(500)));
    rig.pass(Duration::from_millis(500)).unwrap();
    let connect = rig.sent();
    assert_eq!((channels(&connect), &connect[0]["advice"]), (vec!["/meta/connect"], &Value::Null));
    // Events may have ids of their own, and no data is data.
    rig.receive(&json!([{ "channel": "/b/c", "data": 1.50, "id": connect[0]["id"] }, { "channel": "/a", "data": null }]))
        .unwrap();
    let news = rig.news();
    assert!(news[0].starts_with("Subscribed(\"/a\")") && news.len() == 3, "{news:?}");
    rig.session.disconnect(rig.now);
    let sent = rig.sent();
    // A held connect is let go first; that is not the server's wish to end.
    rig.reply(&connect[0], &json!({ "successful": true, "advice": { "reconnect": "none" } }));
    rig.reply(&sent[0], &json!({ "successful": true }));
    assert_eq!(rig.news(), ["Closed"]);
}

#[test]
fn an_unknown_session_is_made_anew_and_loses_no_publish() {
    let mut rig = Rig::open(&["/a"]);
    let sent = rig.sent();
    let number = rig.session.publish("/a", data("1"), rig.now);
    let publish = rig.sent();
    rig.reply(&publish[0], &unknown());
    rig.reply(&sent[1], &unknown());
    assert_eq!(rig.news(), ["Lost(\"402::session_unknown\")"], "once");
    rig.pass(Duration::ZERO).unwrap();
    rig.shake("c2");
    let sent = rig.sent();
    assert_eq!(channels(&sent), ["/meta/subscribe", "/meta/connect", "/a"]);
    assert_eq!((&sent[2]["clientId"], &sent[2]["data"]), (&json!("c2"), &json!(1)));
    rig.reply(&sent[2], &json!({ "successful": true }));
    assert_eq!(rig.news(), [format!("Published({number})")]);
}

#[test]
fn what_is_refused_is_told() {
    let refused = json!({ "successful": false, "error": "404:/x:unknown_channel" });
    let mut rig = Rig::new(&[]);
    let handshake = rig.sent();
    assert_eq!(rig.try_reply(&handshake[0], &refused).unwrap_err(), "handshake: 404:/x:unknown_channel");
    let mut rig = Rig::new(&[]);
    let handshake = rig.sent();
    let other = json!({ "successful": true, "clientId": "c", "supportedConnectionTypes": ["long-polling"] });
    assert_eq!(
        rig.try_reply(&handshake[0], &other).unwrap_err(),
        "the server offers long-polling, not websocket"
    );
    let mut rig = Rig::open(&["/x"]);
    let sent = rig.sent();
    assert_eq!(rig.try_reply(&sent[0], &refused).unwrap_err(), "/x: 404:/x:unknown_channel");
    rig.session.publish("/x", data("1"), rig.now);
    let sent = rig.sent();
    rig.reply(&sent[0], &refused);
    assert_eq!(rig.news(), ["Refused(1, \"404:/x:unknown_channel\")"]);
}

#[test]
fn what_a_broken_connection_took_is_unknown() {
    let mut rig = Rig::open(&["/a"]);
    rig.sent();
    rig.session.publish("/a", data("1"), rig.now);
    rig.sent();
    let overdue = rig.pass(Duration::from_secs(11)).unwrap_err();
    assert!(overdue.starts_with("no reply to"), "{overdue}");
    rig.session.restart(rig.now);
    assert!(matches!(rig.session.news(), Some(News::Refused(1, why)) if why.contains("or not")));
    rig.shake("c2");
    assert_eq!(channels(&rig.sent()), ["/meta/subscribe", "/meta/connect"]);
}

#[test]
fn what_is_read_leniently() {
    assert_eq!(message::parse(b" ").unwrap().len(), 0);
    assert_eq!(message::parse(br#"{"channel":"/a","id":7}"#).unwrap()[0].id().as_deref(), Some("7"));
    assert!(message::parse(b"<html>").is_err());
    assert!(message::parse(b"[1]").is_err());
}
