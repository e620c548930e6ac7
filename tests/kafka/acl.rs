//! Topics that Kafka's ACLs keep from the gateway: refused clearly, and alive as soon as they are granted.

use std::time::Duration;

use serde_json::json;

use crate::support::bayeux::{BOTH, Client, Transport};
use crate::support::eventually;
use crate::support::gateway::{Gateway, Setup, halley};
use crate::support::kafka::Kafka;
use crate::support::records::{Writer, read_all};

const ROUTES: &str = r#"
routes:
  - name: open
    channel: "/open/{key}"
    topic: open
    key: "{key}"
    publish:
  - name: closed
    channel: "/closed/{key}"
    topic: closed
    key: "{key}"
    publish:
"#;

const PASSWORD: &str = "of-the-gateway";

/// A broker with an authorizer. Plain clients, who are nobody, may do everything; on the second port a password is wanted.
fn guarded() -> (Kafka, String) {
    let properties = format!(
        "listener.name.guarded.sasl.enabled.mechanisms=PLAIN\n\
         listener.name.guarded.plain.sasl.jaas.config=\
         org.apache.kafka.common.security.plain.PlainLoginModule required user_halley=\"{PASSWORD}\";\n\
         authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
         super.users=User:ANONYMOUS\n"
    );
    let (mut kafka, port) = Kafka::guarded("SASL_PLAINTEXT", &properties, &[]);
    kafka.launch();
    (kafka, format!("127.0.0.1:{port}"))
}

/// Changes what the gateway may do with a topic.
fn acl(kafka: &Kafka, change: &str, operation: &str, topic: &str) {
    let bootstrap = kafka.bootstrap();
    let at = ["--bootstrap-server", &bootstrap, change, "--force", "--allow-principal", "User:halley"];
    let what = ["--operation", operation, "--topic", topic];
    kafka.tool("org.apache.kafka.tools.AclCommand", &[&at[..], &what].concat());
}

/// The properties that make a client the gateway.
const LOGIN: [(&str, &str); 3] =
    [("security.protocol", "SASL_PLAINTEXT"), ("sasl.mechanisms", "PLAIN"), ("sasl.username", "halley")];

/// What `halley check --live` says of the topic `closed`, and its status.
fn checked(guarded: &str) -> (String, Option<i32>) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("routes.yaml"), ROUTES).unwrap();
    let mut settings = vec!["mappings=routes.yaml".to_owned()];
    let rest = [("bootstrap.servers", guarded), ("sasl.password", PASSWORD)];
    settings.extend(LOGIN.iter().chain(&rest).map(|(name, value)| format!("kafka.{name}={value}")));
    let sets = settings.iter().flat_map(|setting| ["--set", setting]);
    let output = halley(dir.path(), &["check", "--live"].into_iter().chain(sets).collect::<Vec<_>>());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains(PASSWORD), "{text}");
    let report = text.lines().skip_while(|line| !line.contains("CLUSTER"));
    let mut rows = report.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    (rows.find(|row| row.starts_with("closed")).expect("a row for the topic"), output.status.code())
}

#[test]
fn what_acls_deny_is_refused_and_what_they_grant_is_alive() {
    let (kafka, guarded) = guarded();
    kafka.create_topic("open", 1);
    kafka.create_topic("closed", 1);
    acl(&kafka, "--add", "All", "open");
    let gateway = Gateway::with_properties(
        &Setup { kafka: guarded.clone(), routes: ROUTES, settings: "" },
        &[&LOGIN[..], &[("sasl.password", "${env:KAFKA_PASSWORD}")]].concat(),
        &[("KAFKA_PASSWORD", PASSWORD)],
    );
    let mut open: Vec<Client> =
        BOTH.iter().map(|transport| Client::subscribed(gateway.addr(), *transport, "/open/*")).collect();
    let mut clients: Vec<Client> =
        BOTH.iter().map(|transport| Client::open(gateway.addr(), *transport)).collect();

    // Nothing is granted: neither direction, and neither is said to be anything else.
    for client in &mut clients {
        let reply = client.subscribe("/closed/*");
        assert_eq!(reply["error"], "403:/closed/*:denied_by_kafka", "{reply}");
        let reply = client.publish("/closed/a", &json!(0));
        assert_eq!(reply["error"], "403:/closed/a:denied_by_kafka", "{reply}");
    }
    let (row, status) = checked(&guarded);
    assert!(row.contains("error: these credentials may not see whether it exists (ACL: Describe)"), "{row}");
    assert_eq!(status, Some(1));
    // To see it is not to read it, and not to write it.
    acl(&kafka, "--add", "Describe", "closed");
    eventually(Duration::from_secs(10), "the topic is seen", || {
        let error = clients[0].publish("/closed/a", &json!(0))["error"].clone();
        error == "403:/closed/a:denied_by_kafka"
    });
    let reply = clients[0].subscribe("/closed/*");
    assert_eq!(reply["error"], "403:/closed/*:denied_by_kafka", "{reply}");
    let why = "these credentials may not read it (ACL: Read)";
    eventually(Duration::from_secs(20), "the log says why", || {
        clients[0].subscribe("/closed/*");
        gateway.log().contains(why)
    });
    let (row, status) = checked(&guarded);
    assert_eq!((row, status), (format!("closed closed 1 error: {why}"), Some(1)));

    // Granted: the next subscribe and the next publish are as any other.
    acl(&kafka, "--add", "Read", "closed");
    for client in &mut clients {
        eventually(Duration::from_secs(10), "subscribing works", || {
            client.subscribe("/closed/*")["successful"] == true
        });
    }
    acl(&kafka, "--add", "Write", "closed");
    let mut publisher = Client::open(gateway.addr(), Transport::WebSocket);
    eventually(Duration::from_secs(10), "publishing works", || {
        publisher.publish("/closed/a", &json!(0))["successful"] == true
    });
    for client in &mut clients {
        assert_eq!(client.expect_event(), ("/closed/a".to_owned(), json!(0)));
    }
    assert_eq!(checked(&guarded), ("closed closed 1 ok".to_owned(), Some(0)));

    // Taken away while listened to, and given back: what was written meanwhile is not lost.
    let writer = Writer::new(&kafka);
    acl(&kafka, "--remove", "Read", "closed");
    let mut late = Client::open(gateway.addr(), Transport::WebSocket);
    eventually(Duration::from_secs(10), "the right is gone", || {
        late.subscribe("/closed/*")["error"] == "403:/closed/*:denied_by_kafka"
    });
    for n in 1..=20 {
        writer.put("closed", "a", &n.to_string());
    }
    acl(&kafka, "--add", "Read", "closed");
    for client in &mut clients {
        for n in 1..=20 {
            assert_eq!(client.expect_event(), ("/closed/a".to_owned(), json!(n)));
        }
    }

    // Others never noticed.
    writer.put("open", "a", "1");
    for client in &mut open {
        assert_eq!(client.expect_event(), ("/open/a".to_owned(), json!(1)));
    }
    assert_eq!(read_all(&kafka, "closed").len(), 21, "nothing that was denied is there");
}
