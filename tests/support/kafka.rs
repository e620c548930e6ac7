//! A real Apache Kafka: one node, broker and controller, in a directory of its own, started, killed and started again at will.
//! (Several of them are a [`Cluster`](super::cluster::Cluster).)

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use tempfile::TempDir;

use super::process::{self, Process};
use super::{cache, eventually};

/// A broker, running or not; its ports and its data stay the same.
pub struct Kafka {
    dir: TempDir,
    /// What clients are told of it, or of all nodes of its cluster.
    bootstrap: String,
    replication: i32,
    broker: Option<Process>,
}

/// How a node is made.
pub struct Node<'a> {
    pub port: u16,
    pub controller_port: u16,
    /// Properties after those of `scripts/kafka/server.properties`: of two of a name the later one counts.
    pub properties: &'a str,
    /// How its storage is formatted.
    pub format: &'a [&'a str],
    /// What clients are told, if not this node alone.
    pub bootstrap: Option<String>,
    /// Replicas of the topics that are created by it.
    pub replication: i32,
}

/// A TCP port that is free now. Outside the range that the kernel gives to outgoing connections: nothing takes it while a server
/// on it is down, and no client that tries again and again can end up connected to itself.
pub fn free_port() -> u16 {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 12_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Processes that are started together have neighbouring ids; their ports must lie apart, since one is free until it is bound.
    const APART: u32 = 97;
    let start = std::process::id().wrapping_mul(APART) % u32::from(COUNT);
    let start = u16::try_from(start).expect("below COUNT");
    for _ in 0..COUNT {
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + (start + n) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port")
}

// === impl Kafka ===

impl Kafka {
    /// The broker that the tests of one binary share; tests that harm theirs [`start`](Self::start) their own.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Kafka> = OnceLock::new();
        SHARED.get_or_init(Self::steady)
    }

    /// A new broker that answers, for tests that do it no harm: that the machine is busy does not take it out of its cluster.
    pub fn steady() -> Self {
        Self::absent_with("", &[]).launched()
    }

    /// A new broker that answers.
    pub fn start() -> Self {
        Self::absent().launched()
    }

    /// A broker with its ports chosen and its storage formatted, but not running.
    pub fn absent() -> Self {
        // A broker that was killed may come back only after its old session has run out.
        Self::absent_with("broker.session.timeout.ms=2000\n", &[])
    }

    fn launched(mut self) -> Self {
        self.launch();
        self
    }

    /// The same, with properties of its own and formatted with more arguments.
    pub fn absent_with(properties: &str, format: &[&str]) -> Self {
        Self::node(&Node {
            port: free_port(),
            controller_port: free_port(),
            properties,
            format: &[&["--standalone"], format].concat(),
            bootstrap: None,
            replication: 1,
        })
    }

    /// A broker, not running, with a second listener of another security protocol; and that one's port. Its properties begin with
    /// `listener.name.guarded.`. Tools and plain clients use the first.
    pub fn guarded(protocol: &str, properties: &str, format: &[&str]) -> (Self, u16) {
        let (port, controller_port, guarded) = (free_port(), free_port(), free_port());
        let properties = format!(
            "listeners=PLAINTEXT://127.0.0.1:{port},GUARDED://127.0.0.1:{guarded},CONTROLLER://127.0.0.1:{controller_port}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port},GUARDED://127.0.0.1:{guarded}\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,GUARDED:{protocol},CONTROLLER:PLAINTEXT\n\
             inter.broker.listener.name=PLAINTEXT\n\
             {properties}"
        );
        let kafka = Self::node(&Node {
            port,
            controller_port,
            properties: &properties,
            format: &[&["--standalone"], format].concat(),
            bootstrap: None,
            replication: 1,
        });
        (kafka, guarded)
    }

    /// A node, not running.
    pub fn node(node: &Node<'_>) -> Self {
        let dir = tempfile::tempdir().expect("a directory for Kafka");
        let mut properties = include_str!("../../scripts/kafka/server.properties")
            .replace("@PORT@", &node.port.to_string())
            .replace("@CONTROLLER_PORT@", &node.controller_port.to_string())
            .replace("@DATA@", dir.path().join("data").to_str().expect("a path in UTF-8"));
        properties.push_str(node.properties);
        let file = dir.path().join("server.properties");
        std::fs::write(&file, properties).expect("properties are written");
        let bootstrap = node.bootstrap.clone().unwrap_or_else(|| format!("127.0.0.1:{}", node.port));
        let kafka = Self { dir, bootstrap, replication: node.replication, broker: None };
        let file = file.to_str().expect("a path in UTF-8");
        let format = [&["format", "-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c", file], node.format].concat();
        kafka.tool("kafka.tools.StorageTool", &format);
        kafka
    }

    /// No node, but what tools and clients are told of a cluster.
    pub fn of_cluster(bootstrap: String, replication: i32) -> Self {
        let dir = tempfile::tempdir().expect("a directory for tools");
        Self { dir, bootstrap, replication, broker: None }
    }

    /// Runs one of Kafka's tools to its end; what it printed.
    pub fn tool(&self, class: &str, args: &[&str]) -> String {
        let mut java = self.java(class);
        java.args(args);
        let mut tool = Process::start("a tool of Kafka", java);
        let status = tool.wait(Duration::from_mins(1));
        assert!(status.success(), "{class} {args:?}: {status}: {}", tool.log());
        tool.log()
    }

    /// Its directory, for what its properties name.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// `java` with one of Kafka's classes.
    fn java(&self, class: &str) -> Command {
        let home = installed();
        let mut jars: Vec<String> = std::fs::read_dir(home.join("lib"))
            .expect("Kafka is installed: run `scripts/need kafka`")
            .map(|entry| entry.expect("a jar").path().to_str().expect("UTF-8").to_owned())
            .collect();
        // The class archive wants the list of jars exactly as scripts/kafka/archive had it.
        jars.sort();
        let mut java = process::command("java");
        // Enough for a node; three of them run beside each other.
        java.args(["-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"])
            .arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")
            .arg(format!("-XX:SharedArchiveFile={}", home.join("kafka.jsa").display()))
            .args(["-cp", &jars.join(":"), class])
            .current_dir(self.dir.path());
        java
    }

    /// `host:port`, for `bootstrap.servers`.
    pub fn bootstrap(&self) -> String {
        self.bootstrap.clone()
    }

    /// Starts it without waiting.
    pub fn launch_only(&mut self) {
        assert!(self.broker.is_none(), "Kafka runs already");
        let mut java = self.java("kafka.Kafka");
        java.arg(self.dir.path().join("server.properties"));
        self.broker = Some(Process::start("kafka", java));
    }

    /// Starts it and waits until it answers and leads every partition it has.
    pub fn launch(&mut self) {
        self.launch_only();
        let probe: BaseConsumer = self.config().create().expect("a client");
        eventually(Duration::from_mins(1), "Kafka answers with its broker and all leaders", || {
            probe.fetch_metadata(None, Duration::from_secs(1)).is_ok_and(|metadata| {
                !metadata.brokers().is_empty()
                    && metadata.topics().iter().all(|t| t.partitions().iter().all(|p| p.leader() >= 0))
            })
        });
    }

    fn broker(&self) -> &Process {
        self.broker.as_ref().expect("Kafka runs")
    }

    /// SIGKILL: nothing is said to anyone, nothing is closed.
    pub fn kill(&mut self) {
        self.broker.take().expect("Kafka runs").kill();
    }

    /// SIGSTOP: connections stay, nothing answers.
    pub fn freeze(&self) {
        self.broker().signal("STOP");
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.broker().signal("CONT");
    }

    /// Takes the broker out of the cluster while it runs: it goes on answering, but that there is no broker.
    pub fn unregister(&self) {
        let args = ["unregister", "--bootstrap-server", &self.bootstrap, "--id", "1"];
        self.tool("org.apache.kafka.tools.ClusterTool", &args);
    }

    /// What every plain client of this broker is configured with.
    pub fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", self.bootstrap())
            .set("broker.address.family", "v4")
            .set("reconnect.backoff.ms", "20")
            .set("reconnect.backoff.max.ms", "200")
            .set("topic.metadata.refresh.interval.ms", "1000")
            .set("log_level", "0");
        config
    }

    /// Creates a topic and waits until it can be used.
    pub fn create_topic(&self, name: &str, partitions: i32) {
        self.create_topic_with(name, partitions, &[]);
    }

    /// Creates a topic with its own configuration.
    pub fn create_topic_with(&self, name: &str, partitions: i32, config: &[(&str, &str)]) {
        let admin: AdminClient<DefaultClientContext> = self.config().create().expect("an admin client");
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(self.replication));
        for (key, value) in config {
            topic = topic.set(key, value);
        }
        let results =
            wait_for(admin.create_topics(
                [&topic],
                &AdminOptions::new().operation_timeout(Some(Duration::from_secs(20))),
            ))
            .expect("Kafka creates topics");
        for result in results {
            result.expect("the topic is created");
        }
        let probe: BaseConsumer = self.config().create().expect("a client");
        eventually(Duration::from_secs(20), "the new topic has leaders", || {
            probe.fetch_metadata(Some(name), Duration::from_secs(2)).is_ok_and(|metadata| {
                metadata.topics().first().is_some_and(|topic| {
                    topic.error().is_none()
                        && topic.partitions().len() == usize::try_from(partitions).expect("positive")
                        && topic.partitions().iter().all(|p| p.leader() >= 0)
                })
            })
        });
    }

    /// Deletes a topic.
    pub fn delete_topic(&self, name: &str) {
        let admin: AdminClient<DefaultClientContext> = self.config().create().expect("an admin client");
        for result in
            wait_for(admin.delete_topics(&[name], &AdminOptions::new())).expect("Kafka deletes topics")
        {
            result.expect("the topic is deleted");
        }
    }

    /// Gives a topic more partitions.
    pub fn add_partitions(&self, name: &str, total: usize) {
        let admin: AdminClient<DefaultClientContext> = self.config().create().expect("an admin client");
        let more = rdkafka::admin::NewPartitions::new(name, total);
        for result in
            wait_for(admin.create_partitions([&more], &AdminOptions::new())).expect("Kafka adds partitions")
        {
            result.expect("partitions are added");
        }
    }
}

/// Where `scripts/need kafka` has put it.
fn installed() -> PathBuf {
    let pom = include_str!("../../scripts/kafka/pom.xml");
    let version = pom
        .split("<kafka.version>")
        .nth(1)
        .and_then(|rest| rest.split('<').next())
        .expect("the version is in pom.xml");
    cache().join(format!("kafka-{version}"))
}

/// Drives one of rdkafka's futures.
fn wait_for<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}
