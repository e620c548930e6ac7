//! Connects: first, held, woken, released; pacing; expiry; disconnect.

use std::time::Duration;

use serde_json::{Value, json};

use super::rig::*;
use crate::hub::Input;

fn retry() -> Value {
    json!({"reconnect": "retry", "interval": 0, "timeout": 30_000})
}

#[test]
fn the_first_connect_returns_at_once_and_the_next_is_held_a_little_less_than_advised() {
    let mut rig = Rig::new();
    let id = client_id(&rig.call(&handshake()));
    assert_eq!(
        rig.call(&connect(&id)),
        [json!({"channel": "/meta/connect", "id": "c", "successful": true, "advice": retry()})]
    );
    let http = rig.post(&connect(&id));
    rig.after(29_000);
    assert!(rig.response(http).is_none());
    rig.after(999);
    let reply = rig.response(http).expect("answered before the advised time-out");
    assert_eq!((reply.len(), &reply[0]["advice"]), (1, &retry()));
    rig.end();
}

#[test]
fn an_event_wakes_a_held_poll_and_stands_before_its_reply() {
    let mut rig = Rig::new();
    let id = rig.poller();
    rig.subscribed(&id, "/a");
    let http = rig.post(&connect(&id));
    rig.records(&[("/a", 0, 1), ("/b", 0, 2), ("/a", 0, 3)]);
    let body = rig.response(http).unwrap();
    assert_eq!(body[0], json!({"channel": "/a", "data": 1}));
    assert_eq!(numbers(&body[..2]), [1, 3]);
    assert_eq!((&body[2]["channel"], &body[2]["advice"]), (&json!("/meta/connect"), &retry()));
    rig.end();
}

#[test]
fn what_waits_is_brought_by_the_next_connect_at_once() {
    let mut rig = Rig::new();
    let id = rig.poller();
    rig.subscribed(&id, "/a");
    rig.records(&[("/a", 0, 1)]);
    assert_eq!(numbers(&rig.call(&connect(&id))), [1]);
    rig.end();
}

#[test]
fn a_client_may_ask_for_a_shorter_hold_but_not_for_a_longer_one() {
    let mut rig = Rig::new();
    let id = rig.poller();
    assert_eq!(rig.call(&connect_for(&id, 0)).len(), 1);
    let http = rig.post(&connect_for(&id, 5_000));
    rig.after(4_000);
    assert!(rig.response(http).is_none());
    rig.after(1_000);
    assert!(rig.response(http).is_some());
    let http = rig.post(&connect_for(&id, 90_000));
    rig.after(30_000);
    assert!(rig.response(http).is_some());
    rig.end();
}

#[test]
fn a_second_connect_releases_the_first_and_gets_its_events() {
    let mut rig = Rig::new();
    let id = rig.poller();
    rig.subscribed(&id, "/a");
    let older = rig.post(&connect_as(&id, "older"));
    let newer = rig.post(&connect_as(&id, "newer"));
    let released = rig.response(older).unwrap();
    assert_eq!((released.len(), &released[0]["id"]), (1, &json!("older")));
    assert_eq!((&released[0]["successful"], &released[0]["advice"]), (&json!(true), &retry()));
    assert!(rig.response(newer).is_none());
    rig.records(&[("/a", 0, 1)]);
    let body = rig.response(newer).unwrap();
    assert_eq!((numbers(&body), &body[1]["id"]), (vec![1], &json!("newer")));
    rig.end();
}

#[test]
fn events_that_came_before_the_flush_go_to_the_newer_connect() {
    let mut rig = Rig::new();
    let id = rig.poller();
    rig.subscribed(&id, "/a");
    let older = rig.post(&connect_as(&id, "older"));
    // Records arrive; before the poll is woken for them another connect comes.
    let batch = rig.batch(&[("/a", 0, 1, "1")]);
    rig.shard.handle(Input::Batch(batch), rig.now);
    let newer = rig.post(&connect_as(&id, "newer"));
    assert_eq!(rig.response(older).unwrap().len(), 1);
    assert_eq!(numbers(&rig.response(newer).unwrap()), [1]);
    rig.end();
}

#[test]
fn a_connect_in_company_is_not_held() {
    let mut rig = Rig::new();
    let id = rig.poller();
    rig.subscribed(&id, "/a");
    rig.records(&[("/a", 0, 1)]);
    let http = rig.post(&together(&[connect(&id), subscribe(&id, &json!("/b"))]));
    rig.grant();
    let body = rig.response(http).unwrap();
    assert_eq!(numbers(&body[..1]), [1]);
    assert_eq!((&body[1]["id"], &body[2]["id"]), (&json!("c"), &json!("s")));
    rig.end();
}

#[test]
fn events_travel_in_connect_responses_only() {
    let mut rig = Rig::new();
    let id = rig.poller();
    rig.subscribed(&id, "/a");
    rig.records(&[("/a", 0, 1)]);
    assert_eq!(rig.call(&subscribe(&id, &json!("/a"))).len(), 1);
    assert_eq!(rig.call(&unsubscribe(&id, &json!("/b"))).len(), 1);
    assert_eq!(numbers(&rig.call(&connect(&id))), [1]);
    rig.end();
}

#[test]
fn ids_are_echoed_as_they_came() {
    let mut rig = Rig::new();
    let id = rig.poller();
    let ask = |id: &str, message: Value| json!([{"channel": "/meta/connect", "clientId": id, "id": message, "advice": {"timeout": 0}}]);
    for message in [json!("é\"x"), json!(7), json!(-1.5)] {
        assert_eq!(rig.call(&ask(&id, message.clone()))[0]["id"], message);
    }
    let refused = rig.call(&ask(&id, json!({"a": 1})));
    assert_eq!(refused[0]["error"], "405::message_id_invalid");
    assert!(refused[0].get("id").is_none());
    let none = json!([{"channel": "/meta/connect", "clientId": id, "advice": {"timeout": 0}}]);
    assert!(rig.call(&none)[0].get("id").is_none());
    rig.end();
}

#[test]
fn answers_to_hot_loops_are_delayed() {
    let mut rig = Rig::new();
    let id = rig.poller();
    for request in [connect_for(&id, 0), connect_for(&id, 1), connect("gone")] {
        rig.after(5_000);
        let mut quick = 0;
        let slow = loop {
            let http = rig.post(&request);
            rig.after(1);
            match rig.response(http) {
                Some(reply) => assert_eq!(reply.len(), 1),
                None => break http,
            }
            quick += 1;
            assert!(quick < 50, "{request} is not paced");
        };
        rig.after(499);
        assert!(rig.response(slow).is_some(), "{request}");
    }
    rig.end();
}

#[test]
fn pacing_leaves_no_pile_of_timers() {
    let mut rig = Rig::new();
    let id = rig.poller();
    for _ in 0..1_000 {
        let http = rig.post(&connect_for(&id, 40));
        rig.after(510);
        assert!(rig.response(http).is_some());
    }
    assert!(rig.shard.timers.len() < 200, "{}", rig.shard.timers.len());
    rig.end();
}

#[test]
fn an_unknown_session_is_told_to_handshake_on_connect_only() {
    let mut rig = Rig::new();
    let reply = rig.call(&connect("gone")).remove(0);
    assert_eq!(
        reply,
        json!({"channel": "/meta/connect", "id": "c", "successful": false, "error": "402::session_unknown",
            "advice": {"reconnect": "handshake", "interval": 0}})
    );
    let reply = rig.call(&subscribe("gone", &json!(["/a", "/b"]))).remove(0);
    assert_eq!(
        reply,
        json!({"channel": "/meta/subscribe", "id": "s", "successful": false, "error": "402::session_unknown",
            "subscription": ["/a", "/b"]})
    );
    let anonymous = rig.call(&json!([{"channel": "/a", "data": 1}])).remove(0);
    assert_eq!(anonymous, json!({"channel": "/a", "successful": false, "error": "402::session_unknown"}));
    rig.end();
}

#[test]
fn a_session_that_never_connects_expires() {
    let mut rig = Rig::new();
    let id = client_id(&rig.call(&handshake()));
    rig.after(59_999);
    assert_eq!(rig.shard.stats().sessions, 1);
    rig.after(1);
    assert_eq!((rig.shard.stats().sessions, rig.shard.stats().expired), (0, 1));
    assert_eq!(rig.call(&connect(&id))[0]["error"], "402::session_unknown");
    rig.end();
}

#[test]
fn a_held_connect_keeps_a_session_and_its_time_runs_from_the_reply() {
    let mut rig = Rig::new();
    let id = rig.poller();
    rig.after(59_000);
    let http = rig.post(&connect(&id));
    rig.after(30_000);
    assert!(rig.response(http).is_some());
    rig.after(59_000);
    assert_eq!(rig.shard.stats().sessions, 1);
    rig.after(1_000);
    assert_eq!(rig.shard.stats().sessions, 0);
    rig.end();
}

#[test]
fn other_messages_are_signs_of_life_and_an_announced_pause_is_respected() {
    let mut rig = Rig::new();
    let id = rig.poller();
    for _ in 0..3 {
        rig.after(50_000);
        let http = rig.post(&publish(&id, "p", "/a", &json!(1)));
        rig.produce(Ok(()));
        assert!(rig.response(http).is_some());
    }
    rig.call(
        &json!([{"channel": "/meta/connect", "clientId": id, "advice": {"timeout": 0, "interval": 40_000}}]),
    );
    rig.after(99_000);
    assert_eq!(rig.shard.stats().sessions, 1);
    rig.after(1_001);
    assert_eq!(rig.shard.stats().sessions, 0);
    rig.end();
}

#[test]
fn a_session_does_not_live_by_other_messages_for_ever() {
    let mut rig = Rig::new();
    let id = rig.poller();
    for _ in 0..3 {
        rig.after(50_000);
        assert_eq!(rig.call(&unsubscribe(&id, &json!("/a")))[0]["successful"], true);
    }
    rig.after(29_000);
    assert_eq!(rig.shard.stats().sessions, 1);
    rig.call(&unsubscribe(&id, &json!("/a")));
    rig.after(1_001);
    assert_eq!(rig.call(&unsubscribe(&id, &json!("/a")))[0]["error"], "402::session_unknown");
    // A connect begins anew.
    let id = rig.poller();
    for _ in 0..2 {
        rig.after(59_000);
        rig.call(&unsubscribe(&id, &json!("/a")));
        rig.after(59_000);
        rig.call(&connect_for(&id, 0));
    }
    assert_eq!(rig.shard.stats().sessions, 1);
    rig.end();
}

#[test]
fn nobody_can_announce_a_pause_for_ever() {
    let mut rig = Rig::new();
    let id = rig.poller();
    for interval in [json!(1e300), json!(1e21), json!(1e22), json!(1.8e22), json!(-1), json!("x")] {
        let request = json!([{"channel": "/meta/connect", "clientId": id,
            "advice": {"timeout": 0, "interval": interval}}]);
        rig.after(1_000);
        assert_eq!(rig.call(&request)[0]["successful"], true);
    }
    rig.end();
}

#[test]
fn a_session_whose_poll_broke_off_expires() {
    let mut rig = Rig::new();
    let id = rig.poller();
    let http = rig.post(&connect(&id));
    rig.after(1_000);
    rig.tell(Input::Lost(http));
    assert!(rig.response(http).is_none());
    rig.after(59_000);
    assert_eq!(rig.shard.stats().sessions, 1);
    rig.after(1_000);
    assert_eq!(rig.shard.stats().sessions, 0);
    rig.end();
}

#[test]
fn a_disconnect_answers_the_held_connect_first() {
    let mut rig = Rig::new();
    let id = rig.poller();
    let held = rig.post(&connect(&id));
    let last = rig.call(&disconnect(&id));
    assert_eq!(last, [json!({"channel": "/meta/disconnect", "id": "d", "successful": true})]);
    assert_eq!(
        rig.response(held).unwrap(),
        [json!({"channel": "/meta/connect", "id": "c", "successful": true, "advice": {"reconnect": "none"}})]
    );
    assert_eq!(rig.call(&connect(&id))[0]["error"], "402::session_unknown");
    assert_eq!(rig.call(&disconnect(&id))[0]["error"], "402::session_unknown");
    rig.end();
}

#[test]
fn a_disconnect_on_a_websocket_closes_it_after_a_grace() {
    let mut rig = Rig::new();
    let (id, socket) = rig.streamer();
    rig.send(socket, &disconnect(&id));
    let channels: Vec<_> = rig.received(socket).iter().map(|reply| reply["channel"].clone()).collect();
    assert_eq!(channels, ["/meta/connect", "/meta/disconnect"]);
    assert_eq!(rig.closed, [Closed { socket, code: 1000, grace: Duration::from_secs(2) }]);
    rig.end();
}

#[test]
fn a_disconnect_waits_for_publishes_before_the_socket_closes() {
    let mut rig = Rig::new();
    let (id, socket) = rig.streamer();
    rig.send(socket, &together(&[publish(&id, "p", "/a", &json!(1)), disconnect(&id)]));
    rig.received(socket);
    assert_eq!(rig.closed, []);
    rig.produce(Ok(()));
    let ids: Vec<_> = rig.received(socket).iter().map(|reply| reply["id"].clone()).collect();
    assert_eq!(ids, ["p", "d"]);
    assert_eq!(rig.closed.len(), 1);
    rig.end();
}

#[test]
fn what_follows_a_disconnect_in_its_array_finds_no_session() {
    let mut rig = Rig::new();
    let id = rig.poller();
    let http = rig.post(&together(&[
        publish(&id, "1", "/a", &json!(1)),
        disconnect(&id),
        publish(&id, "2", "/a", &json!(2)),
        connect(&id),
    ]));
    rig.produce(Ok(()));
    let body = rig.response(http).unwrap();
    let successful: Vec<_> = body.iter().map(|reply| reply["successful"].clone()).collect();
    assert_eq!(successful, [true, true, false, false]);
    assert!(rig.produced.is_empty());
    rig.end();
}

#[test]
fn an_empty_request_gets_an_empty_answer() {
    let mut rig = Rig::new();
    assert!(rig.call(&json!([])).is_empty());
    let socket = rig.open();
    rig.send(socket, &json!([]));
    assert_eq!(rig.frames(socket), [Vec::<Value>::new()]);
    rig.end();
}

#[test]
fn sessions_that_end_each_other_do_not_pile_up_calls() {
    let mut rig = Rig::new();
    let sessions: Vec<String> = (0..3_000).map(|_| client_id(&rig.call(&handshake()))).collect();
    // Each session waits for a subscribe; behind it waits a request that ends the next session.
    let mut waiting = Vec::new();
    for pair in sessions.windows(2) {
        rig.post(&subscribe(&pair[0], &json!("/a")));
        waiting.push(rig.post(&together(&[publish(&pair[0], "p", "/a", &json!(1)), disconnect(&pair[1])])));
    }
    rig.call(&disconnect(&sessions[0]));
    assert!(waiting.into_iter().all(|http| rig.response(http).is_some()));
    rig.end();
}
