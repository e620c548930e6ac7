//! Messages for one session, which answer what it asked on a `/service` channel.

use std::sync::Arc;

use serde_json::{Value, json};

use super::rig::*;
use crate::bayeux::Channel;
use crate::hub::{Input, SessionKey};
use crate::stream::Record;

const ANSWER: &str = r#"{"channel":"/service/a","id":"q","data":1,"successful":true}"#;

fn answer(rig: &mut Rig, session: SessionKey) {
    let message = Record::message(Channel::parse("/service/a").unwrap(), ANSWER.as_bytes());
    rig.tell(Input::Message(session, Arc::new(message)));
}

/// Asks on behalf of a session, and has the publish acknowledged; the session's key.
fn ask(rig: &mut Rig, id: &str) -> SessionKey {
    rig.post(&publish(id, "q", "/service/a", &json!(0)));
    let produced = &rig.produced[0];
    assert_eq!((produced.channel.as_str(), produced.id.as_deref()), ("/service/a", Some("\"q\"")));
    let session = produced.session;
    rig.produce(Ok(()));
    session
}

fn expected() -> Value {
    serde_json::from_str(ANSWER).unwrap()
}

#[test]
fn an_answer_comes_with_the_held_poll_of_who_asked_and_nobody_else() {
    let mut rig = Rig::new();
    let (id, other) = (rig.poller(), rig.poller());
    rig.subscribed(&other, "/**");
    let session = ask(&mut rig, &id);
    let (held, others) = (rig.post(&connect(&id)), rig.post(&connect(&other)));
    answer(&mut rig, session);
    let messages = rig.response(held).unwrap();
    assert_eq!((messages.len(), &messages[0]), (2, &expected()));
    assert!(rig.response(others).is_none());
    rig.end();
}

#[test]
fn an_answer_is_pushed_on_a_socket_and_survives_its_loss() {
    let mut rig = Rig::new();
    let (id, socket) = rig.streamer();
    let session = ask(&mut rig, &id);
    answer(&mut rig, session);
    assert_eq!(rig.received(socket), [expected()]);
    rig.narrow(socket, Some(0));
    answer(&mut rig, session);
    rig.lose(socket);
    assert_eq!(rig.call(&connect(&id))[0], expected(), "it waits for the next connect");
    rig.end();
}

#[test]
fn an_answer_whose_poll_is_lost_comes_with_the_next() {
    let mut rig = Rig::new();
    let id = rig.poller();
    let session = ask(&mut rig, &id);
    rig.takes = false;
    let held = rig.post(&connect(&id));
    answer(&mut rig, session);
    assert_eq!(rig.response(held).unwrap()[0], expected());
    rig.tell(Input::Lost(held));
    rig.takes = true;
    assert_eq!(rig.call(&connect(&id))[0], expected());
    rig.end();
}

#[test]
fn the_end_of_a_session_that_asked_is_told_once() {
    let mut rig = Rig::new();
    let (id, silent) = (rig.poller(), rig.poller());
    let session = ask(&mut rig, &id);
    rig.call(&disconnect(&silent));
    assert!(rig.ended.is_empty());
    rig.call(&disconnect(&id));
    assert_eq!(rig.ended, [session]);
    answer(&mut rig, session);
    assert_eq!(rig.shard.stats().deliveries, 0);
    rig.end();
}
