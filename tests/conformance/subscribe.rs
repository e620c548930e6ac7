//! Subscribing: which names, which channels they cover, and what the reply promises.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::raw::{Raw, SOON, gateway};
use crate::support::bayeux::{BOTH, Client, Transport};
use crate::support::gateway::Gateway;
use crate::support::kafka::Kafka;
use crate::support::records::Writer;
use crate::support::{eventually, unique};

/// Names that are no channel and no pattern.
const NO_NAMES: [&str; 17] = [
    "",
    "/",
    "chat/a",
    "/chat//a",
    "/chat/a/",
    "/chat/ ",
    "/chat/a b",
    "/chat/a#b",
    "/chat/a+b",
    "/chat/a?b",
    "/chat/{a}",
    "/chat/a*",
    "/chat/***",
    "/*/a",
    "/deep/**/a",
    "/deep/*/**",
    "/chat/<script>alert(\"x\")</script>",
];

/// There are so many subscriptions, once that is counted.
fn expect_subscriptions(gateway: &Gateway, count: u32) {
    eventually(SOON, "subscriptions are counted", || {
        gateway.metric("halley_subscriptions", &[]).total_cmp(&f64::from(count)).is_eq()
    });
}

/// R13, R14, R20, R21, R43, B44, B47: what is no name is refused for what it is, by valid JSON, and leaves nothing behind.
#[test]
fn what_is_no_name_is_refused() {
    let gateway = gateway("");
    for transport in BOTH {
        let (mut raw, id) = Raw::session(gateway.addr(), transport);
        for name in NO_NAMES {
            for channel in ["/meta/subscribe", "/meta/unsubscribe"] {
                let asked = json!({ "channel": channel, "clientId": id, "subscription": name, "id": "s" });
                let reply = raw.one(&asked);
                assert_eq!(
                    reply,
                    json!({
                        "channel": channel, "id": "s", "successful": false, "subscription": name,
                        "error": "403::subscription_invalid",
                    })
                );
            }
            let error = if name.is_empty() { "400::channel_missing" } else { "405::channel_invalid" };
            let reply = raw.one(&json!({ "channel": name, "clientId": id, "data": 1, "id": "p" }));
            assert_eq!((&reply["successful"], &reply["error"]), (&json!(false), &json!(error)), "{name}");
        }
        expect_subscriptions(&gateway, 0);
        // Refused, then put right.
        let reply =
            raw.one(&json!({ "channel": "/meta/subscribe", "clientId": id, "subscription": "/chat/a" }));
        assert_eq!(reply["successful"], true);
        raw.one(&json!({ "channel": "/meta/disconnect", "clientId": id }));
    }
}

/// R13, R19, R20: every character that names may have, and those that CometD's users asked for, goes through unchanged.
#[test]
fn what_is_a_name_is_one() {
    let gateway = gateway("");
    for transport in BOTH {
        let mut client = Client::open(gateway.addr(), transport);
        for name in
            ["/chat/azAZ09", "/chat/-_!()$@", "/chat/a~7Eb", "/chat/BRK.A", "/chat/größe", "/chat/価格"]
        {
            assert_eq!(client.subscribe(name)["successful"], true, "{name}");
            assert_eq!(client.publish(name, &json!(name))["successful"], true, "{name}");
            assert_eq!(client.expect_event(), (name.to_owned(), json!(name)));
        }
    }
}

/// R14, R15, R63: `*` is one segment, `**` one or more, and neither is none.
#[test]
fn patterns_cover_what_they_should() {
    let gateway = gateway("");
    let channels = ["/deep/a", "/deep/a/b", "/deep/a/b/c", "/deep/ab", "/chat/a"];
    for transport in BOTH {
        let mut writer = Client::open(gateway.addr(), Transport::WebSocket);
        for (pattern, covered) in [
            ("/deep/a", &["/deep/a"][..]),
            ("/deep/*", &["/deep/a", "/deep/ab"]),
            ("/deep/**", &["/deep/a", "/deep/a/b", "/deep/a/b/c", "/deep/ab"]),
            ("/deep/a/*", &["/deep/a/b"]),
            ("/deep/a/**", &["/deep/a/b", "/deep/a/b/c"]),
            ("/**", &channels),
        ] {
            let mut reader = Client::subscribed(gateway.addr(), transport, pattern);
            for channel in channels {
                assert_eq!(writer.publish(channel, &json!(pattern))["successful"], true);
            }
            for channel in channels.iter().filter(|channel| covered.contains(channel)) {
                assert_eq!(reader.expect_event(), ((*channel).to_owned(), json!(pattern)));
            }
            reader.expect_silence(Duration::from_millis(100));
            reader.disconnect();
        }
    }
}

/// R22, R23, R24, R28, B43, B50: meta channels are nobody's to read or to write to, by their exact names; `/**` does not mean them.
#[test]
fn meta_channels_are_the_protocols_own() {
    let gateway = gateway("");
    let mut witness = Client::subscribed(gateway.addr(), Transport::WebSocket, "/**");
    for transport in BOTH {
        let (mut raw, id) = Raw::session(gateway.addr(), transport);
        for name in ["/meta/connect", "/meta/*", "/meta/**", "/meta/anything/else", "/meta"] {
            let reply =
                raw.one(&json!({ "channel": "/meta/subscribe", "clientId": id, "subscription": name }));
            assert_eq!(reply["error"], format!("403:{name}:subscribe_denied"));
            let reply =
                raw.one(&json!({ "channel": "/meta/unsubscribe", "clientId": id, "subscription": name }));
            assert_eq!(reply["error"], format!("403:{name}:unsubscribe_failed"));
        }
        for name in ["/meta/connect/x", "/meta/handshake/", "/meta/nothing", "/meta"] {
            let reply = raw.one(&json!({ "channel": name, "clientId": id, "data": 1, "id": "m" }));
            assert_eq!((&reply["successful"], &reply["id"]), (&json!(false), &json!("m")), "{name}: {reply}");
            assert_eq!(reply["channel"], name);
        }
        raw.one(&json!({ "channel": "/meta/disconnect", "clientId": id }));
    }
    witness.expect_silence(Duration::from_millis(200));
}

/// R43, R59, W18, B42, B44: one name or an array, the reply has the same shape; an array stops at its first failure.
#[test]
fn a_subscription_comes_back_in_its_shape() {
    let gateway = gateway("");
    for transport in BOTH {
        let (mut raw, id) = Raw::session(gateway.addr(), transport);
        for (subscription, error) in [
            (json!("/chat/a"), None),
            (json!(["/chat/a"]), None),
            (json!(["/chat/*", "/deep/**", "/chat/b"]), None),
            (json!(["/chat/c", "/nope", "/chat/d"]), Some("404:/nope:unknown_channel")),
            (json!([]), Some("403::subscription_invalid")),
            (json!(7), Some("403::subscription_invalid")),
            (json!({ "a": 1 }), Some("403::subscription_invalid")),
            (json!(["/chat/a", 7]), Some("403::subscription_invalid")),
        ] {
            let asked = json!({ "channel": "/meta/subscribe", "clientId": id, "subscription": subscription, "id": 3 });
            let reply = raw.one(&asked);
            assert_eq!(reply.get("subscription"), Some(&subscription), "{reply}");
            assert_eq!(reply["successful"], error.is_none(), "{reply}");
            assert_eq!(reply["error"].as_str(), error, "{reply}");
        }
        let reply = raw.one(&json!({ "channel": "/meta/subscribe", "clientId": id }));
        assert_eq!(reply["error"], "403::subscription_missing");
        expect_subscriptions(&gateway, 5);
        for subscription in [
            json!("/chat/a"),
            json!(["/chat/*", "/deep/**"]),
            json!("/chat/never"),
            json!(["/chat/b", "/chat/c"]),
        ] {
            let reply = raw.one(
                &json!({ "channel": "/meta/unsubscribe", "clientId": id, "subscription": subscription }),
            );
            assert_eq!((&reply["successful"], &reply["subscription"]), (&json!(true), &subscription));
        }
        expect_subscriptions(&gateway, 0);
        raw.one(&json!({ "channel": "/meta/disconnect", "clientId": id }));
    }
}

/// R63, W10, B46, B51: however often and by whatever patterns, a session gets one copy; after the unsubscribe none.
#[test]
fn one_copy_a_session() {
    let gateway = gateway("");
    for transport in BOTH {
        let mut client = Client::open(gateway.addr(), transport);
        for pattern in ["/chat/a", "/chat/a", "/chat/*", "/chat/**", "/**"] {
            assert_eq!(client.subscribe(pattern)["successful"], true);
        }
        assert_eq!(client.publish("/chat/a", &json!(1))["successful"], true);
        assert_eq!(client.expect_event().1, json!(1));
        client.expect_silence(Duration::from_millis(200));
        for pattern in ["/chat/*", "/chat/**", "/**"] {
            assert_eq!(client.unsubscribe(pattern)["successful"], true);
        }
        assert_eq!(client.publish("/chat/b", &json!(2))["successful"], true);
        assert_eq!(client.publish("/chat/a", &json!(3))["successful"], true);
        assert_eq!(client.expect_event().1, json!(3), "the exact subscription is left");
        assert_eq!(client.unsubscribe("/chat/a")["successful"], true);
        assert_eq!(client.publish("/chat/a", &json!(4))["successful"], true);
        client.expect_silence(Duration::from_millis(200));
    }
}

/// R6, R60, W11, B20, B46: subscribe, publish and connect in one request: all replies in one response, in order, and its own event once.
#[test]
fn events_may_come_with_the_reply_to_their_subscribe() {
    let gateway = gateway("");
    for transport in BOTH {
        let (mut raw, id) = Raw::session(gateway.addr(), transport);
        let mut connect = raw.connect_message(&id);
        connect["id"] = json!("5");
        raw.send(
            &json!([
                { "channel": "/meta/subscribe", "clientId": id, "subscription": "/chat/*", "id": "1" },
                { "channel": "/meta/unsubscribe", "clientId": id, "subscription": "/chat/*", "id": "2" },
                { "channel": "/meta/subscribe", "clientId": id, "subscription": "/chat/*", "id": "3" },
                { "channel": "/chat/a", "clientId": id, "data": "own", "id": "4" },
                connect,
            ])
            .to_string(),
        );
        let mut all = raw.until_replies(SOON);
        // If the event was not quick enough, it is next.
        if all.len() < 6 && transport == Transport::LongPolling {
            raw.send(&raw.connect_message(&id).to_string());
        }
        if all.len() < 6 {
            all.insert(0, raw.receive(SOON).expect("the event comes")[0].clone());
        }
        let replies: Vec<&Value> = all.iter().filter(|it| it.get("successful").is_some()).collect();
        let ids: Vec<&Value> = replies.iter().map(|reply| &reply["id"]).collect();
        assert_eq!(ids, ["1", "2", "3", "4", "5"], "{all:?}");
        assert!(replies.iter().all(|reply| reply["successful"] == true), "{all:?}");
        let event = json!({ "channel": "/chat/a", "data": "own" });
        assert_eq!(all.iter().filter(|message| **message == event).count(), 1, "one copy: {all:?}");
    }
}

/// B84, B85: what a route allows holds for every channel below it: who may not publish there may subscribe all the same.
#[test]
fn the_rules_of_a_route_hold_for_all_of_its_channels() {
    let kafka = Kafka::shared();
    let topic = unique("quiet");
    kafka.create_topic(&topic, 1);
    let routes = format!(
        "routes:\n  - name: quiet\n    channel: \"/quiet/{{key**}}\"\n    topic: {topic}\n    key: \"{{key**}}\"\n"
    );
    let gateway = Gateway::start(kafka, &routes);
    let writer = Writer::new(kafka);
    for transport in BOTH {
        for (channel, pattern) in
            [("/quiet/a", "/quiet/a"), ("/quiet/a/b", "/quiet/a/*"), ("/quiet/a/b/c", "/quiet/**")]
        {
            let mut client = Client::subscribed(gateway.addr(), transport, pattern);
            let reply = client.publish(channel, &json!(1));
            assert_eq!(reply["error"], format!("403:{channel}:publish_denied"));
            writer.put(&topic, &channel["/quiet/".len()..], "2");
            assert_eq!(client.expect_event(), (channel.to_owned(), json!(2)));
            client.disconnect();
        }
    }
}

/// R16, R21, W21: every error has a code of three digits and two colons, and says in few characters what it is about.
#[test]
fn errors_have_their_form() {
    let gateway = gateway("limits: { channel: 100, subscriptions: 1 }");
    let (mut raw, id) = Raw::session(gateway.addr(), Transport::LongPolling);
    let long = format!("/chat/{}", "x".repeat(100));
    let replies = raw.replies(&json!([
        { "clientId": id },
        { "channel": "chat", "clientId": id, "data": 1 },
        { "channel": long, "clientId": id, "data": 1 },
        { "channel": "/chat/a", "clientId": id, "data": 1, "id": {} },
        { "channel": "/chat/a", "clientId": id },
        { "channel": "/nope:with:colons", "clientId": id, "data": 1 },
        { "channel": "/nope", "clientId": id, "data": 1 },
        { "channel": "/meta/nothing", "clientId": id },
        { "channel": "/meta/subscribe", "clientId": id },
        { "channel": "/meta/subscribe", "clientId": id, "subscription": "no" },
        { "channel": "/meta/subscribe", "clientId": id, "subscription": "/meta/connect" },
        { "channel": "/meta/subscribe", "clientId": id, "subscription": "/nope" },
        { "channel": "/meta/subscribe", "clientId": id, "subscription": ["/chat/a", "/chat/b"] },
        { "channel": "/meta/unsubscribe", "clientId": id, "subscription": "/meta/connect" },
        { "channel": "/meta/disconnect", "clientId": "gone" },
    ]));
    assert_eq!(replies.len(), 15);
    let mut seen = HashSet::new();
    for reply in &replies {
        assert_eq!(reply["successful"], false, "{reply}");
        let error = reply["error"].as_str().expect("a string");
        let parts: Vec<&str> = error.splitn(3, ':').collect();
        let [code, about, text] = parts[..] else { panic!("{error}") };
        assert!(code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_digit()), "{error}");
        let legal = |c: char| c.is_ascii_alphanumeric() || "-_!~()$@ /*.,".contains(c);
        assert!(about.chars().all(legal) && text.chars().all(legal) && !text.is_empty(), "{error}");
        seen.insert(error);
    }
    assert!(seen.len() >= 12, "they tell things apart: {seen:?}");
}
