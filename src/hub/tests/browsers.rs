//! Several sessions of one browser.

use serde_json::{Value, json};

use super::rig::*;

fn advice(reply: &[Value]) -> &Value {
    &reply.last().unwrap()["advice"]
}

fn surplus() -> Value {
    json!({"reconnect": "retry", "interval": 2000, "timeout": 30_000, "multiple-clients": true})
}

#[test]
fn one_poll_is_held_and_the_others_come_every_so_often() {
    let mut rig = Rig::new();
    rig.browser = Some("tabs");
    let (first, second) = (rig.poller(), rig.poller());
    let held = rig.post(&connect(&first));
    assert!(rig.response(held).is_none());
    assert_eq!(advice(&rig.call(&connect(&second))), &surplus());
    // Its first connect is told so, too.
    let third = client_id(&rig.call(&handshake()));
    assert_eq!(advice(&rig.call(&connect(&third))), &surplus());
    // Events do come, and sessions that ask as they are told live on.
    rig.subscribed(&second, "/a");
    rig.values(&[("/a", 0, 1, "1")]);
    assert_eq!(numbers(&rig.call(&connect(&second))), [1]);
    // A second connect of the holder counts once.
    let newer = rig.post(&connect(&first));
    assert_eq!(advice(&rig.response(held).unwrap())["interval"], 0);
    assert!(rig.response(newer).is_none());
    // The holder leaves: whoever comes first holds.
    rig.call(&disconnect(&first));
    assert!(rig.response(newer).is_some());
    let held = rig.post(&connect(&second));
    assert!(rig.response(held).is_none());
    assert_eq!(advice(&rig.call(&connect(&third))), &surplus());
    rig.tell(crate::hub::Input::Lost(held));
    let held = rig.post(&connect(&third));
    assert!(rig.response(held).is_none());
    rig.end();
}

#[test]
fn others_are_not_counted() {
    let mut rig = Rig::new();
    rig.browser = Some("tabs");
    let (first, second) = (rig.poller(), rig.poller());
    let held = rig.post(&connect(&first));
    assert!(rig.response(held).is_none());
    // Without the cookie, or on a connection that carries several.
    for (browser, multiplexed) in [(None, false), (Some("tabs"), true)] {
        (rig.browser, rig.multiplexed) = (browser, multiplexed);
        let also = rig.post(&connect(&second));
        assert!(rig.response(also).is_none());
    }
    rig.multiplexed = false;
    let (_, socket) = rig.streamer();
    assert_eq!(rig.received(socket).len(), 0, "a connect on a WebSocket is held");
    rig.browser = Some("another");
    let another = rig.poller();
    let also = rig.post(&connect(&another));
    assert!(rig.response(also).is_none());
    rig.end();
}

#[test]
fn the_number_is_a_setting() {
    for (most, held) in [(Some(0), 0), (Some(2), 2), (None, 3)] {
        let mut rig = Rig::with(crate::hub::Settings { clients_per_browser: most, ..settings() });
        rig.browser = Some("tabs");
        let polls: Vec<_> = (0..3)
            .map(|_| {
                let id = rig.poller();
                rig.post(&connect(&id))
            })
            .collect();
        let answered: Vec<_> = polls.into_iter().filter_map(|http| rig.response(http)).collect();
        assert_eq!(answered.len(), 3 - held);
        assert!(answered.iter().all(|reply| *advice(reply) == surplus()));
        rig.end();
    }
}

#[test]
fn with_no_pause_between_polls_they_are_refused() {
    let pause = std::time::Duration::ZERO;
    let mut rig = Rig::with(crate::hub::Settings { multi_client_interval: pause, ..settings() });
    rig.browser = Some("tabs");
    let first = rig.poller();
    rig.post(&connect(&first));
    let second = client_id(&rig.call(&handshake()));
    let reply = rig.call(&connect(&second));
    assert_eq!(reply[0]["successful"], false);
    assert_eq!(reply[0]["error"], "403::multiple_clients");
    assert_eq!(*advice(&reply), json!({"reconnect": "none", "multiple-clients": true}));
    rig.end();
}

#[test]
fn impatient_ones_are_paced() {
    let mut rig = Rig::new();
    rig.browser = Some("tabs");
    let (first, second) = (rig.poller(), rig.poller());
    rig.post(&connect(&first));
    let answered = (0..20).filter(|_| {
        let http = rig.post(&connect(&second));
        rig.response(http).is_some()
    });
    assert_eq!(answered.count(), 8);
    rig.after(500);
    rig.end();
}
