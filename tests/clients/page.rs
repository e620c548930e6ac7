//! The demo page in a real browser, against a real Kafka.

use serde_json::{Value, json};

use crate::support::driver::Driver;
use crate::support::gateway::Gateway;
use crate::support::kafka::Kafka;
use crate::support::records::{Writer, read_all};
use crate::support::{cache, unique};

/// The topics of the routes in `mappings/` that the page shows.
const TOPICS: [&str; 7] = ["prices", "orders.eu", "orders.us", "orders.apac", "logs", "chat", "inbox"];

fn page(kafka: &Kafka, transport: &str) {
    let gateway = Gateway::dev(kafka);
    let mut page = Driver::node("page.mjs", &[&format!("http://{}/?transport={transport}", gateway.addr())]);
    page.expect("open", |open| open["title"].as_str().unwrap_or_default().contains("Halley"));
    let wait = |page: &mut Driver, selector: &str, text: &str| -> String {
        page.tell(&json!({ "do": "wait", "selector": selector, "text": text }));
        page.expect("found", |found| found["selector"] == selector)["text"].as_str().unwrap().to_owned()
    };
    wait(&mut page, "#status[data-state=connected]", "");
    wait(&mut page, &format!("#transport[data-transport={transport}]"), "");
    for panel in ["prices", "orders", "log", "chat"] {
        wait(&mut page, &format!("[data-panel={panel}] .channel[data-state=ok]"), "");
    }

    // Records of a plain producer appear.
    let writer = Writer::new(kafka);
    let (symbol, order, room) = (unique("SYM"), unique("9000"), unique("room"));
    writer.put("prices", &symbol, r#"{"symbol":"SYM","name":"Zoë & Söhne","price":1234.5,"open":1200}"#);
    assert_eq!(wait(&mut page, &format!("[data-symbol={symbol}] .price"), "1,234.50"), "1,234.50");
    assert!(wait(&mut page, &format!("[data-symbol={symbol}]"), "Zoë").contains("Zoë & Söhne"));
    writer.put(
        "orders.eu",
        &order,
        r#"{"item":"日本茶 🍵","quantity":2,"total":19.9,"currency":"EUR","status":"paid"}"#,
    );
    wait(&mut page, &format!("[data-order='{order}'][data-region=eu][data-status=paid]"), "日本茶 🍵");
    writer.put("logs", &symbol, r#"{"app":"test","level":"warn","message":"<b>not bold</b>"}"#);
    wait(&mut page, "#log li[data-level=warn]", "<b>not bold</b>");

    // A publish from the page is a record, and comes back.
    page.tell(&json!({ "do": "fill", "selector": "#chat-room", "value": room }));
    page.tell(&json!({ "do": "press", "selector": "#chat-room", "key": "Tab" }));
    page.tell(&json!({ "do": "fill", "selector": "#chat-input", "value": "Grüße 世界 🚀 \"quoted\"" }));
    page.tell(&json!({ "do": "press", "selector": "#chat-input", "key": "Enter" }));
    let acknowledged = wait(&mut page, "#chat-ack[data-successful=true]", "");
    println!("{transport}: {acknowledged}");
    let seen = read_all(kafka, "chat");
    let record = seen.iter().find(|s| s.key_text() == room).expect("the publish is in Kafka");
    let value: Value = serde_json::from_str(record.value_text()).unwrap();
    assert_eq!(value["text"], "Grüße 世界 🚀 \"quoted\"");
    assert!(value["from"].as_str().unwrap().starts_with("guest-"), "{value}");
    // As mappings/chat.yaml has it.
    assert_eq!(record.header("source"), Some(&*format!("chat/{room}")), "{record:?}");
    wait(&mut page, "#chat li", "Grüße 世界 🚀");

    let picture = cache().join(format!("demo-{transport}.png"));
    page.tell(&json!({ "do": "screenshot", "path": picture }));
    page.expect("screenshot", |_| true);
    println!("a picture of the page: {}", picture.display());
    page.never("console", |message| message["type"] == "error");
}

#[test]
fn the_demo_page_shows_records_and_publishes_over_both_transports() {
    let kafka = Kafka::steady();
    for topic in TOPICS {
        kafka.create_topic(topic, 2);
    }
    for transport in ["websocket", "long-polling"] {
        page(&kafka, transport);
    }
}

#[test]
fn the_demo_needs_nothing_but_itself() {
    // Its own broker, its own feed: the page fills by itself.
    let gateway = Gateway::demo();
    let mut page = Driver::node("page.mjs", &[&format!("http://{}/", gateway.addr())]);
    for selector in
        ["#status[data-state=connected]", "[data-symbol=ACME] .price", "#orders [data-order]", "#log li"]
    {
        page.tell(&json!({ "do": "wait", "selector": selector }));
        page.expect("found", |found| found["selector"] == selector);
    }
    std::thread::sleep(std::time::Duration::from_secs(4));
    let picture = cache().join("demo.png");
    page.tell(&json!({ "do": "screenshot", "path": picture }));
    page.expect("screenshot", |_| true);
    println!("a picture of the page: {}", picture.display());
    page.never("console", |message| message["type"] == "error");
}
