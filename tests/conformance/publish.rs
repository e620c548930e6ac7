//! Publishing: what is taken, what is answered, and what others get of it.

use std::time::Duration;

use serde_json::{Value, json};

use super::raw::{Raw, SOON, gateway, is_reply};
use crate::support::bayeux::{BOTH, Client, Transport};

/// R42, B56: any JSON value is data, `null` and nothing-like ones too; no data is none.
#[test]
fn any_json_value_is_data() {
    let gateway = gateway("");
    for (reader, writer) in [(BOTH[0], BOTH[1]), (BOTH[1], BOTH[0])] {
        let mut reader = Client::subscribed(gateway.addr(), reader, "/chat/a");
        let mut writer = Client::open(gateway.addr(), writer);
        for data in [
            json!(0),
            json!(""),
            json!(false),
            json!([]),
            json!({}),
            json!(null),
            json!(-1.5e300),
            json!(9_007_199_254_740_993_i64),
            json!("\u{0} \" \\ / \u{2028} 🦀 é"),
            json!({ "successful": true, "channel": "/meta/connect", "id": "1", "clientId": "x" }),
            json!([[[[[{ "deep": [null] }]]]]]),
        ] {
            let reply = writer.publish("/chat/a", &data);
            assert_eq!(reply["successful"], true, "{data}");
            assert_eq!(reply.get("data"), None, "a reply has no data: {reply}");
            assert_eq!(reader.expect_event(), ("/chat/a".to_owned(), data));
        }
        assert_eq!(writer.request(&json!({ "channel": "/chat/a" }))["error"], "400::data_missing");
        reader.expect_silence(Duration::from_millis(100));
    }
}

/// R33, R65, W6, B49: of what the publisher wrote, others get channel and data: no clientId, no id, no `ext`, nothing unknown.
#[test]
fn a_delivery_is_channel_and_data() {
    let gateway = gateway("");
    for (reader, writer) in [(BOTH[0], BOTH[1]), (BOTH[1], BOTH[0])] {
        let mut reader = Client::subscribed(gateway.addr(), reader, "/chat/a");
        let (mut raw, id) = Raw::session(gateway.addr(), writer);
        raw.one(&json!({ "channel": "/meta/subscribe", "clientId": id, "subscription": "/chat/a" }));
        let mut all = raw.all(&json!([{
            "channel": "/chat/a", "clientId": id, "id": "secret", "data": { "n": 1 }, "ext": { "token": "secret" },
            "timestamp": "Sun, 22 Nov 2026 20:44:25 GMT", "successful": true, "advice": { "reconnect": "none" },
            "more": "secret",
        }]));
        let event = reader.event(SOON).expect("the event comes");
        assert_eq!(event, json!({ "channel": "/chat/a", "data": { "n": 1 } }));
        // Its own copy is like everybody's.
        raw.send(&raw.connect_message(&id).to_string());
        while all.len() < 2 {
            all.extend(raw.receive(SOON).expect("its own event"));
        }
        assert!(all.contains(&event), "{all:?}");
    }
}

/// R19, R24, R41, R62, W4, W27: a publish is always answered, with its own id as it came, or none, and nothing that it did not ask for.
#[test]
fn ids_come_back_as_they_came() {
    let gateway = gateway("");
    for transport in BOTH {
        let (mut raw, id) = Raw::session(gateway.addr(), transport);
        for (n, given) in [
            json!("1"),
            json!("abc-DEF_9"),
            json!(1),
            json!(12_345_678_901_234_567_890_u64),
            json!(-7),
            json!(1.5),
            json!("é\"\\"),
        ]
        .into_iter()
        .enumerate()
        {
            let reply = raw.one(&json!({ "channel": "/chat/a", "clientId": id, "data": n, "id": given }));
            assert_eq!(reply, json!({ "channel": "/chat/a", "id": given, "successful": true }));
            let reply = raw.one(
                &json!({ "channel": "/meta/subscribe", "clientId": id, "subscription": "/chat/b", "id": given }),
            );
            let expected = json!({ "channel": "/meta/subscribe", "id": given, "successful": true, "subscription": "/chat/b" });
            assert_eq!(reply, expected);
        }
        let reply = raw.one(&json!({ "channel": "/chat/a", "clientId": id, "data": 1 }));
        assert_eq!(reply, json!({ "channel": "/chat/a", "successful": true }));
        for odd in [json!({}), json!([1]), json!(true)] {
            let reply = raw.one(&json!({ "channel": "/chat/a", "clientId": id, "data": 1, "id": odd }));
            assert_eq!((&reply["error"], reply.get("id")), (&json!("405::message_id_invalid"), None));
        }
    }
}

/// R4, R61: a script of requests has the same replies on either transport; only the event's place differs.
#[test]
fn both_transports_say_the_same() {
    let gateway = gateway("");
    let [ws, poll] = BOTH.map(|transport| {
        let (mut raw, id) = Raw::session(gateway.addr(), transport);
        let script = [
            json!([{ "channel": "/meta/subscribe", "subscription": ["/chat/a", "/deep/**"], "id": "1" }]),
            json!([{ "channel": "/chat/a", "data": [1], "id": "2" }, { "channel": "/deep/b", "data": 2, "id": "3" }]),
            json!({ "channel": "/nope", "data": 1, "id": 4 }),
            json!([{ "channel": "/meta/unsubscribe", "subscription": "/chat/a" }, { "id": "5" }, { "channel": "/x" }]),
            json!([{ "channel": "/meta/subscribe", "subscription": "/*/x", "id": "6" }]),
            json!([{ "channel": "/meta/disconnect", "id": "7" }]),
        ];
        let mut said: Vec<Value> = Vec::new();
        for mut request in script {
            let one = |message: &mut Value| message["clientId"] = json!(id);
            match &mut request {
                Value::Array(messages) => messages.iter_mut().for_each(one),
                bare => one(bare),
            }
            said.extend(raw.replies(&request));
        }
        said
    });
    assert_eq!(ws.len(), 9);
    assert_eq!(ws, poll);
}

/// R2, R6, R64, W17, W26, B62, B63: by long-polling, two connections do for everything: what happens during other requests waits for the held
/// connect, which is answered with it, and other responses hold nothing but their replies.
#[test]
fn events_come_with_connects_only() {
    let gateway = gateway("");
    let (mut poll, id) = Raw::session(gateway.addr(), Transport::LongPolling);
    let mut main = Raw::connect(gateway.addr(), Transport::LongPolling);
    let said = main.all(
        &json!([{ "channel": "/meta/subscribe", "clientId": id, "subscription": "/chat/a", "id": "1" }]),
    );
    assert_eq!(said.len(), 1);
    // No connect is held: the event waits through other requests.
    let publish = |n: u8| json!([{ "channel": "/chat/a", "clientId": id, "data": n, "id": n }]);
    for n in 2..5 {
        let said = main.all(&publish(n));
        assert_eq!(said, [json!({ "channel": "/chat/a", "id": n, "successful": true })]);
    }
    let said = poll.all(&poll.connect_message(&id));
    let data: Vec<&Value> = said.iter().filter_map(|message| message.get("data")).collect();
    assert_eq!(data, [&json!(2), &json!(3), &json!(4)], "{said:?}");
    assert!(said.len() == 4 && is_reply(&said[3]));
    // One is held: the event wakes it.
    poll.send(&poll.connect_message(&id).to_string());
    poll.expect_silence(Duration::from_millis(100));
    assert_eq!(main.all(&publish(5)).len(), 1);
    let said = poll.until_replies(SOON);
    assert_eq!((said.len(), &said[0]["data"]), (2, &json!(5)), "{said:?}");
}

/// B57: a message far larger than a WebSocket frame's or a buffer's usual size passes both ways; one that is too large is refused.
#[test]
fn large_messages_pass_and_too_large_ones_are_refused() {
    let gateway = gateway("limits: { body: 600KiB }\nqueue: { bytes: 2MiB }");
    for (reader, writer) in [(BOTH[0], BOTH[1]), (BOTH[1], BOTH[0])] {
        let mut reader = Client::subscribed(gateway.addr(), reader, "/chat/a");
        let mut writing = Client::open(gateway.addr(), writer);
        for size in [1, 70_000, 500_000] {
            let data = json!("é".repeat(size / 2));
            assert_eq!(writing.publish("/chat/a", &data)["successful"], true);
            assert_eq!(reader.expect_event().1, data);
        }
        let sent = writing.send(&json!({ "channel": "/chat/a", "data": "x".repeat(700_000) }));
        let answer = sent.and_then(|id| writing.reply(&id, SOON)).expect_err("refused").to_string();
        match writer {
            Transport::LongPolling => assert!(answer.contains("status 413"), "{answer}"),
            // Perhaps cut off before the close frame could be read.
            Transport::WebSocket => assert!(!answer.contains("timed out"), "{answer}"),
        }
        reader.expect_silence(Duration::from_millis(100));
    }
}

/// B61: thousands of events at once arrive, all of them and in order, on either transport.
#[test]
fn a_burst_arrives_whole_and_in_order() {
    const EVENTS: u64 = 6000;
    let gateway = gateway("queue: { bytes: 16MiB }");
    std::thread::scope(|scope| {
        let readers: Vec<_> = BOTH
            .map(|transport| {
                let mut reader = Client::subscribed(gateway.addr(), transport, "/chat/a");
                scope.spawn(move || {
                    for n in 0..EVENTS {
                        assert_eq!(reader.expect_event().1, json!(n), "{transport:?}");
                    }
                    reader.expect_silence(Duration::from_millis(100));
                })
            })
            .into();
        let (mut raw, id) = Raw::session(gateway.addr(), Transport::LongPolling);
        for start in (0..EVENTS).step_by(200) {
            let batch: Vec<Value> = (start..start + 200)
                .map(|n| json!({ "channel": "/chat/a", "clientId": id, "data": n, "id": n }))
                .collect();
            assert!(raw.replies(&json!(batch)).iter().all(|reply| reply["successful"] == true));
        }
        for reader in readers {
            reader.join().unwrap();
        }
    });
}
