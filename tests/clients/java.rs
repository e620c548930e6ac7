//! The CometD Java client, as it is on Maven Central.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::client::Client;
use super::scenario;
use crate::support::driver::{Driver, clients};
use crate::support::{cache, process};

/// A release of the client, with the API of WebSocket that it is made for.
struct Release {
    version: &'static str,
    sockets: &'static str,
    compiled: OnceLock<PathBuf>,
}

static V9: Release = Release { version: "9.0.0", sockets: "jakarta", compiled: OnceLock::new() };
static V8: Release = Release { version: "8.0.10", sockets: "jakarta", compiled: OnceLock::new() };
static V5: Release = Release { version: "5.0.16", sockets: "javax", compiled: OnceLock::new() };

// === impl Release ===

impl Release {
    /// Where `scripts/need java-clients` has put it.
    fn home(&self) -> PathBuf {
        cache().join(format!("cometd-java-{}", self.version))
    }

    /// The driver compiled for this release; again only when its source has changed.
    fn classes(&self) -> &Path {
        self.compiled.get_or_init(|| {
            let source = clients().join("java");
            let sources = [source.join("Driver.java"), source.join(self.sockets).join("Sockets.java")];
            let classes = self.home().join("classes");
            let stamp = self.home().join("compiled");
            let text: String = sources.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
            if std::fs::read_to_string(&stamp).is_ok_and(|compiled| compiled == text) {
                return classes;
            }
            let jars = self.home().join("lib/*");
            let output = Command::new("javac")
                .arg("-d")
                .arg(&classes)
                .arg("-cp")
                .arg(jars)
                .args(&sources)
                .output()
                .expect("a JDK is there: run `scripts/need java-clients`");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            std::fs::write(&stamp, text).unwrap();
            classes
        })
    }

    fn start(&self, args: &[&str]) -> Driver {
        let path = format!("{}:{}", self.classes().display(), self.home().join("lib/*").display());
        let mut java = process::command("java");
        java.args(["-Xmx64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"])
            .arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=off")
            .args(["-cp", &path, "Driver", self.version])
            .args(args);
        Driver::start(java)
    }
}

/// The newest release and the oldest, for tests of their own.
pub fn newest_and_oldest(url: &str, transport: &str) -> [Driver; 2] {
    [&V9, &V5].map(|release| release.start(&[url, transport, ""]))
}

fn client(release: &'static Release, transport: &'static str, extension: &'static str) -> Client {
    let name = match (transport, release.version) {
        ("long-polling", _) => "CometD Java client, Jetty HTTP",
        (_, "9.0.0") => "CometD Java client, Jakarta WebSocket of Tyrus",
        (_, "8.0.10") => "CometD Java client, Jakarta WebSocket of Jetty",
        _ => "CometD Java client, JSR 356 WebSocket of Jetty",
    };
    let start = move |url: &str, transport: &str| release.start(&[url, transport, extension]);
    Client::new(name, transport, start).extended(extension)
}

/// R9, B32: three releases, with and without acknowledged events.
#[test]
fn clients_in_java() {
    let mut clients = Vec::new();
    for (release, extension) in [(&V9, "ack"), (&V8, ""), (&V5, "ack")] {
        clients.push(client(release, "websocket", extension));
        clients.push(client(release, "long-polling", extension));
    }
    scenario::run("java", clients);
}
