//! Lazy events: who waits for whom.

use std::time::Duration;

use serde_json::json;

use super::rig::*;

const LAZY: Duration = Duration::from_millis(200);

#[test]
fn a_lazy_event_wakes_its_poll_when_its_time_is_over() {
    let mut rig = Rig::new();
    let id = rig.poller();
    rig.subscribed(&id, "/a");
    let http = rig.post(&connect(&id));
    rig.lazily(LAZY, &[("/a", 0, 1)]);
    rig.after(150);
    rig.lazily(LAZY, &[("/a", 0, 2)]);
    assert!(rig.response(http).is_none());
    rig.after(50);
    assert_eq!(numbers(&rig.response(http).expect("the first one's time is over")), [1, 2]);
    rig.end();
}

#[test]
fn a_lazy_event_is_taken_along_by_one_that_is_not() {
    let mut rig = Rig::new();
    let id = rig.poller();
    rig.subscribed(&id, "/a");
    let http = rig.post(&connect(&id));
    rig.lazily(LAZY, &[("/a", 0, 1)]);
    rig.records(&[("/a", 0, 2)]);
    assert_eq!(numbers(&rig.response(http).unwrap()), [1, 2]);
    // Behind one that goes at once a lazy one does not wait either.
    rig.records(&[("/a", 0, 3)]);
    rig.lazily(LAZY, &[("/a", 0, 4)]);
    assert_eq!(numbers(&rig.call(&connect(&id))), [3, 4]);
    rig.end();
}

#[test]
fn a_queue_of_lazy_events_does_not_answer_a_new_connect() {
    let mut rig = Rig::new();
    let id = rig.poller();
    rig.subscribed(&id, "/a");
    rig.lazily(LAZY, &[("/a", 0, 1)]);
    let http = rig.post(&connect(&id));
    assert!(rig.response(http).is_none());
    rig.after(200);
    assert_eq!(numbers(&rig.response(http).unwrap()), [1]);
    // But they leave with a connect that is answered at once, and with one whose hold is over.
    rig.lazily(LAZY, &[("/a", 0, 2)]);
    assert_eq!(numbers(&rig.call(&connect_for(&id, 0))), [2]);
    let http = rig.post(&connect_for(&id, 5_000));
    rig.after(4_850);
    rig.lazily(LAZY, &[("/a", 0, 3)]);
    rig.after(50);
    assert_eq!(numbers(&rig.response(http).expect("the hold is over")), [3]);
    rig.end();
}

#[test]
fn a_socket_is_not_written_to_for_lazy_events_alone() {
    let mut rig = Rig::new();
    let (id, socket) = rig.streamer();
    rig.subscribed(&id, "/a");
    rig.lazily(LAZY, &[("/a", 0, 1)]);
    rig.lazily(Duration::from_millis(100), &[("/a", 0, 2)]);
    assert!(rig.received(socket).is_empty());
    rig.after(99);
    assert!(rig.received(socket).is_empty());
    rig.after(1);
    assert_eq!(numbers(&rig.received(socket)), [1, 2], "the earliest wins");
    // With any event, and with any reply.
    rig.lazily(LAZY, &[("/a", 0, 3)]);
    rig.records(&[("/a", 0, 4)]);
    assert_eq!(numbers(&rig.received(socket)), [3, 4]);
    rig.lazily(LAZY, &[("/a", 0, 5)]);
    rig.send(socket, &unsubscribe(&id, &json!("/x")));
    assert_eq!(numbers(&rig.received(socket)), [5]);
    rig.end();
}

#[test]
fn lazy_events_move_with_their_session() {
    let mut rig = Rig::new();
    let (id, socket) = rig.streamer();
    rig.subscribed(&id, "/a");
    rig.lazily(LAZY, &[("/a", 0, 1)]);
    rig.lose(socket);
    let http = rig.post(&connect(&id));
    assert!(rig.response(http).is_none());
    rig.after(100);
    let socket = rig.open();
    rig.send(socket, &connect(&id));
    rig.after(99);
    assert!(numbers(&rig.received(socket)).is_empty());
    rig.after(1);
    assert_eq!(numbers(&rig.received(socket)), [1]);
    rig.end();
}

#[test]
fn lazy_events_fill_no_queue_that_could_be_emptied() {
    let mut rig = Rig::new();
    let (id, socket) = rig.streamer();
    rig.subscribed(&id, "/a");
    let value = format!("\"{}\"", "x".repeat(1_000));
    for offset in 0..30 {
        let batch = rig.lazy_batch(Duration::from_hours(1), &[("/a", 0, offset, &value)]);
        rig.tell(crate::hub::Input::Batch(batch));
    }
    assert!(rig.received(socket).len() >= 20);
    assert_eq!(rig.shard.stats().slow_consumers, 0);
    rig.end();
}

#[test]
fn a_batch_of_lazy_events_waits_and_does_not_come_again_in_a_hurry() {
    let mut rig = Rig::new();
    let id = rig.acker();
    rig.subscribed(&id, "/a");
    let http = rig.post(&connect_ack(&id, 1));
    rig.lazily(LAZY, &[("/a", 0, 1)]);
    assert!(rig.response(http).is_none());
    rig.after(200);
    assert_eq!(numbers(&rig.response(http).unwrap()), [1]);
    // Lost; it comes again with whatever comes next.
    let http = rig.post(&connect_ack(&id, 1));
    assert!(rig.response(http).is_none());
    rig.records(&[("/a", 0, 2)]);
    assert_eq!(numbers(&rig.response(http).unwrap()), [1, 2]);
    rig.end();
}
