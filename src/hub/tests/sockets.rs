//! WebSockets: pushed events, broken sockets, sessions that move.

use serde_json::json;

use super::rig::*;
use crate::hub::Input;

#[test]
fn events_are_pushed_one_a_frame_and_the_connect_stays_held() {
    let mut rig = Rig::new();
    let (id, socket) = rig.streamer();
    rig.subscribed(&id, "/a");
    rig.records(&[("/a", 0, 1), ("/a", 0, 2)]);
    let frames = rig.frames(socket);
    assert_eq!(frames, [[json!({"channel": "/a", "data": 1})], [json!({"channel": "/a", "data": 2})]]);
    rig.after(29_999);
    assert_eq!(rig.received(socket)[0]["channel"], "/meta/connect");
    rig.end();
}

#[test]
fn an_idle_socket_without_handshake_is_tolerated() {
    let mut rig = Rig::new();
    let socket = rig.open();
    rig.after(600_000);
    rig.send(socket, &handshake());
    assert_eq!(rig.received(socket).len(), 1);
    rig.end();
}

#[test]
fn a_session_of_a_poll_moves_to_a_socket_with_what_waits_and_back() {
    let mut rig = Rig::new();
    let id = rig.poller();
    rig.subscribed(&id, "/a");
    rig.records(&[("/a", 0, 1)]);
    let socket = rig.open();
    rig.send(socket, &connect(&id));
    let received = rig.received(socket);
    assert_eq!(numbers(&received), [1]);
    rig.records(&[("/a", 0, 2)]);
    assert_eq!(numbers(&rig.received(socket)), [2]);
    let held = rig.post(&connect(&id));
    // The connect that was held on the socket is released.
    assert_eq!(rig.received(socket).len(), 1);
    rig.records(&[("/a", 0, 3)]);
    assert!(rig.received(socket).is_empty());
    assert_eq!(numbers(&rig.response(held).unwrap()), [3]);
    rig.end();
}

#[test]
fn a_broken_socket_gives_back_what_was_not_wholly_written() {
    let mut rig = Rig::new();
    let (id, socket) = rig.streamer();
    rig.subscribed(&id, "/a");
    rig.narrow(socket, Some(40));
    rig.records(&[("/a", 0, 1), ("/a", 0, 2), ("/a", 0, 3)]);
    assert_eq!(numbers(&rig.received(socket)), [1]);
    rig.lose(socket);
    rig.records(&[("/a", 0, 4)]);
    let socket = rig.open();
    rig.send(socket, &connect(&id));
    rig.records(&[("/a", 0, 5)]);
    assert_eq!(numbers(&rig.received(socket)), [2, 3, 4, 5]);
    rig.end();
}

#[test]
fn a_poll_gets_what_a_broken_socket_left() {
    let mut rig = Rig::new();
    let (id, socket) = rig.streamer();
    rig.subscribed(&id, "/a");
    rig.narrow(socket, Some(0));
    rig.records(&[("/a", 0, 1), ("/a", 0, 2)]);
    rig.lose(socket);
    assert_eq!(numbers(&rig.call(&connect(&id))), [1, 2]);
    rig.end();
}

#[test]
fn a_newer_socket_takes_over_while_the_older_one_is_stuck() {
    let mut rig = Rig::new();
    let (id, older) = rig.streamer();
    rig.subscribed(&id, "/a");
    rig.narrow(older, Some(5));
    rig.records(&[("/a", 0, 1), ("/a", 0, 2)]);
    let newer = rig.open();
    rig.send(newer, &connect(&id));
    rig.records(&[("/a", 0, 3)]);
    // The first event is partly written: the older socket must end before anybody knows whether it arrived.
    assert_eq!(rig.closed.iter().map(|it| (it.socket, it.code)).collect::<Vec<_>>(), [(older, 1000)]);
    assert!(rig.received(newer).is_empty());
    rig.lose(older);
    rig.records(&[("/a", 0, 4)]);
    assert_eq!(numbers(&rig.received(newer)), [1, 2, 3, 4]);
    rig.end();
}

#[test]
fn an_event_that_the_older_socket_finished_is_not_repeated() {
    let mut rig = Rig::new();
    let (id, older) = rig.streamer();
    rig.subscribed(&id, "/a");
    rig.narrow(older, Some(5));
    rig.records(&[("/a", 0, 1), ("/a", 0, 2)]);
    let held = rig.post(&connect(&id));
    assert!(rig.response(held).is_none());
    rig.narrow(older, None);
    assert_eq!(numbers(&rig.received(older)), [1]);
    rig.lose(older);
    assert_eq!(numbers(&rig.response(held).unwrap()), [2]);
    rig.end();
}

#[test]
fn the_same_with_a_third_socket() {
    let mut rig = Rig::new();
    let (id, first) = rig.streamer();
    rig.subscribed(&id, "/a");
    rig.narrow(first, Some(5));
    rig.records(&[("/a", 0, 1), ("/a", 0, 2)]);
    let second = rig.open();
    rig.send(second, &connect(&id));
    let third = rig.open();
    rig.send(third, &connect(&id));
    rig.lose(second);
    rig.lose(first);
    assert_eq!(numbers(&rig.received(third)), [1, 2]);
    rig.end();
}

#[test]
fn a_response_that_is_lost_after_the_move_to_a_socket_comes_before_later_events() {
    let mut rig = Rig::new();
    let id = rig.poller();
    rig.subscribed(&id, "/a");
    rig.takes = false;
    rig.records(&[("/a", 0, 1)]);
    let lost = rig.post(&connect(&id));
    let socket = rig.open();
    rig.send(socket, &connect(&id));
    rig.records(&[("/a", 0, 2)]);
    rig.tell(Input::Lost(lost));
    rig.records(&[("/a", 0, 3)]);
    rig.takes = true;
    assert_eq!(numbers(&rig.received(socket)), [1, 2, 3]);
    rig.end();
}

#[test]
fn a_session_on_a_broken_socket_expires_but_not_one_whose_connect_is_held() {
    let mut rig = Rig::new();
    let (_, socket) = rig.streamer();
    rig.after(20_000);
    assert_eq!(rig.shard.stats().sessions, 1);
    rig.lose(socket);
    rig.after(59_999);
    assert_eq!(rig.shard.stats().sessions, 1);
    rig.after(1);
    assert_eq!(rig.shard.stats().sessions, 0);
    rig.end();
}

#[test]
fn a_duplicate_connect_on_a_socket_releases_the_older_with_its_own_id() {
    let mut rig = Rig::new();
    let (id, socket) = rig.streamer();
    rig.send(socket, &connect_as(&id, "again"));
    let received = rig.received(socket);
    assert_eq!((received.len(), &received[0]["id"]), (1, &json!("c")));
    rig.after(30_000);
    assert_eq!(rig.received(socket)[0]["id"], "again");
    rig.end();
}

#[test]
fn another_handshake_on_a_socket_makes_the_session_before_wait() {
    let mut rig = Rig::new();
    let (older, socket) = rig.streamer();
    rig.subscribed(&older, "/a");
    rig.send(socket, &handshake());
    let newer = client_id(&rig.received(socket));
    rig.subscribed(&newer, "/b");
    rig.records(&[("/a", 0, 1), ("/b", 0, 2)]);
    assert_eq!(numbers(&rig.received(socket)), [2]);
    assert_eq!(numbers(&rig.call(&connect(&older))), [1]);
    rig.end();
}

#[test]
fn large_replies_are_split_over_frames() {
    let mut rig = Rig::new();
    let (id, socket) = rig.streamer();
    let name = format!("/a/{}", "x".repeat(300));
    let requests: Vec<_> = (0..500).map(|_| unsubscribe(&id, &json!(name))).collect();
    rig.send(socket, &together(&requests));
    let frames = rig.frames(socket);
    assert!(frames.len() > 1);
    assert!(frames.iter().all(|frame| serde_json::to_vec(frame).unwrap().len() <= 64 * 1024));
    assert_eq!(frames.iter().map(Vec::len).sum::<usize>(), 500);
    rig.end();
}

#[test]
fn a_socket_that_only_asks_and_never_waits_is_closed() {
    let mut rig = Rig::new();
    let socket = rig.open();
    // Refused connects are delayed: whoever floods must not make them pile up.
    for _ in 0..10_000 {
        rig.send(socket, &connect("gone"));
    }
    assert_eq!((rig.closed.len(), rig.closed[0].code), (1, 1008));
    assert!(rig.shard.exchanges.len() < 2_000);
    rig.end();
}
