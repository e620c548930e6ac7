//! One broker with two listeners: a plain one for the rig's own clients, and one with TLS and SASL for the gateway.

use std::path::Path;
use std::sync::OnceLock;

use crate::support::certificates;
use crate::support::gateway::{Gateway, IMPATIENT, Setup};
use crate::support::kafka::Kafka;

/// What a client may log in with; the user has one password for all of them.
pub const MECHANISMS: [&str; 3] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];

/// The password of the user `halley`.
pub const PASSWORD: &str = "opensesame-7f3a";

/// The authority that has signed the broker's certificate; in the broker's directory.
pub const CA: &str = "ca.pem";

/// An authority that has not.
pub const STRANGER: &str = "stranger.pem";

/// The broker that the tests share.
pub struct Secure {
    kafka: Kafka,
    /// Of the listener with TLS and SASL.
    port: u16,
}

/// How a gateway logs in.
pub struct Login<'a> {
    /// What it calls the broker by.
    pub host: &'a str,
    pub mechanism: &'a str,
    pub password: &'a str,
    /// [`CA`] or [`STRANGER`].
    pub ca: &'a str,
    /// Whether all is logged that there is, by librdkafka too.
    pub debug: bool,
}

/// As it should be.
pub const RIGHT: Login<'_> =
    Login { host: "127.0.0.1", mechanism: MECHANISMS[0], password: PASSWORD, ca: CA, debug: false };

// === impl Secure ===

impl Secure {
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Secure> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    fn start() -> Self {
        // Files are named as seen from the broker's directory, which is there only after its properties are written.
        let properties = format!(
            r#"
listener.name.guarded.ssl.keystore.type=PEM
listener.name.guarded.ssl.keystore.location=broker.pem
listener.name.guarded.sasl.enabled.mechanisms={mechanisms}
listener.name.guarded.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_halley="{PASSWORD}";
listener.name.guarded.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.guarded.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
"#,
            mechanisms = MECHANISMS.join(","),
        );
        let user = |mechanism| format!("{mechanism}=[name=halley,password={PASSWORD}]");
        let (short, long) = (user(MECHANISMS[1]), user(MECHANISMS[2]));
        let users = ["--add-scram", &short, "--add-scram", &long];
        let (mut kafka, port) = Kafka::guarded("SASL_SSL", &properties, &users);
        certify(kafka.dir());
        kafka.launch();
        Self { kafka, port }
    }

    /// What plain clients use.
    pub fn kafka(&self) -> &Kafka {
        &self.kafka
    }

    /// A gateway that knows the secure listener alone, with time-outs short enough for a test.
    pub fn gateway(&self, routes: &str, login: &Login<'_>) -> Gateway {
        let ca = self.kafka.dir().join(login.ca);
        let setup = Setup { kafka: format!("{}:{}", login.host, self.port), routes, settings: IMPATIENT };
        let properties = [
            ("security.protocol", "SASL_SSL"),
            ("ssl.ca.location", ca.to_str().unwrap()),
            ("sasl.mechanisms", login.mechanism),
            ("sasl.username", "halley"),
            ("sasl.password", "${env:KAFKA_PASSWORD}"),
        ];
        let properties = [&properties[..], if login.debug { &[("debug", "all")] } else { &[] }].concat();
        let level = if login.debug { "trace" } else { "info" };
        let environment = [("KAFKA_PASSWORD", login.password), ("HALLEY__LOG__LEVEL", level)];
        Gateway::with_properties(&setup, &properties, &environment)
    }
}

/// Makes two authorities, and for the broker a key with a certificate by the first.
fn certify(dir: &Path) {
    for authority in [CA, STRANGER] {
        certificates::authority(dir, authority);
    }
    certificates::certificate(dir, CA, "cert", "DNS:broker,IP:127.0.0.1");
    let read = |name| std::fs::read_to_string(dir.join(name)).unwrap();
    std::fs::write(dir.join("broker.pem"), read("cert.key") + &read("cert.pem") + &read(CA)).unwrap();
}
