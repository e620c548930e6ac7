//! Several sessions of one browser, and the cookie that tells them.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::bayeux::{Client, Transport};
use crate::support::gateway::Gateway;
use crate::support::http::{Http, Response};
use crate::wire::{gateway, good};

/// A page: its session, and the connection of its polls. The cookie is the browser's.
struct Page {
    id: String,
    http: Http,
    cookie: String,
}

fn surplus() -> Value {
    json!({ "reconnect": "retry", "interval": 2000, "timeout": 30_000, "multiple-clients": true })
}

fn handshake(gateway: &Gateway, cookie: &str) -> (Http, Response) {
    let mut http = Http::connect(gateway.addr());
    let body =
        br#"[{"channel":"/meta/handshake","version":"1.0","supportedConnectionTypes":["long-polling"]}]"#;
    let cookie = if cookie.is_empty() { String::new() } else { format!("BAYEUX_BROWSER={cookie}") };
    let response = http.post_with("/cometd/handshake", &[("Cookie", &cookie)], body).unwrap();
    (http, response)
}

/// The value of the cookie that a response sets.
fn cookie_of(response: &Response) -> Option<String> {
    let cookie = response.header("set-cookie")?.strip_prefix("BAYEUX_BROWSER=")?;
    Some(cookie.split(';').next().unwrap_or_default().to_owned())
}

impl Page {
    /// A page of a browser that has this cookie.
    fn open(gateway: &Gateway, cookie: &str) -> Self {
        let (http, response) = handshake(gateway, cookie);
        let id = good(&response)[0]["clientId"].as_str().unwrap().to_owned();
        Self { id, http, cookie: cookie.to_owned() }
    }

    /// The first page of a browser without cookie.
    fn first(gateway: &Gateway) -> Self {
        let (http, response) = handshake(gateway, "");
        let cookie = cookie_of(&response).expect("a cookie");
        let id = good(&response)[0]["clientId"].as_str().unwrap().to_owned();
        let mut page = Self { id, http, cookie };
        assert_eq!(page.poll()["advice"]["interval"], 0);
        page
    }

    fn send(&mut self) {
        let connect = json!([{ "channel": "/meta/connect", "clientId": self.id, "connectionType": "long-polling", "id": "c" }]);
        let cookie = format!("BAYEUX_BROWSER={}", self.cookie);
        self.http
            .send_post("/cometd/connect", &[("Cookie", &cookie)], connect.to_string().as_bytes())
            .unwrap();
    }

    /// The reply to a connect that is answered at once.
    fn poll(&mut self) -> Value {
        self.send();
        let replies =
            good(&self.http.response(Instant::now() + Duration::from_secs(1)).expect("an answer at once"));
        replies.as_array().unwrap().last().unwrap().clone()
    }

    /// Sends a connect, which is held.
    fn hold(&mut self) {
        self.send();
        let until = Instant::now() + Duration::from_millis(200);
        assert!(self.http.response(until).is_err(), "the connect is held");
    }
}

/// R39, R70, B35, B36: one page of a browser holds a poll, the others are told to come every so often; whoever comes when the holder has
/// left holds.
#[test]
fn one_page_of_a_browser_holds_a_poll() {
    // On several shards, wherever the connections of the pages land.
    let gateway = gateway("shards: 4");
    let mut first = Page::first(&gateway);
    first.hold();
    let mut others: Vec<Page> = (0..4).map(|_| Page::open(&gateway, &first.cookie)).collect();
    for other in &mut others {
        assert_eq!(other.poll()["advice"], surplus(), "its first connect");
        assert_eq!(other.poll()["advice"], surplus());
    }
    // They get their events all the same.
    let mut writer = Client::open(gateway.addr(), Transport::WebSocket);
    let subscribe = json!([{ "channel": "/meta/subscribe", "clientId": others[0].id, "subscription": "/chat/1", "id": "s" }]);
    good(&Http::connect(gateway.addr()).post("/cometd", subscribe.to_string().as_bytes()).unwrap());
    writer.publish("/chat/1", &json!(7));
    others[0].send();
    let replies = good(&others[0].http.response(Instant::now() + Duration::from_secs(1)).unwrap());
    assert_eq!((&replies[0]["data"], &replies[1]["advice"]), (&json!(7), &surplus()));
    // The holder aborts.
    drop(first);
    let [second, third, ..] = &mut *others else { unreachable!() };
    std::thread::sleep(Duration::from_millis(200));
    second.hold();
    assert_eq!(third.poll()["advice"], surplus());
    // The holder disconnects.
    let disconnect = json!([{ "channel": "/meta/disconnect", "clientId": second.id, "id": "d" }]);
    good(&Http::connect(gateway.addr()).post("/cometd", disconnect.to_string().as_bytes()).unwrap());
    third.hold();
}

/// B24: a page that connects again while its poll is held is one page.
#[test]
fn two_connects_of_a_session_count_once() {
    let gateway = gateway("");
    let mut page = Page::first(&gateway);
    page.hold();
    let mut again =
        Page { http: Http::connect(gateway.addr()), id: page.id.clone(), cookie: page.cookie.clone() };
    again.hold();
    let released = good(&page.http.response(Instant::now() + Duration::from_secs(1)).unwrap());
    assert_eq!(released[0]["advice"]["interval"], 0);
}

/// B35: as many hold as the setting says: two, any number, or none.
#[test]
fn the_number_of_holders_is_a_setting() {
    for (most, held) in [("2", 2), ("-1", 4), ("null", 4), ("0", 0)] {
        let gateway = gateway(&format!("bayeux: {{ clients_per_browser: {most} }}"));
        let mut pages = vec![Page::open(&gateway, "mine")];
        pages.extend((0..3).map(|_| Page::open(&gateway, "mine")));
        for (n, page) in pages.iter_mut().enumerate() {
            let first = page.poll();
            if n < held {
                assert_eq!(first["advice"]["interval"], 0, "{most}");
                page.hold();
            } else {
                assert_eq!(first["advice"], surplus(), "{most}");
                assert_eq!(page.poll()["advice"], surplus(), "{most}");
            }
        }
    }
}

/// B35: with no interval the others are refused, on their first connect.
#[test]
fn without_an_interval_the_others_are_refused() {
    let gateway = gateway("bayeux: { multi_client_interval: 0s }");
    let mut first = Page::first(&gateway);
    first.hold();
    let reply = Page::open(&gateway, &first.cookie).poll();
    assert_eq!((&reply["successful"], &reply["error"]), (&json!(false), &json!("403::multiple_clients")));
    assert_eq!(reply["advice"], json!({ "reconnect": "none", "multiple-clients": true }));
}

/// R70: clients that keep no cookie are not counted, nor are pages on WebSockets.
#[test]
fn only_polls_of_browsers_are_counted() {
    let gateway = gateway("");
    let mut first = Page::first(&gateway);
    first.hold();
    let mut socket = Client::subscribed(gateway.addr(), Transport::WebSocket, "/chat/1");
    socket.expect_silence(Duration::from_millis(200));
    for _ in 0..3 {
        let mut client = Client::subscribed(gateway.addr(), Transport::LongPolling, "/chat/1");
        client.expect_silence(Duration::from_millis(200));
    }
}

/// B12: cookies in every spelling; what is not well formed counts as absent.
#[test]
fn cookies_are_read_as_browsers_write_them() {
    let gateway = gateway("");
    let body =
        br#"[{"channel":"/meta/handshake","version":"1.0","supportedConnectionTypes":["long-polling"]}]"#;
    for (line, known) in [
        ("BAYEUX_BROWSER=abc", true),
        ("a=b; BAYEUX_BROWSER=abc; c=d", true),
        ("BAYEUX_BROWSER=\"abc\"", true),
        ("a; =; ;;BAYEUX_BROWSER = abc ", true),
        ("", false),
        ("BAYEUX_BROWSER=", false),
        ("BAYEUX_BROWSER=<script>", false),
        ("bayeux_browser=abc", false),
        ("XBAYEUX_BROWSER=abc", false),
    ] {
        let response = Http::connect(gateway.addr()).post_with("/cometd", &[("Cookie", line)], body).unwrap();
        good(&response);
        assert_eq!(cookie_of(&response).is_none(), known, "{line}");
    }
}

/// B13, B14: the cookie is set with the handshake, with the attributes of the settings in their order.
#[test]
fn the_cookie_has_its_attributes() {
    let plain = gateway("");
    let (_, response) = handshake(&plain, "");
    let value = cookie_of(&response).unwrap();
    assert_eq!(
        response.header("set-cookie"),
        Some(&*format!("BAYEUX_BROWSER={value}; Path=/; HttpOnly; SameSite=Lax"))
    );
    let full = gateway(
        "bayeux: { cookie: { secure: true, same_site: none, partitioned: true, domain: example.com, path: /cometd, max_age: 1h } }",
    );
    let (mut http, response) = handshake(&full, "");
    let value = cookie_of(&response).unwrap();
    assert!(value.len() >= 16 && value.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{value}");
    assert_eq!(
        response.header("set-cookie"),
        Some(&*format!(
            "BAYEUX_BROWSER={value}; Domain=example.com; Path=/cometd; Max-Age=3600; HttpOnly; Secure; SameSite=None; Partitioned"
        ))
    );
    // Only there.
    let connect = json!([{ "channel": "/meta/connect", "clientId": good(&response)[0]["clientId"], "connectionType": "long-polling" }]);
    let response = http.post("/cometd", connect.to_string().as_bytes()).unwrap();
    assert_eq!((response.status, response.header("set-cookie")), (200, None));
}
