//! Requests on `/service` channels, and their replies through Kafka from a service that knows nothing of Bayeux.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::{Value, json};

use crate::support::bayeux::{BOTH, Client, Transport};
use crate::support::gateway::{Gateway, Setup};
use crate::support::kafka::Kafka;
use crate::support::records::{Writer, read_all};
use crate::support::{eventually, unique};

const LIMIT: Duration = Duration::from_secs(20);
const QUIET: Duration = Duration::from_millis(500);

/// Answers every request as its data says, until it is dropped.
struct Echo {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// A route that asks `topic`, and is answered in `TOPIC-replies`.
fn routes(topic: &str) -> String {
    format!(
        r#"
routes:
  - name: echo
    channel: "/service/{topic}/{{id}}"
    topic: {topic}
    key: "{{id}}"
    publish: {{ headers: {{ origin: web }} }}
    reply: {{ topic: {topic}-replies, timeout: 2s }}
  - name: log
    channel: "/service/log-{topic}"
    topic: {topic}-log
    publish:
"#
    )
}

/// A topic of requests, one of replies, and the service between them.
fn service(kafka: &Kafka) -> (String, Echo) {
    let topic = unique("echo");
    kafka.create_topic(&topic, 1);
    kafka.create_topic(&format!("{topic}-replies"), 3);
    let echo = Echo::start(kafka, &topic);
    (topic, echo)
}

// === impl Echo ===

impl Echo {
    fn start(kafka: &Kafka, topic: &str) -> Self {
        let mut config = kafka.config();
        config.set("group.id", "echo").set("enable.auto.commit", "false").set("fetch.wait.max.ms", "20");
        let consumer: BaseConsumer = config.create().expect("a consumer");
        let mut from = TopicPartitionList::new();
        from.add_partition_offset(topic, 0, Offset::Beginning).expect("an offset");
        consumer.assign(&from).expect("a partition is assigned");
        let writer = Writer::new(kafka);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let Some(Ok(request)) = consumer.poll(Duration::from_millis(50)) else { continue };
                let header = |name: &str| {
                    let found = request.headers()?.iter().find(|header| header.key == name)?.value?;
                    Some(std::str::from_utf8(found).expect("a header in UTF-8").to_owned())
                };
                let (Some(id), Some(topic)) = (header("correlation-id"), header("reply-to")) else {
                    continue;
                };
                let value = request.payload().expect("a value");
                let asked: Value = serde_json::from_slice(value).expect("JSON");
                answer(&writer, &topic, &id, &asked, value);
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Writes what a request asks for.
fn answer(writer: &Writer, topic: &str, id: &str, asked: &Value, value: &[u8]) {
    let write = |value: Option<&[u8]>, headers: &[(&str, &str)]| {
        // All in one partition: of two replies the first is read first.
        writer.send_record(topic, Some(0), None, value, headers);
    };
    let mine = [("correlation-id", id)];
    match asked["do"].as_str().unwrap_or_default() {
        "silent" => {}
        "twice" => {
            write(Some(b"1"), &mine);
            write(Some(b"2"), &mine);
        }
        "bad" => write(Some(b"{"), &mine),
        "null" => write(None, &mine),
        "nobody" => {
            write(Some(b"0"), &[]);
            write(Some(b"0"), &[("correlation-id", "of another system")]);
            write(Some(b"1"), &mine);
        }
        "late" => {
            std::thread::sleep(Duration::from_millis(2500));
            write(Some(b"1"), &mine);
        }
        _ => write(Some(value), &mine),
    }
    writer.flush();
}

/// Asks and waits for Kafka's acknowledgement; the id.
fn ask(client: &mut Client, channel: &str, data: &Value) -> String {
    let id = client.send(&json!({ "channel": channel, "data": data })).unwrap();
    let reply = client.reply(&id, LIMIT).unwrap();
    assert_eq!(reply, json!({ "channel": channel, "id": id, "successful": true }));
    id
}

fn answered(channel: &str, id: &str, data: &Value) -> Value {
    json!({ "channel": channel, "id": id, "data": data, "successful": true })
}

fn failed(channel: &str, id: &str, error: &str) -> Value {
    json!({ "channel": channel, "id": id, "data": null, "successful": false, "error": error })
}

/// R25, R26, R27, W6: the answer comes to who asked alone, with the id of the question; who subscribed there gets nothing of it.
#[test]
fn a_reply_goes_to_the_session_that_asked_with_the_id_of_its_request() {
    let kafka = Kafka::shared();
    let (topic, _echo) = service(kafka);
    let gateway = Gateway::start(kafka, &routes(&topic));
    let channel = format!("/service/{topic}/x");
    for transport in BOTH {
        let mut asks = Client::open(gateway.addr(), transport);
        let mut also = Client::open(gateway.addr(), transport);
        for subscription in ["/service/**", &channel] {
            assert_eq!(also.subscribe(subscription)["successful"], true);
        }
        for n in 0..3 {
            let data = json!({ "n": n, "text": "Grüße 日本 🚀" });
            let id = ask(&mut asks, &channel, &data);
            assert_eq!(asks.event(LIMIT).unwrap(), answered(&channel, &id, &data));
        }
        // Two sessions that ask at the same time, with the same ids.
        let ids: Vec<_> =
            [&mut asks, &mut also].map(|client| ask(client, &channel, &json!(client.id))).into();
        for (client, id) in [&mut asks, &mut also].into_iter().zip(ids) {
            let own = json!(client.id);
            assert_eq!(client.event(LIMIT).unwrap(), answered(&channel, &id, &own));
            client.expect_silence(Duration::from_millis(100));
        }
        let id = ask(&mut asks, &channel, &json!({ "do": "null" }));
        assert_eq!(asks.event(LIMIT).unwrap(), answered(&channel, &id, &Value::Null));
    }
    let seen = read_all(kafka, &topic);
    assert_eq!(seen.len(), 12);
    let mut ids: Vec<_> = seen.iter().map(|record| record.header("correlation-id").unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 12, "every request has an id of its own");
    assert!(ids.iter().all(|id| id.len() == 57 && id[..16] == ids[0][..16]), "with the tag of the node");
    for record in &seen {
        assert_eq!((record.key_text(), record.header("origin")), ("x", Some("web")));
        assert_eq!(record.header("reply-to"), Some(&*format!("{topic}-replies")));
    }
    assert!((gateway.metric("halley_service_requests_total", &["reply"]) - 12.0).abs() < 0.5);
}

#[test]
fn replies_that_nobody_waits_for_are_dropped_and_counted() {
    let kafka = Kafka::shared();
    let (topic, _echo) = service(kafka);
    let gateway = Gateway::start(kafka, &routes(&topic));
    let channel = format!("/service/{topic}/x");
    let dropped = |reason: &str| gateway.metric("halley_service_replies_dropped_total", &[reason]);
    let mut client = Client::open(gateway.addr(), Transport::WebSocket);

    let id = ask(&mut client, &channel, &json!({ "do": "twice" }));
    assert_eq!(client.event(LIMIT).unwrap(), answered(&channel, &id, &json!(1)));
    eventually(LIMIT, "the second reply is counted", || dropped("unexpected") > 0.5);

    let id = ask(&mut client, &channel, &json!({ "do": "nobody" }));
    assert_eq!(client.event(LIMIT).unwrap(), answered(&channel, &id, &json!(1)));
    assert_eq!((dropped("uncorrelated"), dropped("foreign")), (1.0, 1.0));

    let id = ask(&mut client, &channel, &json!({ "do": "bad" }));
    let reply = client.event(LIMIT).unwrap();
    let error = reply["error"].as_str().unwrap().to_owned();
    assert!(error.starts_with(&format!("502:{channel}:bad_reply, it is not JSON")), "{error}");
    assert_eq!(reply, failed(&channel, &id, &error));

    let asked = Instant::now();
    let id = ask(&mut client, &channel, &json!({ "do": "late" }));
    assert_eq!(client.event(LIMIT).unwrap(), failed(&channel, &id, &format!("504:{channel}:reply_timeout")));
    assert!((1900..4000).contains(&asked.elapsed().as_millis()), "{:?}", asked.elapsed());
    eventually(LIMIT, "the late reply is counted", || dropped("unexpected") > 1.5);

    // Of a session that is gone.
    let mut gone = Client::open(gateway.addr(), Transport::LongPolling);
    ask(&mut gone, &channel, &json!({ "do": "late" }));
    let outstanding = || gateway.metric("halley_service_requests_outstanding", &[]);
    eventually(LIMIT, "it is counted", || outstanding() > 0.5);
    gone.disconnect();
    eventually(LIMIT, "nothing is kept of it", || {
        gateway.metric("halley_service_requests_outstanding", &[]) < 0.5
    });
    eventually(LIMIT, "its reply is counted", || dropped("unexpected") > 2.5);
    client.expect_silence(QUIET);
    assert!((gateway.metric("halley_service_requests_total", &["timeout"]) - 1.0).abs() < 0.5);
}

#[test]
fn two_nodes_share_a_reply_topic() {
    let kafka = Kafka::shared();
    let (topic, _echo) = service(kafka);
    let nodes = [(); 2].map(|()| Gateway::start(kafka, &routes(&topic)));
    let channel = format!("/service/{topic}/x");
    let mut clients = [0, 1].map(|n| Client::open(nodes[n].addr(), BOTH[n]));
    for n in 0..4 {
        let client = &mut clients[n % 2];
        let id = ask(client, &channel, &json!(n));
        assert_eq!(client.event(LIMIT).unwrap(), answered(&channel, &id, &json!(n)));
    }
    eventually(LIMIT, "each sees the other's replies, which are none of its own", || {
        nodes.iter().all(|node| node.metric("halley_service_replies_dropped_total", &["foreign"]) > 0.5)
    });
    for node in &nodes {
        assert!(node.metric("halley_service_replies_dropped_total", &["unexpected"]) < 0.5);
    }
}

/// R25: without an answer to wait for, the publish is answered and that is all.
#[test]
fn what_is_no_request_is_written_and_that_is_all() {
    let kafka = Kafka::shared();
    let (topic, _echo) = service(kafka);
    kafka.create_topic(&format!("{topic}-log"), 1);
    let gateway = Gateway::start(kafka, &routes(&topic));
    for transport in BOTH {
        let mut client = Client::open(gateway.addr(), transport);
        ask(&mut client, &format!("/service/log-{topic}"), &json!(1));
        client.expect_silence(QUIET);
        let reply = client.publish("/service/nothing", &json!(1));
        assert_eq!(reply["error"], "404:/service/nothing:unknown_channel", "{reply}");
    }
    let seen = read_all(kafka, &format!("{topic}-log"));
    assert_eq!(seen.len(), 2);
    assert!(seen.iter().all(|record| record.headers.is_empty()), "{seen:?}");
}

#[test]
fn without_a_reply_topic_nothing_is_asked_until_there_is_one() {
    let kafka = Kafka::shared();
    let topic = unique("early");
    kafka.create_topic(&topic, 1);
    let gateway = Gateway::start(kafka, &routes(&topic));
    let channel = format!("/service/{topic}/x");
    let mut client = Client::open(gateway.addr(), Transport::WebSocket);
    let reply = client.publish(&channel, &json!(1));
    assert_eq!(reply["error"], format!("404:{channel}:unknown_reply_topic"), "{reply}");
    kafka.create_topic(&format!("{topic}-replies"), 1);
    let _echo = Echo::start(kafka, &topic);
    eventually(LIMIT, "the topic is found", || client.publish(&channel, &json!(2))["successful"] == true);
    assert_eq!(client.event(LIMIT).unwrap()["data"], json!(2));
    assert_eq!(read_all(kafka, &topic).len(), 1, "what was refused is not in the log");
}

#[test]
fn requests_that_wait_for_their_reply_are_bounded() {
    let kafka = Kafka::shared();
    let (topic, _echo) = service(kafka);
    let gateway = Gateway::with(&Setup {
        kafka: kafka.bootstrap(),
        routes: &routes(&topic),
        settings: "publish: { in_flight_per_session: 2, in_flight: 3 }",
    });
    let channel = format!("/service/{topic}/x");
    let silent = json!({ "do": "silent" });
    let mut one = Client::open(gateway.addr(), Transport::WebSocket);
    let mut other = Client::open(gateway.addr(), Transport::LongPolling);
    let ids = [(); 2].map(|()| ask(&mut one, &channel, &silent));
    let busy = format!("503:{channel}:busy");
    assert_eq!(one.publish(&channel, &silent)["error"], busy);
    ask(&mut other, &channel, &silent);
    assert_eq!(other.publish(&channel, &silent)["error"], busy);
    // What is given up makes room.
    for id in ids {
        assert_eq!(one.event(LIMIT).unwrap(), failed(&channel, &id, &format!("504:{channel}:reply_timeout")));
    }
    other.event(LIMIT).unwrap();
    let id = ask(&mut one, &channel, &json!(7));
    assert_eq!(one.event(LIMIT).unwrap(), answered(&channel, &id, &json!(7)));
}

#[test]
fn without_kafka_a_request_fails_in_time_and_is_alive_when_it_is_back() {
    let mut kafka = Kafka::start();
    let (topic, echo) = service(&kafka);
    let gateway = Gateway::with(&Setup {
        kafka: kafka.bootstrap(),
        routes: &routes(&topic),
        settings: "publish: { timeout: 3s }\nsubscribe: { timeout: 2s }",
    });
    let channel = format!("/service/{topic}/x");
    let mut client = Client::open(gateway.addr(), Transport::WebSocket);
    let refused = |client: &mut Client| {
        let asked = Instant::now();
        let reply = client.publish(&channel, &json!(1));
        let error = reply["error"].as_str().unwrap_or_default().to_owned();
        assert!(error.starts_with(&format!("504:{channel}:")), "{reply}");
        assert!(asked.elapsed() < Duration::from_secs(8), "{:?}", asked.elapsed());
        error
    };
    drop(echo);
    kafka.kill();
    let error = refused(&mut client);
    assert!(error.contains("not_written, replies cannot be read"), "{error}");
    kafka.launch();
    let echo = Echo::start(&kafka, &topic);
    eventually(Duration::from_mins(1), "requests work", || {
        client.publish(&channel, &json!(2))["successful"] == true
    });
    assert_eq!(client.event(LIMIT).unwrap()["data"], json!(2));
    // Away again, while the reply topic is read.
    drop(echo);
    kafka.kill();
    refused(&mut client);
    kafka.launch();
    let _echo = Echo::start(&kafka, &topic);
    eventually(Duration::from_mins(1), "requests work again", || {
        client.publish(&channel, &json!(3))["successful"] == true
    });
    // An earlier one whose outcome was unknown may be answered, but to nobody.
    assert_eq!(client.event(LIMIT).unwrap()["data"], json!(3));
}
