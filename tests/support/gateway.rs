//! The gateway under test: its own binary, its own files, its own ports.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::http::Http;
use super::kafka::{Kafka, free_port};
use super::process::{self, Process};

/// What a gateway is started with.
pub struct Setup<'a> {
    /// `bootstrap.servers`.
    pub kafka: String,
    /// The content of the one mapping file.
    pub routes: &'a str,
    /// More settings in YAML, after `listen`, `admin`, `kafka` and `mappings`.
    pub settings: &'a str,
}

/// Time-outs short enough for a test.
pub const IMPATIENT: &str = "publish: { timeout: 3s }\nsubscribe: { timeout: 2s }";

/// `/chat/ROOM` and `/deep/ANY/THING`, within the gateway: no Kafka is needed.
pub const LOCAL: &str = r#"
routes:
  - name: chat
    channel: "/chat/{room}"
    local: true
    publish:
  - name: deep
    channel: "/deep/{path**}"
    local: true
    publish:
"#;

/// A running gateway.
pub struct Gateway {
    process: Process,
    dir: TempDir,
    listen: SocketAddr,
    admin: SocketAddr,
    started: Instant,
    ready_after: Duration,
}

/// The binary that cargo has built beside this test.
pub fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_halley"))
}

/// One route, open both ways: a record of `topic` with key K is on `/TOPIC/K`.
pub fn keyed(topic: &str) -> String {
    format!(
        "routes:\n  - name: {topic}\n    channel: \"/{topic}/{{key}}\"\n    topic: {topic}\n    key: \"{{key}}\"\n    publish:\n"
    )
}

/// Runs `halley ARGS…` in `dir` to its end.
pub fn halley(dir: &Path, args: &[&str]) -> Output {
    let child = {
        let mut command = process::command(binary());
        command.args(args).current_dir(dir);
        command.stdin(std::process::Stdio::null());
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        process::spawn(command)
    };
    child.wait_with_output().expect("halley ends")
}

// === impl Gateway ===

impl Gateway {
    /// Against `kafka`, with these routes, otherwise as it comes.
    pub fn start(kafka: &Kafka, routes: &str) -> Self {
        Self::with(&Setup { kafka: kafka.bootstrap(), routes, settings: "" })
    }

    /// Without Kafka, for routes that are all `local`.
    pub fn local(routes: &str, settings: &str) -> Self {
        // A broker that is not there.
        Self::with(&Setup { kafka: "127.0.0.1:1".to_owned(), routes, settings })
    }

    /// With settings of the test's own.
    pub fn with(setup: &Setup<'_>) -> Self {
        Self::with_properties(setup, &[], &[])
    }

    /// With more of librdkafka's properties, and environment variables that settings refer to.
    pub fn with_properties(
        setup: &Setup<'_>,
        properties: &[(&str, &str)],
        environment: &[(&str, &str)],
    ) -> Self {
        let dir = tempfile::tempdir().expect("a directory for the gateway");
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let (listen, admin) = (local(free_port()), local(free_port()));
        std::fs::create_dir(dir.path().join("mappings")).expect("a folder for mappings");
        std::fs::write(dir.path().join("mappings/routes.yaml"), setup.routes).expect("mappings are written");
        let config = dir.path().join("halley.yaml");
        let properties =
            properties.iter().fold(String::new(), |all, (name, value)| format!("{all}, {name}: \"{value}\""));
        let text = format!(
            "listen: {listen}\nadmin: {admin}\nkafka: {{ bootstrap.servers: \"{}\"{properties} }}\nmappings: {}\n{}\n",
            setup.kafka,
            dir.path().join("mappings").display(),
            setup.settings,
        );
        std::fs::write(&config, text).expect("settings are written");
        let started = Instant::now();
        let mut command = process::command(binary());
        command.arg("serve").arg("--config").arg(&config).envs(environment.iter().copied());
        let process = Process::start("halley", command);
        let mut gateway = Self { process, dir, listen, admin, started, ready_after: Duration::ZERO };
        gateway.wait_until_ready();
        gateway
    }

    /// `halley dev` against `kafka` in place of its own broker.
    pub fn dev(kafka: &Kafka) -> Self {
        Self::start_dev(&[format!("kafka.bootstrap.servers={}", kafka.bootstrap())])
    }

    /// `halley dev` as it comes, on ports of the test's own.
    pub fn demo() -> Self {
        Self::start_dev(&[])
    }

    /// The same with settings, as `--set` takes them.
    pub fn demo_with(settings: &[String]) -> Self {
        Self::start_dev(settings)
    }

    fn start_dev(settings: &[String]) -> Self {
        let dir = tempfile::tempdir().expect("a directory for the gateway");
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let (listen, admin) = (local(free_port()), local(free_port()));
        let mut command = process::command(binary());
        command.arg("dev").current_dir(env!("CARGO_MANIFEST_DIR"));
        command.arg("--set").arg(format!("listen={listen}")).arg("--set").arg(format!("admin={admin}"));
        for setting in settings {
            command.arg("--set").arg(setting);
        }
        let started = Instant::now();
        let process = Process::start("halley", command);
        let mut gateway = Self { process, dir, listen, admin, started, ready_after: Duration::ZERO };
        gateway.wait_until_ready();
        gateway
    }

    /// SIGKILL, and the same again on the same ports: every session is forgotten.
    pub fn restart(&mut self) {
        self.process.kill();
        let mut command = process::command(binary());
        command.arg("serve").arg("--config").arg(self.dir.path().join("halley.yaml"));
        self.started = Instant::now();
        self.process = Process::start("halley", command);
        self.wait_until_ready();
    }

    fn wait_until_ready(&mut self) {
        let limit = Duration::from_secs(20);
        while !self.ready() {
            if let Some(status) = self.process.status() {
                panic!("the gateway ended with {status}");
            }
            assert!(self.started.elapsed() < limit, "the gateway is not ready within {limit:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
        self.ready_after = self.started.elapsed();
    }

    /// What `/readyz` says now.
    pub fn ready(&self) -> bool {
        Http::try_connect(self.admin).is_ok_and(|mut http| http.get("/readyz").is_ok_and(|r| r.status == 200))
    }

    /// Whether the process lives.
    pub fn running(&mut self) -> bool {
        self.process.status().is_none()
    }

    /// From the start of the process to the first good answer of `/readyz`.
    pub fn ready_after(&self) -> Duration {
        self.ready_after
    }

    pub fn addr(&self) -> SocketAddr {
        self.listen
    }

    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    pub fn url(&self) -> String {
        format!("http://{}/cometd", self.listen)
    }

    /// Its directory: `halley.yaml` and `mappings/`.
    pub fn dir(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    pub fn process(&self) -> &Process {
        &self.process
    }

    pub fn log(&self) -> String {
        self.process.log()
    }

    /// SIGTERM, without waiting.
    pub fn terminate(&self) {
        self.process.signal("TERM");
    }

    /// Waits until it has ended by itself.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        self.process.wait(limit)
    }

    /// The text of `/metrics`.
    pub fn metrics(&self) -> String {
        let mut http = Http::connect(self.admin);
        let response = http.get("/metrics").expect("metrics are answered");
        assert_eq!(response.status, 200);
        String::from_utf8(response.body).expect("metrics in UTF-8")
    }

    /// The sum of all series of the metric `name` whose labels contain every one of `labels`.
    pub fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        self.metrics()
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.rsplit_once(' '))
            .filter(|(series, _)| {
                let (family, rest) = series.split_once('{').unwrap_or((series, ""));
                family == name && labels.iter().all(|label| rest.contains(label))
            })
            .map(|(_, value)| value.parse::<f64>().expect("a number"))
            .sum()
    }
}
