//! Callback-polling.

use std::time::Duration;

use super::client::{HANDSHAKE, Reply, Wire, client_id, connect, subscribe};
use super::driver::{run, start};
use crate::config::Settings;

async fn get(wire: &mut Wire, query: &str) -> Reply {
    wire.request(&format!("GET /cometd/connect?{}", query.replace('"', "%22")), "").await
}

#[test]
fn a_script_calls_the_page() {
    run(async {
        let server = start(&Settings::default());
        let mut wire = Wire::open(server.address).await;
        let reply = get(&mut wire, &format!("message={HANDSHAKE}&jsonp=a.b")).await;
        assert_eq!(reply.header("content-type"), Some("text/javascript;charset=utf-8"));
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(reply.header("content-disposition"), Some("attachment; filename=f.txt"));
        assert!(reply.header("set-cookie").is_some_and(|it| it.starts_with("BAYEUX_BROWSER=")));
        let called = |reply: &Reply, name: &str| {
            let body =
                reply.body.strip_prefix(&format!("/**/{name}(")).unwrap_or_else(|| panic!("{reply:?}"));
            body.strip_suffix(");").unwrap().to_owned()
        };
        let client = client_id(&called(&reply, "a.b"));
        let both = format!("jsonp=x&message={}&message={}", connect(&client), subscribe(&client, "/a"));
        let body = called(&get(&mut wire, &both).await, "x");
        assert!(
            body.contains(r#""id":"c","successful":true"#) && body.contains(r#""subscription":"/a""#),
            "{body}"
        );
        // Held, while another is in flight; what scripts do not take is escaped.
        let mut other = Wire::open(server.address).await;
        other.send(&format!("GET /cometd?message={}", connect(&client).replace('"', "%22")), "").await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        let body = get(&mut wire, &format!("message={}", subscribe(&client, "/b"))).await;
        assert!(called(&body, "jsonpcallback").contains(r#""subscription":"/b""#));
        server.driver.records(&[("/b", "\"\u{2028}é\u{2029}\"")]);
        let body = called(&other.reply().await, "jsonpcallback");
        assert!(
            body.starts_with(r#"[{"channel":"/b","data":"\u2028é\u2029"},{"channel":"/meta/connect""#),
            "{body}"
        );
        assert!(!server.driver.written.borrow().contains(&false));
    });
}

#[test]
fn what_is_no_call_is_refused() {
    run(async {
        let server = start(&Settings::default());
        let mut wire = Wire::open(server.address).await;
        for (query, hint) in [
            ("message=[]&jsonp=alert(1)", "jsonp"),
            ("message=[{]&jsonp=f", "JSON"),
            ("message=&jsonp=f", "JSON"),
            ("message=%ff", "UTF-8"),
            ("jsonp=f", "POST"),
        ] {
            let reply = get(&mut wire, query).await;
            assert_eq!((reply.status, reply.header("content-type")), (400, Some("text/plain;charset=UTF-8")));
            assert!(reply.body.contains(hint), "{query}: {reply:?}");
        }
        wire.say("GET /cometd?message=[] HTTP/1.1\r\nhost: gateway\r\nuser-agent: Mozilla/5.0\r\n\r\n").await;
        assert_eq!(wire.reply().await.status, 403);
        assert_eq!(server.metrics.refused_origin.get(), 1);
    });
}
