//! Kafka, and the servers that are measured, each started anew for every run.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use crate::client::{Plan, Transport};
use crate::floor::CHANNEL;
use crate::support::kafka::{Kafka, free_port};
use crate::support::process::{Process, command};
use crate::wire;
use crate::writer::Schedule;

/// Everything but the clients.
pub struct Stage {
    pub kafka: Kafka,
    /// The gateway's program.
    pub gateway: PathBuf,
    /// The cores that servers run on; the gateway gets a shard for each.
    pub cores: Vec<usize>,
    topics: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// One frame a write, no Kafka.
    Floor,
    /// What has arrived from Kafka for a socket in one write.
    KafkaFloor,
    Gateway,
}

/// A server that listens.
pub struct Server {
    process: Process,
    pub addr: SocketAddr,
    /// Settings and routes.
    _dir: Option<TempDir>,
}

/// A topic, deleted in the end.
pub struct Topic {
    pub name: String,
    partitions: i32,
}

// === impl Kind ===

impl Kind {
    pub const ALL: [Self; 3] = [Self::Floor, Self::KafkaFloor, Self::Gateway];

    pub fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::KafkaFloor => "kafka floor",
            Self::Gateway => "gateway",
        }
    }
}

// === impl Stage ===

impl Stage {
    pub fn new(gateway: PathBuf, cores: Vec<usize>) -> Result<Self> {
        ensure!(gateway.is_file(), "{} is not there: build it first", gateway.display());
        Ok(Self { kafka: Kafka::steady(), gateway, cores, topics: 0 })
    }

    pub fn topic(&mut self, partitions: i32) -> Topic {
        self.topics += 1;
        let name = format!("bench{}", self.topics);
        self.kafka.create_topic(&name, partitions);
        Topic { name, partitions }
    }

    pub fn delete(&self, topic: &Topic) {
        self.kafka.delete_topic(&topic.name);
    }

    /// Starts a server for a topic; `schedule` is what a floor without Kafka needs to know.
    pub fn start(&self, kind: Kind, topic: &Topic, schedule: &Schedule) -> Result<Server> {
        let addr = SocketAddr::from(([127, 0, 0, 1], free_port()));
        match kind {
            Kind::Gateway => self.start_gateway(addr, topic),
            Kind::Floor => self.start_floor(
                addr,
                &[
                    "--rate",
                    &schedule.rate.to_string(),
                    "--keys",
                    &schedule.keys.to_string(),
                    "--records",
                    &schedule.records.to_string(),
                ],
            ),
            Kind::KafkaFloor => self.start_floor(
                addr,
                &[
                    "--bootstrap",
                    &self.kafka.bootstrap(),
                    "--topic",
                    &topic.name,
                    "--partitions",
                    &topic.partitions.to_string(),
                ],
            ),
        }
    }

    /// A program on the servers' cores.
    fn command(&self, program: &PathBuf) -> std::process::Command {
        let mut pinned = command("taskset");
        let cores: Vec<String> = self.cores.iter().map(ToString::to_string).collect();
        pinned.args(["-c", &cores.join(",")]).arg(program);
        pinned
    }

    fn start_floor(&self, addr: SocketAddr, args: &[&str]) -> Result<Server> {
        let mut floor = self.command(&std::env::current_exe()?);
        floor.args(["floor", "--listen", &addr.to_string()]).args(args);
        let mut process = Process::start("floor", floor);
        wait(&mut process, || TcpStream::connect(addr).is_ok())?;
        Ok(Server { process, addr, _dir: None })
    }

    fn start_gateway(&self, addr: SocketAddr, topic: &Topic) -> Result<Server> {
        let dir = tempfile::tempdir()?;
        let admin = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let routes = dir.path().join("routes.yaml");
        std::fs::write(
            &routes,
            format!(
                "routes:\n  - name: bench\n    channel: \"{CHANNEL}{{key}}\"\n    topic: {}\n    key: \"{{key}}\"\n",
                topic.name
            ),
        )?;
        let settings = dir.path().join("halley.yaml");
        std::fs::write(
            &settings,
            format!(
                "listen: {addr}\nadmin: {admin}\nkafka: {{ bootstrap.servers: \"{}\" }}\nmappings: [{}]\n",
                self.kafka.bootstrap(),
                routes.display()
            ),
        )?;
        let mut gateway = self.command(&self.gateway);
        gateway
            .args(["serve", "--config"])
            .arg(&settings)
            .arg("--set")
            .arg(format!("shards={}", self.cores.len()));
        let mut process = Process::start("halley", gateway);
        wait(&mut process, || ready(admin).unwrap_or(false))?;
        Ok(Server { process, addr, _dir: Some(dir) })
    }
}

fn wait(process: &mut Process, mut up: impl FnMut() -> bool) -> Result<()> {
    let end = Instant::now() + Duration::from_secs(20);
    while !up() {
        if let Some(status) = process.status() {
            anyhow::bail!("the server ended with {status}: {}", process.log());
        }
        ensure!(Instant::now() < end, "the server is not ready after 20 s: {}", process.log());
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Whether `/readyz` of an admin port is answered well.
fn ready(admin: SocketAddr) -> Result<bool> {
    let mut stream = TcpStream::connect(admin)?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    write!(stream, "GET /readyz HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n")?;
    let mut received = Vec::new();
    stream.read_to_end(&mut received)?;
    let response = wire::response(&received).map_err(anyhow::Error::msg)?.context("a whole response")?;
    Ok(response.status == 200)
}

// === impl Server ===

impl Server {
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// What its clients need to know.
    pub fn plan(&self, transport: Transport) -> Plan {
        Plan { transport, host: self.addr.to_string(), path: "/cometd".into(), channel: CHANNEL.into() }
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.process.log()
    }
}
