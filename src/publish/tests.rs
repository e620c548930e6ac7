//! The pipeline without Kafka.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::{Bounds, Effect, Extras, Pipeline};
use crate::bayeux::Channel;
use crate::kafka::{Error, Outcome, SendError};
use crate::route::{self, Source};

const ROUTES: &str = r#"
routes:
  - { name: orders, channel: "/orders/{id}", topic: orders, key: "{id}", publish: {} }
  - { name: ledger, channel: "/ledger/{id}", topic: ledger, key: "{id}", publish: { strict: true } }
  - { name: news, channel: "/news", topic: news }
  - { name: room, channel: "/room/{x}", local: true, publish: {} }
"#;

/// A pipeline of one test, with publishes named by words and sessions by numbers.
struct Rig {
    pipeline: Pipeline<u8, &'static str>,
    topics: RefCell<HashMap<String, i32>>,
}

impl Rig {
    fn new(limit: usize) -> Self {
        let checked = route::parse(&[Source { file: Path::new("test.yaml"), text: ROUTES }]).unwrap();
        let topics = ["orders", "ledger"].map(|topic| (topic.to_owned(), 3)).into();
        Self {
            pipeline: Pipeline::new(Arc::new(checked.table), Bounds::new(limit), 5),
            topics: RefCell::new(topics),
        }
    }

    fn submit(&mut self, session: u8, name: &'static str, channel: &str, data: &'static str) {
        let topics = self.topics.borrow();
        let partitions = |topic: &str| topics.get(topic).copied();
        let channel = Channel::parse(channel).unwrap();
        let data = Bytes::from_static(data.as_bytes());
        self.pipeline.submit(session, name, channel, data, Extras::default(), partitions);
    }

    fn report(&mut self, token: u64, outcome: &Outcome) {
        let topics = self.topics.borrow();
        self.pipeline.reported(token, outcome, |topic: &str| topics.get(topic).copied());
    }

    fn found(&mut self, topic: &str, count: &Result<Option<i32>, Error>) {
        if let Ok(Some(count)) = *count {
            self.topics.borrow_mut().insert(topic.into(), count);
        }
        let topics = self.topics.borrow();
        self.pipeline.found(topic, count, |topic: &str| topics.get(topic).copied());
    }

    /// What the pipeline asks for, in words; tokens of what it sends.
    fn effects(&mut self) -> (Vec<String>, Vec<u64>) {
        let (mut words, mut tokens) = (Vec::new(), Vec::new());
        while let Some(effect) = self.pipeline.poll() {
            words.push(match effect {
                Effect::Find(topic) => format!("find {topic}"),
                Effect::Send(token, out) => {
                    tokens.push(token);
                    let value =
                        out.value.map_or("tombstone".into(), |it| String::from_utf8(it.to_vec()).unwrap());
                    format!("send {} {value}", out.topic)
                }
                Effect::Local { channel, .. } => format!("local {channel}"),
                Effect::Done(name, Ok(())) => format!("{name} ok"),
                Effect::Done(name, Err(error)) | Effect::Refused(name, error) => format!("{name} {error}"),
            });
        }
        (words, tokens)
    }

    fn words(&mut self) -> Vec<String> {
        self.effects().0
    }
}

const WRITTEN: Outcome = Outcome::Written { partition: 0, offset: 0 };

#[test]
fn a_publish_is_answered_when_kafka_has() {
    let mut rig = Rig::new(9);
    rig.submit(1, "a", "/orders/7", r#"{"n": 1.10}"#);
    let (words, tokens) = rig.effects();
    assert_eq!(words, [r#"send orders {"n": 1.10}"#]);
    assert_eq!(super::shard_of(tokens[0]), 5);
    rig.report(tokens[0], &WRITTEN);
    assert_eq!(rig.words(), ["a ok"]);
    rig.report(tokens[0], &WRITTEN);
    assert!(rig.words().is_empty());
}

#[test]
fn the_bytes_that_came_are_the_bytes_that_kafka_gets() {
    let mut rig = Rig::new(9);
    let data = Bytes::from_static(b"{\"n\":1}");
    let topics = |_: &str| Some(1);
    let channel = Channel::parse("/orders/7").unwrap();
    rig.pipeline.submit(1, "a", channel, data.clone(), Extras::default(), topics);
    let Some(Effect::Send(_, out)) = rig.pipeline.poll() else { panic!() };
    assert_eq!(out.value.unwrap().as_ptr(), data.as_ptr());
    assert_eq!(out.key.as_deref(), Some(&b"7"[..]));
}

#[test]
fn null_is_a_tombstone() {
    let mut rig = Rig::new(9);
    rig.submit(1, "a", "/orders/7", "null");
    assert_eq!(rig.words(), ["send orders tombstone"]);
}

#[test]
fn outcomes_are_told_apart() {
    let mut rig = Rig::new(9);
    for (outcome, expected) in [
        (Outcome::NotWritten { reason: "timed out".into() }, "a 504:/orders/7:not_written, timed out"),
        (Outcome::Unknown { reason: "timed out".into() }, "a 504:/orders/7:outcome_unknown, timed out"),
        (Outcome::TooLarge, "a 413:/orders/7:too_large"),
    ] {
        rig.submit(1, "a", "/orders/7", "{}");
        let (_, tokens) = rig.effects();
        rig.report(tokens[0], &outcome);
        assert_eq!(rig.words(), [expected]);
    }
    rig.submit(1, "a", "/orders/7", "{}");
    let (_, tokens) = rig.effects();
    rig.pipeline.refused(tokens[0], &SendError::Busy, |_| None);
    assert_eq!(rig.words(), ["a 503:/orders/7:busy"]);
}

#[test]
fn what_no_route_takes_is_refused_at_once() {
    let mut rig = Rig::new(9);
    rig.submit(1, "a", "/nowhere", "{}");
    rig.submit(1, "b", "/news", "{}");
    assert_eq!(rig.words(), ["a 404:/nowhere:unknown_channel", "b 403:/news:publish_denied"]);
}

#[test]
fn a_session_waits_behind_a_topic_that_is_asked_for_and_others_do_not() {
    let mut rig = Rig::new(9);
    rig.topics.borrow_mut().remove("orders");
    rig.submit(1, "a", "/orders/1", "1");
    rig.submit(1, "b", "/ledger/1", "2");
    rig.submit(2, "c", "/ledger/2", "3");
    rig.submit(2, "d", "/orders/2", "4");
    assert_eq!(rig.words(), ["find orders", "send ledger 3"]);
    rig.found("orders", &Ok(Some(2)));
    // Session 1 goes on with its first; its second is strict and waits. Session 2's second waits for its strict first.
    assert_eq!(rig.words(), ["send orders 1"]);
}

#[test]
fn a_topic_that_is_not_there_fails_one_publish_and_not_those_behind_it() {
    let mut rig = Rig::new(9);
    rig.topics.borrow_mut().remove("orders");
    rig.submit(1, "a", "/orders/1", "1");
    rig.submit(1, "b", "/ledger/1", "2");
    assert_eq!(rig.words(), ["find orders"]);
    rig.found("orders", &Ok(None));
    assert_eq!(rig.words(), ["a 404:/orders/1:unknown_topic", "send ledger 2"]);
    rig.submit(2, "c", "/orders/1", "1");
    assert_eq!(rig.words(), ["find orders"]);
    rig.found("orders", &Err(Error::TimedOut(String::new())));
    assert_eq!(rig.words(), ["c 504:/orders/1:not_written, Kafka is out of reach"]);
}

#[test]
fn strict_keeps_one_in_flight() {
    let mut rig = Rig::new(9);
    rig.submit(1, "a", "/orders/1", "1");
    rig.submit(1, "b", "/ledger/1", "2");
    rig.submit(1, "c", "/orders/1", "3");
    let (words, first) = rig.effects();
    assert_eq!(words, ["send orders 1"]);
    rig.report(first[0], &WRITTEN);
    let (words, second) = rig.effects();
    assert_eq!(words, ["a ok", "send ledger 2"]);
    rig.report(second[0], &WRITTEN);
    assert_eq!(rig.words(), ["b ok", "send orders 3"]);
}

#[test]
fn too_many_of_the_node_are_refused_and_room_is_given_back() {
    let mut rig = Rig::new(2);
    for name in ["a", "b", "c"] {
        rig.submit(1, name, "/orders/1", "1");
    }
    let (words, tokens) = rig.effects();
    assert_eq!(words, ["send orders 1", "send orders 1", "c 503:/orders/1:busy"]);
    rig.report(tokens[0], &WRITTEN);
    rig.submit(2, "d", "/orders/1", "2");
    assert_eq!(rig.words(), ["a ok", "send orders 2"]);
    rig.submit(1, "e", "/nowhere", "{}");
    rig.submit(1, "f", "/room/x", "{}");
    assert_eq!(rig.words(), ["e 404:/nowhere:unknown_channel", "f 503:/room/x:busy"]);
}

#[test]
fn events_of_local_routes_stay_on_the_node() {
    let mut rig = Rig::new(1);
    rig.submit(1, "a", "/room/x", "{}");
    rig.submit(1, "b", "/room/x", "{}");
    assert_eq!(rig.words(), ["local /room/x", "a ok", "local /room/x", "b ok"]);
}
