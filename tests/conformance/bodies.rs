//! Bodies of POST, in every form that clients send.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::http::{Http, encoded};
use crate::wire::{gateway, good, handshake};

fn subscribe(id: &str, n: u32) -> Value {
    json!({ "channel": "/meta/subscribe", "clientId": id, "subscription": format!("/chat/{n}"), "id": n })
}

fn ids(replies: &Value) -> Vec<u64> {
    replies.as_array().unwrap().iter().map(|reply| reply["id"].as_u64().unwrap()).collect()
}

/// R67, W13: a form holds one message, an array, several of either, or both, among other fields; together they are one batch.
#[test]
fn forms_hold_messages_in_any_number() {
    let gateway = gateway("");
    let mut http = Http::connect(gateway.addr());
    let (id, _) = handshake(&mut http);
    let message = |n: u32| encoded(&subscribe(&id, n).to_string());
    let array =
        |numbers: &[u32]| encoded(&numbers.iter().map(|n| subscribe(&id, *n)).collect::<Value>().to_string());
    for (body, expected) in [
        (format!("message={}", message(1)), &[1][..]),
        (format!("message={}", array(&[1])), &[1]),
        (format!("message={}&message={}", message(1), message(2)), &[1, 2]),
        (format!("message={}&message={}", array(&[1, 2]), array(&[3])), &[1, 2, 3]),
        (format!("a=b&message={}&message={}&c&message=%5B%5D", message(1), array(&[2, 3])), &[1, 2, 3]),
    ] {
        for kind in ["application/x-www-form-urlencoded", "text/plain;charset=UTF-8", "application/xml", ""] {
            let head = format!(
                "POST /cometd/ HTTP/1.1\r\nHost: h\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            http.send_raw(format!("{head}{body}").as_bytes()).unwrap();
            let replies = good(&http.response(Instant::now() + Duration::from_secs(5)).unwrap());
            assert_eq!(ids(&replies), expected, "{kind}: {body}");
        }
    }
}

/// R66, B58: text is UTF-8, declared or not; another charset is refused as such, and so is a body that is compressed.
#[test]
fn text_is_utf_8() {
    let gateway = gateway("");
    let message = r#"[{"channel":"/meta/handshake","version":"1.0","supportedConnectionTypes":["long-polling"],"ext":{"é":"日本"}}]"#;
    let mut http = Http::connect(gateway.addr());
    let mut status = |line: &str, body: &[u8]| {
        let head =
            format!("POST /cometd HTTP/1.1\r\nHost: h\r\n{line}\r\nContent-Length: {}\r\n\r\n", body.len());
        http.send_raw(&[head.as_bytes(), body].concat()).unwrap();
        let response = http.response(Instant::now() + Duration::from_secs(5)).unwrap();
        assert!(
            response.status == 200
                || response.text().contains("UTF-8")
                || response.text().contains("Encoding")
        );
        response.status
    };
    for line in [
        "Accept: */*",
        "Content-Type: application/json",
        "Content-Type: application/json;charset=UTF-8",
        "Content-Type: text/json; Charset=\"utf-8\"",
        "Content-Encoding: identity",
    ] {
        assert_eq!(status(line, message.as_bytes()), 200, "{line}");
    }
    assert_eq!(status("Content-Type: application/json;charset=ISO-8859-7", message.as_bytes()), 415);
    assert_eq!(status("Content-Type: text/plain; charset=utf-16", message.as_bytes()), 415);
    assert_eq!(status("Content-Encoding: gzip", message.as_bytes()), 415);
    assert_eq!(status("Content-Type: application/json", b"[{\"channel\":\"/\xE9\"}]"), 400);
}

/// R30, B59: one message needs no array, in any kind of request; the answer is one.
#[test]
fn a_bare_message_is_answered_with_an_array() {
    let gateway = gateway("");
    let mut http = Http::connect(gateway.addr());
    let (id, _) = handshake(&mut http);
    let message = subscribe(&id, 1).to_string();
    for body in [message.clone(), format!("message={}", encoded(&message))] {
        assert_eq!(ids(&good(&http.post("/cometd", body.as_bytes()).unwrap())), [1]);
    }
    let script = http.get(&format!("/cometd?message={}", encoded(&message))).unwrap();
    assert!(script.text().starts_with("/**/jsonpcallback([{") && script.text().ends_with("}]);"));
}

/// B60: what is no JSON is a 400 with a text, and the session lives on.
#[test]
fn a_bad_body_does_no_harm() {
    let gateway = gateway("");
    let mut http = Http::connect(gateway.addr());
    let (id, _) = handshake(&mut http);
    for body in [
        "",
        " ",
        "[",
        "{",
        "hello",
        "1",
        "null",
        "\"x\"",
        "[1]",
        "message=",
        "message=%5B",
        "messages=[]",
        "%5B%5D",
    ] {
        let response = http.post("/cometd", body.as_bytes()).unwrap();
        assert_eq!(
            (response.status, response.header("content-type")),
            (400, Some("text/plain;charset=UTF-8")),
            "{body}"
        );
    }
    let replies = good(&http.post("/cometd", json!([subscribe(&id, 1)]).to_string().as_bytes()).unwrap());
    assert_eq!(replies[0]["successful"], true);
}

/// R67: a form may hold no more messages than any other body.
#[test]
fn the_batch_of_a_form_is_bounded() {
    let gateway = gateway("limits: { batch: 3 }");
    let mut http = Http::connect(gateway.addr());
    let (id, _) = handshake(&mut http);
    let two = format!("message={}", encoded(&json!([subscribe(&id, 1), subscribe(&id, 2)]).to_string()));
    good(&http.post("/cometd", two.as_bytes()).unwrap());
    let response = http.post("/cometd", format!("{two}&{two}").as_bytes()).unwrap();
    assert_eq!((response.status, response.text().contains("too many messages")), (400, true));
}
