//! Which records a session gets, and in which order.

use serde_json::json;

use super::rig::*;
use crate::hub::Input;

#[test]
fn a_subscription_begins_at_its_positions() {
    let mut rig = Rig::new();
    let id = rig.poller();
    let http = rig.post(&subscribe(&id, &json!("/a")));
    // The reader is behind: records from before the subscription still come.
    rig.records(&[("/a", 0, 4), ("/a", 1, 9)]);
    rig.grant_from(&[(0, 6), (1, 9)]);
    assert_eq!(rig.response(http).unwrap().len(), 1);
    rig.records(&[("/a", 0, 5), ("/a", 0, 6), ("/a", 1, 10), ("/a", 2, 0), ("/a", 0, 7)]);
    assert_eq!(numbers(&rig.call(&connect(&id))), [9, 6, 10, 0, 7]);
    rig.end();
}

#[test]
fn a_compacted_partition_may_pass_over_the_start() {
    let mut rig = Rig::new();
    let id = rig.poller();
    rig.post(&subscribe(&id, &json!("/a")));
    rig.grant_from(&[(0, 6)]);
    rig.records(&[("/a", 0, 5), ("/a", 0, 8), ("/a", 0, 9)]);
    assert_eq!(numbers(&rig.call(&connect(&id))), [8, 9]);
    rig.end();
}

#[test]
fn overlapping_subscriptions_bring_one_copy() {
    let mut rig = Rig::new();
    let id = rig.poller();
    for pattern in ["/a/b", "/a/*", "/a/**", "/**"] {
        rig.subscribed(&id, pattern);
    }
    rig.records(&[("/a/b", 0, 1), ("/a/b/c", 0, 2), ("/x", 0, 3)]);
    assert_eq!(numbers(&rig.call(&connect(&id))), [1, 2, 3]);
    rig.call(&unsubscribe(&id, &json!("/**")));
    rig.call(&unsubscribe(&id, &json!("/a/b")));
    rig.records(&[("/a/b", 0, 4), ("/a/b/c", 0, 5), ("/x", 0, 6)]);
    assert_eq!(numbers(&rig.call(&connect(&id))), [4, 5]);
    rig.end();
}

#[test]
fn one_record_on_several_channels_comes_once_on_each() {
    let mut rig = Rig::new();
    let id = rig.poller();
    rig.subscribed(&id, "/**");
    rig.records(&[("/a", 0, 1), ("/b", 0, 1)]);
    assert_eq!(events(&rig.call(&connect(&id))), [("/a".into(), 1), ("/b".into(), 1)]);
    rig.end();
}

#[test]
fn what_arrives_while_positions_are_asked_for_is_decided_later_and_in_order() {
    let mut rig = Rig::new();
    let id = rig.poller();
    rig.subscribed(&id, "/a/*");
    let http = rig.post(&subscribe(&id, &json!("/**")));
    // 1 and 3 only the new one covers, 2 both, 4 is another partition's.
    rig.records(&[("/b", 0, 1), ("/a/x", 0, 2), ("/b", 0, 3), ("/a/x", 1, 4)]);
    rig.grant_from(&[(0, 2)]);
    assert!(rig.response(http).is_some());
    rig.records(&[("/b", 0, 5)]);
    let received = numbers(&rig.call(&connect(&id)));
    let of_partition_0: Vec<i64> = received.iter().copied().filter(|n| *n != 4).collect();
    assert_eq!(of_partition_0, [2, 3, 5]);
    assert_eq!(received.len(), 4);
    rig.end();
}

#[test]
fn an_earlier_subscription_keeps_its_order_while_another_asks() {
    let mut rig = Rig::new();
    let id = rig.poller();
    rig.subscribed(&id, "/a/*");
    rig.post(&subscribe(&id, &json!("/a/x")));
    // Offset 1 waits for what the new subscription learns; offset 2 may not pass it.
    rig.records(&[("/a/x", 0, 1), ("/a/y", 0, 2)]);
    rig.grant_from(&[(0, 9)]);
    assert_eq!(numbers(&rig.call(&connect(&id))), [1, 2]);
    rig.end();
}

#[test]
fn a_start_is_not_forgotten_because_of_records_that_wait() {
    let mut rig = Rig::new();
    let id = rig.poller();
    rig.post(&subscribe(&id, &json!("/a/*")));
    rig.grant_from(&[(0, 7)]);
    rig.post(&subscribe(&id, &json!("/a/x")));
    // The first subscription begins at 7: that 7 was seen must not let 6 in.
    rig.records(&[("/a/x", 0, 6), ("/a/x", 0, 7)]);
    rig.grant_from(&[(0, 8)]);
    assert_eq!(numbers(&rig.call(&connect(&id))), [7]);
    rig.end();
}

#[test]
fn a_refused_subscription_releases_what_waited_for_it() {
    let mut rig = Rig::new();
    let id = rig.poller();
    rig.subscribed(&id, "/a/*");
    rig.post(&subscribe(&id, &json!("/**")));
    rig.records(&[("/a/x", 0, 1), ("/b", 0, 2)]);
    rig.deny();
    assert_eq!(numbers(&rig.call(&connect(&id))), [1]);
    rig.end();
}

#[test]
fn two_that_ask_both_have_their_say() {
    let mut rig = Rig::new();
    let (id, socket) = rig.streamer();
    rig.send(socket, &together(&[subscribe(&id, &json!("/a/*")), subscribe(&id, &json!("/a/x"))]));
    rig.records(&[("/a/x", 0, 1), ("/a/y", 0, 2), ("/a/x", 0, 3)]);
    rig.grant_from(&[(0, 2)]);
    assert!(numbers(&rig.received(socket)).len() < 2);
    rig.grant_from(&[(0, 3)]);
    rig.records(&[("/a/x", 0, 4)]);
    rig.narrow(socket, None);
    assert_eq!(rig.shard.stats().deliveries, 3);
    rig.end();
}

#[test]
fn the_reply_stands_before_the_events_that_it_promises() {
    let mut rig = Rig::new();
    let (id, socket) = rig.streamer();
    rig.send(socket, &subscribe(&id, &json!("/a")));
    rig.records(&[("/a", 0, 1)]);
    rig.grant();
    let received = rig.received(socket);
    assert_eq!(received[0]["channel"], "/meta/subscribe");
    assert_eq!(numbers(&received[1..]), [1]);
    rig.end();
}

#[test]
fn local_events_have_no_position_to_wait_for() {
    let mut rig = Rig::new();
    let id = rig.poller();
    rig.subscribed(&id, "/a");
    rig.local("/a", "1");
    rig.post(&subscribe(&id, &json!("/*")));
    rig.local("/a", "2");
    assert_eq!(numbers(&rig.call(&connect(&id))), [1, 2]);
    rig.end();
}

#[test]
fn a_lost_response_puts_its_events_back_before_later_ones() {
    let mut rig = Rig::new();
    let id = rig.poller();
    rig.subscribed(&id, "/a");
    rig.takes = false;
    rig.records(&[("/a", 0, 1), ("/a", 0, 2)]);
    let lost = rig.post(&connect(&id));
    assert_eq!(numbers(&rig.response(lost).unwrap()), [1, 2]);
    rig.records(&[("/a", 0, 3)]);
    rig.tell(Input::Lost(lost));
    rig.takes = true;
    assert_eq!(numbers(&rig.call(&connect(&id))), [1, 2, 3]);
    rig.end();
}

#[test]
fn while_a_response_is_in_doubt_nothing_later_overtakes_it() {
    let mut rig = Rig::new();
    let id = rig.poller();
    rig.subscribed(&id, "/a");
    rig.takes = false;
    rig.records(&[("/a", 0, 1)]);
    let lost = rig.post(&connect(&id));
    assert_eq!(numbers(&rig.response(lost).unwrap()), [1]);
    // The client gave up, and asks again before the gateway knows.
    let next = rig.post(&connect(&id));
    rig.records(&[("/a", 0, 2)]);
    assert!(rig.response(next).is_none());
    rig.tell(Input::Lost(lost));
    assert_eq!(numbers(&rig.response(next).unwrap()), [1, 2]);
    rig.tell(Input::Taken(next));
    // The same when the response had arrived after all.
    rig.records(&[("/a", 0, 3)]);
    let taken = rig.post(&connect(&id));
    let next = rig.post(&connect(&id));
    rig.records(&[("/a", 0, 4)]);
    assert!(rig.response(next).is_none());
    rig.tell(Input::Taken(taken));
    assert_eq!(numbers(&rig.response(next).unwrap()), [4]);
    rig.tell(Input::Taken(next));
    rig.end();
}

#[test]
fn a_session_does_not_expire_while_its_client_reads_a_long_response() {
    let mut rig = Rig::new();
    let id = rig.poller();
    rig.subscribed(&id, "/a");
    rig.takes = false;
    rig.records(&[("/a", 0, 1)]);
    let slow = rig.post(&connect(&id));
    rig.after(200_000);
    assert_eq!(rig.shard.stats().sessions, 1);
    rig.tell(Input::Taken(slow));
    rig.after(59_000);
    assert_eq!(rig.shard.stats().sessions, 1);
    rig.after(1_000);
    assert_eq!(rig.shard.stats().sessions, 0);
    rig.end();
}

#[test]
fn a_poll_that_was_given_up_loses_nothing() {
    let mut rig = Rig::new();
    let id = rig.poller();
    rig.subscribed(&id, "/a");
    let held = rig.post(&connect(&id));
    rig.tell(Input::Lost(held));
    rig.records(&[("/a", 0, 1)]);
    assert_eq!(numbers(&rig.call(&connect(&id))), [1]);
    rig.end();
}

#[test]
fn a_response_stays_below_a_mebibyte() {
    let mut rig = Rig::with(crate::hub::Settings { queue_bytes: 8 << 20, ..settings() });
    let id = rig.poller();
    rig.subscribed(&id, "/a");
    let large = format!("\"{}\"", "x".repeat(300_000));
    for offset in 0..5 {
        rig.values(&[("/a", 0, offset, large.as_str())]);
    }
    let alone = format!("\"{}\"", "x".repeat(2_000_000));
    rig.values(&[("/a", 0, 5, alone.as_str()), ("/a", 0, 6, "6")]);
    let counts: Vec<usize> = (0..4).map(|_| rig.call(&connect(&id)).len() - 1).collect();
    assert_eq!(counts, [3, 2, 1, 1]);
    rig.end();
}

#[test]
fn a_batch_whose_replies_are_many_leaves_less_room_for_events() {
    let mut rig = Rig::with(crate::hub::Settings { queue_bytes: 8 << 20, ..settings() });
    let id = rig.poller();
    rig.subscribed(&id, "/a");
    let large = format!("\"{}\"", "x".repeat(100_000));
    for offset in 0..12 {
        rig.values(&[("/a", 0, offset, large.as_str())]);
    }
    let mut requests = vec![connect(&id)];
    let name = format!("/a/{}", "x".repeat(300));
    requests.extend((0..900).map(|_| unsubscribe(&id, &json!(name))));
    let body = rig.call(&together(&requests));
    assert!(body.iter().map(|it| it.to_string().len() + 1).sum::<usize>() < 1 << 20);
    assert!(body.len() > 901);
    rig.end();
}
