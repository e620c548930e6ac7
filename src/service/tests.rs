//! Requests without Kafka.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Asked, Bounds, Correlation, Effect, Outstanding, Requests, TAG, Unread, Verdict};
use crate::bayeux::{Channel, Error};
use crate::route::{self, Source};
use crate::stream::{Body, RawRecord};

const ROUTES: &str = r#"
routes:
  - name: quote
    channel: "/service/quote"
    topic: quotes
    publish:
    reply: { topic: quote-replies, timeout: 5s }
  - name: text
    channel: "/service/text/{id}"
    topic: texts
    key: "{id}"
    value_format: text
    publish:
    reply: { topic: text-replies, correlation_header: cid, reply_topic_header: rt }
  - { name: part, channel: /service/part, topic: asked, data: "value:/price", publish: {}, reply: { topic: text-replies } }
  - { name: bytes, channel: /service/bytes, topic: asked, value_format: bytes, publish: {}, reply: { topic: text-replies } }
  - { name: log, channel: "/service/log", topic: logs, publish: {} }
  - { name: any, channel: "/{a}/quote", topic: any, key: "{a}", publish: {} }
"#;

const BOUNDS: Bounds =
    Bounds { per_session: 3, patience: Duration::from_secs(4), linger: Duration::from_mins(1) };

fn body(value: Option<&str>) -> Body {
    let value = value.map(str::as_bytes);
    let (topic, headers) = ("replies", &[][..]);
    let raw = RawRecord { topic, partition: 0, offset: 0, timestamp: None, key: None, value, headers };
    Body::copy(&raw, false)
}

/// The requests of one shard, with sessions by numbers and publishes by words.
struct Rig {
    requests: Requests<u8, &'static str>,
    outstanding: Arc<Outstanding>,
    now: Instant,
    /// The correlation headers of what was handed on.
    sent: Vec<String>,
}

impl Rig {
    fn new(limit: usize) -> Self {
        let checked = route::parse(&[Source { file: Path::new("test.yaml"), text: ROUTES }]).unwrap();
        let outstanding = Outstanding::new([7; TAG], limit);
        let mut count = 0;
        let entropy = Box::new(move |bytes: &mut [u8]| {
            count += 1;
            bytes.fill(count);
        });
        let requests = Requests::new(Arc::new(checked.table), outstanding.clone(), 5, BOUNDS, entropy);
        Self { requests, outstanding, now: Instant::now(), sent: Vec::new() }
    }

    fn ask(&mut self, session: u8, ticket: &'static str, channel: &str, id: &'static str) {
        let id = (!id.is_empty()).then(|| Bytes::from_static(id.as_bytes()));
        let channel = Channel::parse(channel).unwrap();
        let data = Bytes::from_static(b"{\"n\":1}");
        self.requests.submit(self.now, Asked { session, ticket, channel, id, data, binary: None });
    }

    /// Asks, and Kafka has the request and reads the reply topic.
    fn asked(&mut self, session: u8, ticket: &'static str, channel: &str, id: &'static str) -> String {
        self.ask(session, ticket, channel, id);
        let topic = if channel.ends_with("quote") { "quote-replies" } else { "text-replies" };
        self.requests.reads(self.now, topic, &Ok(()));
        self.requests.published(self.now, ticket, &Ok(()));
        self.words();
        self.sent.last().unwrap().clone()
    }

    /// A record of the reply topic; `None` if it is nobody's.
    fn reply(&mut self, header: &str, value: Option<&str>) -> Option<bool> {
        match self.outstanding.replied(Some(header.as_bytes())) {
            Verdict::Reply(shard, id) => {
                assert_eq!(shard, 5);
                Some(self.requests.replied(self.now, id, body(value)))
            }
            _ => None,
        }
    }

    fn after(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        while let Some(due) = self.requests.poll_timeout().filter(|due| *due <= end) {
            self.now = due;
            self.requests.timeout(due);
        }
        self.now = end;
    }

    /// What is to be done, in words.
    fn words(&mut self) -> Vec<String> {
        let mut words = Vec::new();
        while let Some(effect) = self.requests.poll() {
            words.push(match effect {
                Effect::Read(topic) => format!("read {topic}"),
                Effect::Leave(topic) => format!("leave {topic}"),
                Effect::Publish(Asked { session, ticket, channel, data, .. }, headers) => {
                    assert_eq!(data, "{\"n\":1}");
                    let names: Vec<_> = headers.iter().map(|(name, _)| name.as_str()).collect();
                    if let [(_, id), (_, topic)] = headers.as_slice() {
                        assert!(topic.ends_with(b"-replies"));
                        self.sent.push(String::from_utf8(id.clone()).unwrap());
                    }
                    format!("publish {session} {ticket} {channel} {}", names.join(","))
                }
                Effect::Written(ticket) => format!("{ticket} ok"),
                Effect::Refused(ticket, error) => format!("{ticket} {error}"),
                Effect::Deliver(session, record) => {
                    format!("{session} {}", String::from_utf8(record.plain().event().to_vec()).unwrap())
                }
            });
        }
        words
    }

    /// Nothing is kept, of what and for how long whatever.
    fn end(mut self) {
        self.after(1000);
        self.words();
        assert_eq!(self.requests.stats().outstanding, 0);
        assert_eq!(self.requests.poll_timeout(), None);
        assert!(self.requests.is_empty());
        assert_eq!(self.outstanding.size(), (0, 0));
    }
}

#[test]
fn a_request_waits_until_its_reply_topic_is_read_and_its_reply_comes_back_to_who_asked() {
    let mut rig = Rig::new(9);
    rig.ask(1, "a", "/service/quote", "\"7\"");
    rig.ask(2, "b", "/service/quote", "8");
    assert_eq!(rig.words(), ["read quote-replies"]);
    rig.requests.reads(rig.now, "quote-replies", &Ok(()));
    assert_eq!(
        rig.words(),
        [
            "publish 1 a /service/quote correlation-id,reply-to",
            "publish 2 b /service/quote correlation-id,reply-to"
        ]
    );
    rig.requests.published(rig.now, "a", &Ok(()));
    rig.requests.published(rig.now, "b", &Ok(()));
    let sent = rig.sent.clone();
    assert_eq!(rig.reply(&sent[1], Some(r#"{"price": 1.10}"#)), Some(true));
    assert_eq!(rig.reply(&sent[0], None), Some(true));
    assert_eq!(
        rig.words(),
        [
            r#"2 {"channel":"/service/quote","data":{"price": 1.10},"id":8,"successful":true}"#,
            r#"1 {"channel":"/service/quote","data":null,"id":"7","successful":true}"#
        ]
    );
    // The topic is read now: the next need not wait.
    rig.ask(1, "c", "/service/quote", "");
    assert_eq!(rig.words(), ["publish 1 c /service/quote correlation-id,reply-to"]);
    let last = rig.sent[2].clone();
    rig.reply(&last, Some("1"));
    assert_eq!(
        rig.words(),
        ["c ok", r#"1 {"channel":"/service/quote","data":1,"successful":true}"#],
        "whoever replies has read the request"
    );
    rig.requests.published(rig.now, "c", &Err(Error::busy("/x")));
    assert_eq!(rig.words(), [""; 0], "what is said of it later does not matter");
    rig.end();
}

#[test]
fn what_is_no_request_is_handed_on() {
    let mut rig = Rig::new(9);
    rig.ask(1, "a", "/service/log", "1");
    rig.ask(1, "b", "/service/nowhere", "2");
    assert_eq!(rig.words(), ["publish 1 a /service/log ", "publish 1 b /service/nowhere "]);
    rig.requests.published(rig.now, "a", &Ok(()));
    rig.end();
}

#[test]
fn a_reply_that_does_not_come_is_given_up_and_too_late_then() {
    let mut rig = Rig::new(9);
    let id = rig.asked(1, "a", "/service/quote", "1");
    rig.after(4);
    assert_eq!(rig.words(), [""; 0]);
    rig.after(2);
    assert_eq!(
        rig.words(),
        [
            r#"1 {"channel":"/service/quote","id":1,"data":null,"successful":false,"error":"504:/service/quote:reply_timeout"}"#
        ]
    );
    assert_eq!(rig.reply(&id, Some("1")), None);
    assert_eq!(rig.requests.stats().timeouts, 1);
    rig.end();
}

#[test]
fn a_second_reply_and_one_of_another_node_are_nobodys() {
    let mut rig = Rig::new(9);
    let id = rig.asked(1, "a", "/service/quote", "1");
    assert_eq!(rig.reply(&Correlation::new([1; 20]).header([8; TAG]), Some("1")), None);
    assert_eq!(rig.reply(&id, Some("1")), Some(true));
    assert_eq!(rig.reply(&id, Some("2")), None);
    assert_eq!(rig.words().len(), 1);
    rig.end();
}

#[test]
fn a_reply_that_is_read_while_its_session_ends_is_nobodys() {
    let mut rig = Rig::new(9);
    let id = rig.asked(1, "a", "/service/quote", "1");
    let Verdict::Reply(_, id) = rig.outstanding.replied(Some(id.as_bytes())) else { panic!() };
    rig.requests.ended(rig.now, 1);
    assert!(!rig.requests.replied(rig.now, id, body(Some("1"))));
    assert_eq!(rig.words(), [""; 0]);
    rig.end();
}

#[test]
fn a_reply_has_the_format_of_its_route() {
    let mut rig = Rig::new(9);
    let id = rig.asked(1, "a", "/service/text/x", "1");
    rig.reply(&id, Some("a \"word\""));
    assert_eq!(
        rig.words(),
        [r#"1 {"channel":"/service/text/x","data":"a \"word\"","id":1,"successful":true}"#]
    );
    let id = rig.asked(1, "c", "/service/bytes", "3");
    rig.reply(&id, Some("abcd"));
    assert_eq!(
        rig.words(),
        [
            r#"1 {"channel":"/service/bytes","data":{"data":"vpA.S","last":true},"ext":{"binary":{}},"id":3,"successful":true}"#
        ]
    );
    let id = rig.asked(1, "d", "/service/part", "4");
    rig.reply(&id, Some(r#"{"price":1.10}"#));
    assert_eq!(rig.words(), [r#"1 {"channel":"/service/part","data":1.10,"id":4,"successful":true}"#]);
    let id = rig.asked(1, "b", "/service/quote", "2");
    rig.reply(&id, Some("{"));
    let words = rig.words();
    let refused = r#"1 {"channel":"/service/quote","id":2,"data":null,"successful":false,"error":"502:/service/quote:bad_reply, it is not JSON"#;
    assert!(words[0].starts_with(refused), "{words:?}");
    assert_eq!((rig.requests.stats().replies, rig.requests.stats().bad_replies), (3, 1));
    rig.end();
}

#[test]
fn the_headers_are_those_of_the_route() {
    let mut rig = Rig::new(9);
    rig.ask(1, "a", "/service/text/x", "1");
    rig.requests.reads(rig.now, "text-replies", &Ok(()));
    assert_eq!(rig.words(), ["read text-replies", "publish 1 a /service/text/x cid,rt"]);
    rig.requests.published(rig.now, "a", &Err(Error::busy("/service/text/x")));
    rig.end();
}

#[test]
fn a_request_whose_publish_fails_waits_for_nothing() {
    let mut rig = Rig::new(9);
    rig.ask(1, "a", "/service/quote", "1");
    rig.requests.reads(rig.now, "quote-replies", &Ok(()));
    rig.requests.published(rig.now, "a", &Err(Error::busy("/service/quote")));
    assert_eq!(rig.requests.stats().outstanding, 0);
    rig.after(10);
    assert_eq!(rig.words().len(), 2);
    rig.end();
}

#[test]
fn a_reply_topic_that_cannot_be_read_fails_those_who_wait_and_is_asked_for_again() {
    let mut rig = Rig::new(9);
    for (why, said) in [
        (Unread::Missing, "a 404:/service/quote:unknown_reply_topic"),
        (Unread::Denied, "a 403:/service/quote:reply_topic_denied_by_kafka"),
        (
            Unread::Kafka("no leader".into()),
            "a 504:/service/quote:not_written, replies cannot be read, no leader",
        ),
    ] {
        rig.ask(1, "a", "/service/quote", "1");
        assert_eq!(rig.words(), ["read quote-replies"]);
        rig.requests.reads(rig.now, "quote-replies", &Err(why));
        assert_eq!(rig.words(), [said]);
    }
    // Nobody waits longer than a client does.
    rig.ask(1, "a", "/service/quote", "1");
    rig.after(3);
    rig.ask(2, "b", "/service/quote", "1");
    rig.after(1);
    assert_eq!(
        rig.words(),
        ["read quote-replies", "a 504:/service/quote:not_written, replies cannot be read, no answer in time"]
    );
    rig.requests.reads(rig.now, "quote-replies", &Ok(()));
    assert_eq!(rig.words(), ["publish 2 b /service/quote correlation-id,reply-to"]);
    rig.requests.published(rig.now, "b", &Ok(()));
    rig.end();
}

#[test]
fn a_reply_topic_is_left_a_while_after_the_last_request() {
    let mut rig = Rig::new(9);
    let first = rig.asked(1, "a", "/service/quote", "1");
    rig.reply(&first, Some("1"));
    rig.words();
    rig.after(59);
    assert_eq!(rig.words(), [""; 0]);
    let second = rig.asked(1, "b", "/service/quote", "2");
    rig.after(3);
    rig.reply(&second, Some("1"));
    assert_eq!(rig.words().len(), 1);
    rig.after(59);
    assert_eq!(rig.words(), [""; 0]);
    rig.after(1);
    assert_eq!(rig.words(), ["leave quote-replies"]);
    rig.ask(1, "c", "/service/quote", "3");
    assert_eq!(rig.words(), ["read quote-replies"]);
    rig.requests.reads(rig.now, "quote-replies", &Err(Unread::Missing));
    rig.end();
}

#[test]
fn a_session_that_ends_takes_its_requests_along() {
    let mut rig = Rig::new(9);
    let id = rig.asked(1, "a", "/service/quote", "1");
    rig.ask(1, "b", "/service/text/x", "2");
    rig.ask(2, "c", "/service/text/x", "2");
    rig.words();
    rig.requests.ended(rig.now, 1);
    assert_eq!(rig.words(), ["b 402::session_unknown"], "what was not sent is not sent any more");
    assert_eq!(rig.reply(&id, Some("1")), None);
    rig.requests.reads(rig.now, "text-replies", &Ok(()));
    assert_eq!(rig.words(), ["publish 2 c /service/text/x cid,rt"]);
    rig.requests.published(rig.now, "c", &Ok(()));
    rig.end();
}

#[test]
fn too_many_of_a_session_or_of_the_node_are_refused_and_room_is_given_back() {
    let mut rig = Rig::new(4);
    let ids: Vec<_> = [("a", "1"), ("b", "2"), ("c", "3")]
        .map(|(ticket, id)| rig.asked(1, ticket, "/service/quote", id))
        .into();
    rig.ask(1, "d", "/service/quote", "4");
    assert_eq!(rig.words(), ["d 503:/service/quote:busy"]);
    rig.asked(2, "e", "/service/quote", "1");
    rig.ask(3, "f", "/service/quote", "1");
    assert_eq!(rig.words(), ["f 503:/service/quote:busy"]);
    rig.reply(&ids[0], Some("1"));
    rig.words();
    rig.ask(1, "g", "/service/quote", "5");
    assert_eq!(rig.words(), ["publish 1 g /service/quote correlation-id,reply-to"]);
    rig.requests.published(rig.now, "g", &Ok(()));
    rig.end();
}

#[test]
fn a_page_that_was_loaded_again_does_not_get_what_it_asked_before() {
    let mut rig = Rig::new(9);
    let before = rig.asked(1, "a", "/service/quote", "\"1\"");
    let other = rig.asked(2, "b", "/service/quote", "\"1\"");
    let after = rig.asked(1, "c", "/service/quote", "\"1\"");
    assert_eq!(rig.reply(&before, Some("1")), None);
    assert_eq!(rig.reply(&other, Some("2")), Some(true));
    assert_eq!(rig.reply(&after, Some("3")), Some(true));
    assert_eq!(rig.words().len(), 2);
    rig.end();
}
