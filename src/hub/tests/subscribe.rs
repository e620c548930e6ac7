//! Subscribes and unsubscribes; what they make Kafka's side do.

use serde_json::{Value, json};

use super::rig::*;

fn error(replies: &[Value]) -> &str {
    replies[0]["error"].as_str().unwrap()
}

#[test]
fn the_reply_waits_for_the_positions() {
    let mut rig = Rig::new();
    let id = rig.poller();
    let http = rig.post(&subscribe(&id, &json!("/a")));
    assert!(rig.response(http).is_none());
    assert_eq!(rig.asked[0].1, pattern("/a"));
    rig.grant();
    assert_eq!(
        rig.response(http).unwrap(),
        [json!({"channel": "/meta/subscribe", "id": "s", "successful": true, "subscription": "/a"})]
    );
    assert_eq!(rig.demand[&pattern("/a")], 1);
    rig.end();
}

#[test]
fn subscribing_again_succeeds_and_asks_nothing() {
    let mut rig = Rig::new();
    let id = rig.poller();
    rig.subscribed(&id, "/a");
    assert_eq!(rig.call(&subscribe(&id, &json!("/a")))[0]["successful"], true);
    assert!(rig.asked.is_empty());
    // The same pattern twice in one array.
    let http = rig.post(&subscribe(&id, &json!(["/b", "/b", "/a"])));
    rig.grant();
    assert_eq!(rig.response(http).unwrap()[0]["successful"], true);
    assert_eq!(rig.demand[&pattern("/b")], 1);
    rig.end();
}

#[test]
fn an_array_stops_at_its_first_failure_and_earlier_ones_stay() {
    let mut rig = Rig::new();
    let id = rig.poller();
    let http = rig.post(&subscribe(&id, &json!(["/a", "/b", "/c"])));
    rig.grant_from(&[]);
    rig.deny();
    let reply = rig.response(http).unwrap().remove(0);
    assert_eq!(reply["error"], "404:/b:unknown_channel");
    assert_eq!(reply["subscription"], json!(["/a", "/b", "/c"]));
    assert!(rig.asked.is_empty());
    assert_eq!(rig.shard.stats().subscriptions, 1);
    rig.records(&[("/a", 0, 1), ("/b", 0, 2), ("/c", 0, 3)]);
    assert_eq!(numbers(&rig.call(&connect(&id))), [1]);
    // What cannot be a pattern counts as a failure in its place.
    let http = rig.post(&subscribe(&id, &json!(["/d", "/x/*/y", "/e"])));
    rig.grant();
    assert_eq!(error(&rig.response(http).unwrap()), "403::subscription_invalid");
    assert_eq!(rig.shard.stats().subscriptions, 2);
    rig.end();
}

#[test]
fn a_failed_subscription_leaves_nothing_and_can_be_tried_again() {
    let mut rig = Rig::new();
    let id = rig.poller();
    let http = rig.post(&subscribe(&id, &json!("/a")));
    rig.deny();
    assert_eq!(error(&rig.response(http).unwrap()), "404:/a:unknown_channel");
    assert_eq!(rig.shard.stats().subscriptions, 0);
    rig.subscribed(&id, "/a");
    rig.records(&[("/a", 0, 1)]);
    assert_eq!(numbers(&rig.call(&connect(&id))), [1]);
    rig.end();
}

#[test]
fn reserved_and_root_patterns() {
    let mut rig = Rig::new();
    let id = rig.poller();
    for meta in ["/meta/connect", "/meta/*", "/meta/**"] {
        let expected = format!("403:{meta}:subscribe_denied");
        assert_eq!(error(&rig.call(&subscribe(&id, &json!(meta)))), expected);
        let expected = format!("403:{meta}:unsubscribe_failed");
        assert_eq!(error(&rig.call(&unsubscribe(&id, &json!(meta)))), expected);
    }
    for service in ["/service/x", "/service/**"] {
        assert_eq!(rig.call(&subscribe(&id, &json!(service)))[0]["successful"], true);
        assert_eq!(rig.call(&unsubscribe(&id, &json!(service)))[0]["successful"], true);
    }
    assert!(rig.asked.is_empty());
    assert_eq!(rig.shard.stats().subscriptions, 0);
    rig.subscribed(&id, "/*");
    rig.subscribed(&id, "/**");
    rig.end();

    let mut rig = Rig::with(crate::hub::Settings { root_patterns: false, ..settings() });
    let id = rig.poller();
    for root in ["/*", "/**"] {
        let expected = format!("403:{root}:root_patterns_are_off");
        assert_eq!(error(&rig.call(&subscribe(&id, &json!(root)))), expected);
    }
    rig.subscribed(&id, "/a/*");
    rig.subscribed(&id, "/a");
    rig.end();
}

#[test]
fn subscriptions_of_a_session_are_limited() {
    let mut rig = Rig::new();
    let id = rig.poller();
    for n in 0..20 {
        rig.subscribed(&id, &format!("/a/{n}"));
    }
    assert_eq!(error(&rig.call(&subscribe(&id, &json!("/b")))), "403:/b:too_many_subscriptions");
    assert_eq!(rig.call(&subscribe(&id, &json!("/a/0")))[0]["successful"], true);
    rig.call(&unsubscribe(&id, &json!("/a/0")));
    rig.subscribed(&id, "/b");
    rig.end();
}

#[test]
fn unsubscribing_ends_delivery_and_takes_the_demand_back() {
    let mut rig = Rig::new();
    let id = rig.poller();
    rig.subscribed(&id, "/a");
    rig.subscribed(&id, "/b");
    rig.subscribed(&id, "/c");
    let reply = rig.call(&unsubscribe(&id, &json!(["/a", "/b"])));
    assert_eq!(
        reply,
        [
            json!({"channel": "/meta/unsubscribe", "id": "u", "successful": true, "subscription": ["/a", "/b"]})
        ]
    );
    assert_eq!((rig.demand[&pattern("/a")], rig.demand[&pattern("/c")]), (0, 1));
    rig.records(&[("/a", 0, 1), ("/b", 0, 2), ("/c", 0, 3)]);
    assert_eq!(numbers(&rig.call(&connect(&id))), [3]);
    // Where nobody listened it succeeds all the same.
    assert_eq!(rig.call(&unsubscribe(&id, &json!("/never")))[0]["successful"], true);
    rig.end();
}

#[test]
fn a_publish_behind_a_subscribe_waits_for_it_in_the_same_array_and_in_the_next() {
    let mut rig = Rig::new();
    let id = rig.poller();
    let first = rig.post(&together(&[subscribe(&id, &json!("/a")), publish(&id, "1", "/a", &json!(1))]));
    let second = rig.post(&publish(&id, "2", "/a", &json!(2)));
    assert!(rig.produced.is_empty());
    rig.grant();
    let produced: Vec<_> = rig.produced.iter().map(|it| it.data.as_str()).collect();
    assert_eq!(produced, ["1", "2"]);
    rig.produce(Ok(()));
    rig.produce(Ok(()));
    let ids: Vec<_> = rig.response(first).unwrap().iter().map(|reply| reply["id"].clone()).collect();
    assert_eq!(ids, ["s", "1"]);
    assert!(rig.response(second).is_some());
    rig.end();
}

#[test]
fn connects_and_disconnects_pass_a_subscribe_that_waits() {
    let mut rig = Rig::new();
    let id = rig.poller();
    let waiting = rig.post(&subscribe(&id, &json!("/a")));
    let behind = rig.post(&publish(&id, "p", "/a", &json!(1)));
    assert_eq!(rig.call(&connect_for(&id, 0))[0]["successful"], true);
    assert_eq!(rig.call(&disconnect(&id))[0]["successful"], true);
    assert_eq!(error(&rig.response(waiting).unwrap()), "403::subscribe_failed");
    assert_eq!(error(&rig.response(behind).unwrap()), "402::session_unknown");
    // The answer comes late: its demand is given back at once.
    rig.grant();
    assert_eq!(rig.demand[&pattern("/a")], 0);
    rig.end();
}

#[test]
fn a_late_refusal_for_a_session_that_ended_owes_nothing() {
    let mut rig = Rig::new();
    let id = rig.poller();
    let waiting = rig.post(&subscribe(&id, &json!(["/a", "/b"])));
    rig.call(&disconnect(&id));
    assert!(rig.response(waiting).is_some());
    rig.deny();
    assert!(rig.demand.is_empty() && rig.asked.is_empty());
    rig.end();
}

#[test]
fn the_session_can_expire_while_its_subscribe_waits() {
    let mut rig = Rig::new();
    let id = rig.poller();
    let waiting = rig.post(&subscribe(&id, &json!("/a")));
    rig.after(60_000);
    assert_eq!(rig.shard.stats().sessions, 0);
    assert_eq!(error(&rig.response(waiting).unwrap()), "403::subscribe_failed");
    rig.grant();
    assert_eq!(rig.demand[&pattern("/a")], 0);
    rig.end();
}

#[test]
fn subscribes_do_not_wait_for_each_other() {
    let mut rig = Rig::new();
    let (id, socket) = rig.streamer();
    rig.send(socket, &together(&[subscribe(&id, &json!("/a")), subscribe(&id, &json!("/b"))]));
    rig.send(socket, &subscribe(&id, &json!("/c")));
    assert_eq!(rig.asked.len(), 3);
    // A publish waits for all of them, and what comes behind it waits too.
    rig.send(socket, &publish(&id, "p", "/a", &json!(1)));
    rig.send(socket, &subscribe(&id, &json!("/d")));
    rig.grant_from(&[]);
    rig.grant_from(&[]);
    assert_eq!(rig.received(socket).len(), 2);
    assert!(rig.produced.is_empty());
    rig.grant_from(&[]);
    assert_eq!((rig.produced.len(), rig.asked.len()), (1, 1));
    rig.end();
}

#[test]
fn many_subscribes_in_frames_of_their_own_are_all_answered() {
    let mut rig = Rig::with(crate::hub::Settings { max_subscriptions: 1_000, ..settings() });
    let (id, socket) = rig.streamer();
    rig.send(socket, &together(&[subscribe(&id, &json!("/first")), publish(&id, "p", "/a", &json!(1))]));
    for n in 0..1_000 {
        rig.send(socket, &subscribe(&id, &json!(format!("/a/{n}"))));
    }
    rig.grant();
    rig.produce(Ok(()));
    rig.grant();
    let replies = rig.received(socket);
    assert_eq!(replies.iter().filter(|reply| reply["successful"] == true).count(), 1_001);
    rig.end();
}

#[test]
fn requests_that_wait_behind_another_are_bounded() {
    let mut rig = Rig::new();
    let (id, socket) = rig.streamer();
    rig.send(socket, &together(&[subscribe(&id, &json!("/a")), publish(&id, "p", "/a", &json!(1))]));
    let large = "x".repeat(300_000);
    for n in 0..10 {
        rig.send(socket, &publish(&id, &n.to_string(), "/a", &json!(large)));
    }
    let refused = rig.received(socket);
    assert!((5..10).contains(&refused.len()), "{}", refused.len());
    assert!(refused.iter().all(|reply| reply["error"] == "503:/a:busy"));
    rig.grant();
    rig.end();
}

#[test]
fn an_unsubscribe_behind_a_subscribe_finds_it() {
    let mut rig = Rig::new();
    let id = rig.poller();
    let http = rig.post(&together(&[
        subscribe(&id, &json!("/a")),
        unsubscribe(&id, &json!("/a")),
        subscribe(&id, &json!("/a")),
    ]));
    rig.grant();
    rig.grant();
    assert!(rig.response(http).unwrap().iter().all(|reply| reply["successful"] == true));
    assert_eq!(rig.demand[&pattern("/a")], 1);
    rig.end();
}

#[test]
fn a_request_may_speak_for_several_sessions() {
    let mut rig = Rig::new();
    let (one, other) = (rig.poller(), rig.poller());
    let http = rig.post(&together(&[subscribe(&one, &json!("/a")), subscribe(&other, &json!("/a"))]));
    // The other subscribes to the same meanwhile, and leaves.
    let too = rig.post(&subscribe(&other, &json!("/a")));
    rig.grant_from(&[]);
    rig.call(&disconnect(&other));
    rig.grant();
    assert!(rig.response(http).is_some() && rig.response(too).is_some());
    rig.end();
}
