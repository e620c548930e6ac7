//! `halley tail`, `halley publish` and `halley health`, against a gateway, over both transports.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Output, Stdio};
use std::time::{Duration, Instant};

use crate::support::bayeux::BOTH;
use crate::support::gateway::{Gateway, binary, halley};
use crate::support::kafka::Kafka;
use crate::support::records::{Writer, read_all};
use crate::support::{eventually, process, unique};

/// A running `halley tail`.
struct Tail {
    child: Child,
    out: BufReader<ChildStdout>,
    errors: tempfile::NamedTempFile,
}

impl Tail {
    /// Started, and subscribed.
    fn start(gateway: &Gateway, args: &[&str]) -> Self {
        let errors = tempfile::NamedTempFile::new().unwrap();
        let mut command = process::command(binary());
        command.arg("tail").args(["--url", &gateway.url()]).args(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(Stdio::from(errors.reopen().unwrap()));
        let mut child = process::spawn(command);
        let out = BufReader::new(child.stdout.take().unwrap());
        let tail = Self { child, out, errors };
        tail.subscribed(1);
        tail
    }

    fn errors(&self) -> String {
        std::fs::read_to_string(self.errors.path()).unwrap()
    }

    /// Waits until it has said so `times` times.
    fn subscribed(&self, times: usize) {
        eventually(Duration::from_secs(20), "tail is subscribed", || {
            self.errors().matches("subscribed to").count() >= times
        });
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Waits for its end; what it had still printed.
    fn ended(mut self) -> String {
        let end = Instant::now() + Duration::from_secs(20);
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < end, "tail ends: {}", self.errors());
            std::thread::sleep(Duration::from_millis(5));
        };
        assert!(status.success(), "{status}: {}", self.errors());
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).unwrap();
        rest
    }
}

fn routes(stem: &str) -> String {
    format!(
        "routes:\n  - name: {stem}\n    channel: \"/{stem}/{{id}}\"\n    topic: {stem}\n    key: \"{{id}}\"\n    publish:\n"
    )
}

fn publish(gateway: &Gateway, args: &[&str]) -> Output {
    halley(Path::new("/"), &[&["publish", "--url", &gateway.url()], args].concat())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn what_is_published_is_in_kafka_and_in_the_tail() {
    let kafka = Kafka::shared();
    for transport in BOTH {
        let topic = unique("tools");
        kafka.create_topic(&topic, 3);
        let gateway = Gateway::start(kafka, &routes(&topic));
        let transport = ["--transport", transport.name()];
        let (channel, pattern) = (format!("/{topic}/a"), format!("/{topic}/*"));
        let tail = Tail::start(&gateway, &[&transport[..], &["-n", "2", &pattern]].concat());
        let output = publish(&gateway, &[&transport[..], &[&channel, r#"{"n": 1.50,"text":"ä"}"#]].concat());
        assert!(
            output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(),
            "{output:?}"
        );
        // The status says that Kafka has it.
        let seen = read_all(kafka, &topic);
        assert_eq!((seen[0].key_text(), seen[0].value_text()), ("a", r#"{"n": 1.50,"text":"ä"}"#));
        // A tombstone is an event too.
        let writer = Writer::new(kafka);
        writer.send_record(&topic, None, Some(b"b"), None, &[]);
        writer.flush();
        assert_eq!(
            tail.ended(),
            format!(
                "{{\"channel\":\"/{topic}/a\",\"data\":{{\"n\": 1.50,\"text\":\"ä\"}}}}\n\
                 {{\"channel\":\"/{topic}/b\",\"data\":null}}\n"
            )
        );
        // Whoever ends a session says so: none is left to expire.
        eventually(Duration::from_secs(5), "no session is left", || {
            gateway.metric("halley_sessions", &[]) == 0.0
        });
    }
}

#[test]
fn lines_are_published_in_their_order_and_bad_ones_are_named() {
    let kafka = Kafka::shared();
    let topic = unique("tools");
    kafka.create_topic(&topic, 3);
    let gateway = Gateway::start(kafka, &routes(&topic));
    for transport in BOTH {
        let channel = format!("/{topic}/{}", transport.name());
        let mut tail = Tail::start(&gateway, &["--transport", transport.name(), "-n", "500", &channel]);
        let mut command = process::command(binary());
        command.args(["publish", "--url", &gateway.url(), "--transport", transport.name(), &channel, "-"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = process::spawn(command);
        let mut stdin = child.stdin.take().unwrap();
        for n in 0..500 {
            if n == 200 {
                writeln!(stdin, "\nnot json").unwrap();
            }
            writeln!(stdin, "{n}").unwrap();
        }
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(text(&output.stderr).starts_with("line 202: the data is not JSON"), "{output:?}");
        for n in 0..500 {
            assert_eq!(tail.line(), format!("{{\"channel\":\"{channel}\",\"data\":{n}}}"));
        }
        tail.ended();
    }
}

#[test]
fn a_tail_outlives_its_session_and_its_server() {
    let kafka = Kafka::shared();
    for transport in BOTH {
        let topic = unique("tools");
        kafka.create_topic(&topic, 1);
        let mut gateway = Gateway::start(kafka, &routes(&topic));
        let channel = format!("/{topic}/a");
        let mut tail = Tail::start(&gateway, &["--transport", transport.name(), "--pretty", &channel]);
        gateway.restart();
        tail.subscribed(2);
        assert!(tail.errors().contains("connecting again"), "{}", tail.errors());
        assert!(publish(&gateway, &[&channel, r#"{"after":"it"}"#]).status.success());
        let lines: Vec<_> = (0..4).map(|_| tail.line()).collect();
        assert_eq!(lines, [&*channel, "{", "  \"after\": \"it\"", "}"]);
        process::signal(tail.child.id(), "INT");
        assert_eq!(tail.ended(), "");
        eventually(Duration::from_secs(5), "no session is left", || {
            gateway.metric("halley_sessions", &[]) == 0.0
        });
    }
}

#[test]
fn what_is_refused_is_said_with_status_1() {
    let kafka = Kafka::shared();
    let topic = unique("tools");
    kafka.create_topic(&topic, 1);
    let gateway = Gateway::with(&crate::support::gateway::Setup {
        kafka: kafka.bootstrap(),
        routes: &routes(&topic),
        settings: "bayeux: { transports: long-polling }",
    });
    let url = gateway.url();
    let unknown = "404:/nowhere/x:unknown_channel";
    for (args, said) in [
        (&["publish", "--url", &url, "/nowhere/x", "1"][..], unknown),
        (&["tail", "--url", &url, "/nowhere/x"], unknown),
        (
            &["tail", "--url", &url, "--transport", "websocket", "/nowhere/x"],
            "301::connection_types_not_supported",
        ),
        (&["tail", "--url", "http://127.0.0.1:1/cometd", "/x"], "cannot connect to 127.0.0.1:1"),
        (&["tail", "--url", &format!("http://{}/cometd", gateway.admin()), "/x"], "HTTP status 404"),
        (&["publish", "--url", &url, "/x", "bare"], "is not JSON"),
        (&["health", "--url", "http://127.0.0.1:1/readyz"], "cannot connect"),
    ] {
        let output = halley(Path::new("/"), args);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {output:?}");
        assert!(text(&output.stderr).contains(said), "{args:?}: {output:?}");
    }
    // Without a transport named, long-polling is found.
    let tail = Tail::start(&gateway, &["-n", "1", &format!("/{topic}/a")]);
    assert!(tail.errors().contains("(long-polling)"), "{}", tail.errors());
    assert!(publish(&gateway, &[&format!("/{topic}/a"), "true"]).status.success());
    tail.ended();
    let config = gateway.dir().join("halley.yaml");
    let output = halley(Path::new("/"), &["health", "--config", config.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(text(&output.stdout).starts_with("{\"ready\":true"), "{output:?}");
}
