//! Timesync, activity, binary, and what needs nothing: reload.

use std::time::Duration;

use serde_json::{Value, json};

use super::rig::*;
use crate::hub::{Activity, ActivityMode, Settings};

#[test]
fn who_tells_the_time_is_told_it() {
    let mut rig = Rig::new();
    let asked = json!({"timesync": {"tc": 999_000, "l": 15, "o": 1_000}});
    let answer = json!({"timesync": {"tc": 999_000, "ts": 1_000_000, "p": 0, "a": 15}});
    let reply = rig.call(&with_ext(handshake(), &asked));
    assert_eq!(reply[0]["ext"], answer);
    let id = client_id(&reply);
    for request in
        [connect(&id), unsubscribe(&id, &json!("/a")), subscribe(&id, &json!("/service/x")), disconnect(&id)]
    {
        assert_eq!(rig.call(&with_ext(request, &asked))[0]["ext"], answer);
    }
    // So are those that are refused, and those that know no lag yet in the old form.
    let old = json!({"timesync": {"tc": 5}});
    let reply = rig.call(&with_ext(connect(&id), &old));
    assert_eq!(reply[0]["successful"], false);
    assert_eq!(reply[0]["ext"], json!({"timesync": {"tc": 5, "ts": 1_000_000, "p": 0}}));
    rig.end();
}

#[test]
fn the_time_of_a_hold_is_told() {
    let mut rig = Rig::new();
    let id = rig.poller();
    let http = rig.post(&with_ext(connect(&id), &json!({"timesync": {"tc": 7, "l": 0, "o": 0}})));
    rig.clock.set(1_029_400);
    rig.after(29_400);
    let reply = rig.response(http).unwrap();
    assert_eq!(reply[0]["ext"]["timesync"], json!({"tc": 7, "ts": 1_029_400, "p": 29_400, "a": -1_029_393}));
    rig.end();
}

#[test]
fn the_time_and_a_batch_share_an_ext() {
    let mut rig = Rig::new();
    let id = client_id(&rig.call(&with_ext(handshake(), &json!({"ack": true}))));
    let reply = rig.call(&with_ext(connect(&id), &json!({"ack": 0, "timesync": {"tc": 7, "l": 0, "o": 0}})));
    assert_eq!(reply[0]["ext"]["ack"], 1);
    assert_eq!(reply[0]["ext"]["timesync"]["tc"], 7);
    rig.end();
}

#[test]
fn a_publish_of_bytes_is_passed_on_with_its_mark() {
    let mut rig = Rig::new();
    let id = rig.poller();
    let data = json!({"data": "HelloWorld", "last": true});
    rig.post(&with_ext(publish(&id, "1", "/a", &data), &json!({"binary": {"x": 1}})));
    rig.post(&with_ext(publish(&id, "2", "/a", &data), &json!({"token": 1})));
    let marks: Vec<_> = rig.produced.iter().map(|it| it.binary.as_deref()).collect();
    assert_eq!(marks, [Some(r#"{"x":1}"#), None]);
    rig.end();
}

fn active(mode: ActivityMode) -> Rig {
    let activity = Some(Activity { mode, period: Duration::from_secs(50) });
    Rig::with(Settings { activity, ..settings() })
}

/// Polls for a minute and a half, 10 s each time; how the last connect was answered.
fn idle(rig: &mut Rig, id: &str, mut meanwhile: impl FnMut(&mut Rig, i64)) -> Vec<Value> {
    for n in 0..9 {
        let http = rig.post(&connect_for(id, 10_000));
        meanwhile(rig, n);
        rig.after(9_800);
        let body = rig.response(http).unwrap();
        let last = body.last().unwrap();
        if last["advice"]["reconnect"] != "retry" {
            return body;
        }
    }
    Vec::new()
}

#[test]
fn a_client_that_only_polls_is_sent_away() {
    let mut rig = active(ActivityMode::Client);
    let id = rig.poller();
    rig.subscribed(&id, "/a");
    // Events are not the client's doing.
    let body = idle(&mut rig, &id, |rig, n| rig.records(&[("/a", 0, n)]));
    assert_eq!(body[0], json!({"channel": "/meta/disconnect", "successful": true}));
    assert_eq!(
        body[1],
        json!({"channel": "/meta/connect", "id": "c", "successful": true, "advice": {"reconnect": "none"}})
    );
    assert_eq!((rig.shard.stats().inactive, rig.shard.stats().sessions), (1, 0));
    assert_eq!(rig.call(&connect(&id))[0]["error"], "402::session_unknown");
    rig.end();
}

#[test]
fn what_a_client_does_keeps_its_session() {
    let mut rig = active(ActivityMode::Client);
    let id = rig.poller();
    let body = idle(&mut rig, &id, |rig, n| {
        if n % 4 == 0 {
            let id = id.clone();
            rig.call(&unsubscribe(&id, &json!("/x")));
        }
    });
    assert_eq!(body, Vec::<Value>::new());
    rig.end();
}

#[test]
fn events_keep_a_session_where_they_count() {
    let mut rig = active(ActivityMode::ClientServer);
    let id = rig.poller();
    rig.subscribed(&id, "/a");
    assert_eq!(idle(&mut rig, &id, |rig, n| rig.records(&[("/a", 0, n)])), Vec::<Value>::new());
    assert!(!idle(&mut rig, &id, |_, _| {}).is_empty());
    rig.end();
}

#[test]
fn an_inactive_socket_is_told_and_closed() {
    let mut rig = active(ActivityMode::Client);
    let (id, socket) = rig.streamer();
    rig.after(40_000);
    rig.received(socket);
    rig.send(socket, &connect(&id));
    rig.after(10_000);
    rig.send(socket, &connect(&id));
    let messages = rig.received(socket);
    let channels: Vec<_> = messages.iter().map(|message| message["channel"].as_str().unwrap()).collect();
    assert_eq!(channels, ["/meta/connect", "/meta/disconnect", "/meta/connect"]);
    assert_eq!(rig.closed.len(), 1);
    rig.end();
}

#[test]
fn a_page_that_is_loaded_again_goes_on() {
    let mut rig = Rig::new();
    let (id, socket) = rig.streamer();
    rig.subscribed(&id, "/a");
    rig.records(&[("/a", 0, 1)]);
    assert_eq!(numbers(&rig.received(socket)), [1]);
    // The page goes, and with it the socket; events come; the page is back, and its ids begin anew.
    rig.lose(socket);
    rig.records(&[("/a", 0, 2)]);
    let socket = rig.open();
    let mut again = connect_for(&id, 0);
    again[0]["id"] = json!("2");
    rig.send(socket, &again);
    let messages = rig.received(socket);
    assert_eq!(numbers(&messages), [2]);
    rig.send(socket, &subscribe(&id, &json!("/a")));
    assert_eq!(rig.received(socket)[0]["successful"], true, "it is subscribed already");
    rig.records(&[("/a", 0, 3)]);
    assert_eq!(numbers(&rig.received(socket)), [3], "once");
    rig.end();
}
