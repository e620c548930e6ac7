//! Measures what a delivery costs the gateway, beside the floor that the kernel sets.
//!
//! [`swarm`] is the clients, [`writer`] the records, [`floor`] the least that a server can do, [`stage`] starts servers,
//! [`measure`] and [`idle`] run one of them, [`program`] all.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod client;
mod clock;
mod floor;
mod histogram;
mod idle;
mod machine;
mod measure;
mod program;
mod record;
mod report;
mod stage;
#[allow(dead_code)]
mod support;
mod swarm;
mod wire;
mod writer;

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Args, Parser, Subcommand};
use rdkafka::ClientConfig;

use crate::client::{Plan, Transport};
use crate::measure::Load;
use crate::program::Program;
use crate::stage::{Kind, Stage};
use crate::writer::{Schedule, Writer};

/// Measures Halley, or any other Bayeux server behind Kafka, beside the floor that the kernel sets.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Starts Kafka, measures the gateway and both floors in turn, and prints the tables.
    Run(Run),
    /// Writes records into a Kafka that runs, and measures how a Bayeux server that runs delivers them.
    Load(LoadArgs),
    /// Connects clients to a server that runs, and measures what they cost while they wait.
    Idle(IdleArgs),
    /// Serves as the least that a server can do, for `run`.
    Floor(FloorArgs),
}

#[derive(Args)]
struct Run {
    /// Three minutes instead of a quarter of an hour.
    #[arg(long)]
    quick: bool,
    /// The gateway's program; without, the one beside this program.
    #[arg(long)]
    gateway: Option<PathBuf>,
    /// The cores of the gateway, which gets a shard for each, and of the floors: `0,1`.
    #[arg(long, value_delimiter = ',', default_value = "0")]
    server_cores: Vec<usize>,
    /// The core of clients, writer and Kafka.
    #[arg(long, default_value_t = 1)]
    client_core: usize,
    /// One load only: so many keys (1: broadcast).
    #[arg(long, requires = "rate")]
    keys: Option<u32>,
    /// One load only: records a second.
    #[arg(long, requires = "keys")]
    rate: Option<u64>,
    /// One load only: rounds.
    #[arg(long, default_value_t = 1)]
    pairs: usize,
    /// One load only: seconds that are measured.
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// One load only: without the floors.
    #[arg(long)]
    alone: bool,
    /// Idle clients only.
    #[arg(long)]
    idle: bool,
}

/// A server that runs.
#[derive(Args)]
struct Target {
    /// `http://host:port/path` of the Bayeux server.
    #[arg(long)]
    url: String,
    #[arg(long, value_enum, default_value = "websocket")]
    transport: Transport,
    /// The server's process, if its CPU time and memory are to be measured.
    #[arg(long)]
    pid: Option<u32>,
    /// Channels are this and a key: k0000, k0001 …
    #[arg(long, default_value = floor::CHANNEL)]
    channel: String,
    #[arg(long, default_value_t = 1000)]
    clients: usize,
}

#[derive(Args)]
struct LoadArgs {
    #[command(flatten)]
    target: Target,
    /// `bootstrap.servers` of Kafka.
    #[arg(long)]
    bootstrap: String,
    #[arg(long)]
    topic: String,
    /// Client n listens to key n modulo this.
    #[arg(long, default_value_t = 1)]
    keys: u32,
    /// Records a second.
    #[arg(long, default_value_t = 50)]
    rate: u64,
    /// Seconds that are measured.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Seconds before.
    #[arg(long, default_value_t = 2)]
    warm_up: u64,
    /// Bind to this core.
    #[arg(long)]
    core: Option<usize>,
}

#[derive(Args)]
struct IdleArgs {
    #[command(flatten)]
    target: Target,
    /// Seconds that they wait before the server's memory is looked at.
    #[arg(long, default_value_t = 15)]
    hold: u64,
}

#[derive(Args)]
struct FloorArgs {
    #[arg(long)]
    listen: SocketAddr,
    /// Records a second, without Kafka.
    #[arg(long, conflicts_with = "bootstrap", requires_all = ["keys", "records"])]
    rate: Option<u64>,
    #[arg(long)]
    keys: Option<u32>,
    #[arg(long)]
    records: Option<u64>,
    /// `bootstrap.servers` of the Kafka whose records it writes.
    #[arg(long, requires_all = ["topic", "partitions"])]
    bootstrap: Option<String>,
    #[arg(long)]
    topic: Option<String>,
    #[arg(long)]
    partitions: Option<i32>,
}

fn main() -> Result<()> {
    let open_files = machine::open_files();
    match Arguments::parse().command {
        Command::Run(args) => run(args, open_files),
        Command::Load(args) => load(&args),
        Command::Idle(args) => idle(&args),
        Command::Floor(args) => args.serve(),
    }
}

fn run(args: Run, open_files: u64) -> Result<()> {
    // Before anything starts a thread or a process: all but the servers stay on this core.
    machine::pin(args.client_core)?;
    let beside = || Ok::<_, anyhow::Error>(std::env::current_exe()?.with_file_name("halley"));
    let gateway = args.gateway.map_or_else(beside, Ok)?;
    let mut stage = Stage::new(gateway, args.server_cores)?;
    program::timed(|| {
        if args.idle {
            return program::idle_clients(&mut stage, open_files);
        }
        if let Some((keys, rate)) = args.keys.zip(args.rate) {
            let kinds: &[Kind] = if args.alone { &[Kind::Gateway] } else { &Kind::ALL };
            let program = Program::only(keys, rate, args.pairs, Duration::from_secs(args.seconds));
            return program.run(&mut stage, kinds);
        }
        let program = if args.quick { Program::quick() } else { Program::full() };
        program.run(&mut stage, &Kind::ALL)?;
        program::idle_clients(&mut stage, open_files)
    })
}

fn load(args: &LoadArgs) -> Result<()> {
    if let Some(core) = args.core {
        machine::pin(core)?;
    }
    let (server, plan) = args.target.resolve()?;
    let load = Load {
        clients: args.target.clients,
        keys: args.keys,
        rate: args.rate,
        warm_up: Duration::from_secs(args.warm_up),
        measured: Duration::from_secs(args.seconds),
    };
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &args.bootstrap);
    let writer = Writer::new(&config, &args.topic, args.rate)?;
    let outcome =
        measure::run(&load, server, args.target.pid, plan, |schedule, _| Ok(Some(writer.write(schedule))))?;
    report::head();
    report::row(&report::name(&load), "", &outcome);
    Ok(())
}

fn idle(args: &IdleArgs) -> Result<()> {
    let (server, plan) = args.target.resolve()?;
    let hold = Duration::from_secs(args.hold);
    let outcome = idle::run(args.target.clients, hold, server, args.target.pid, plan)?;
    report::idle("clients", &outcome);
    Ok(())
}

impl Target {
    fn resolve(&self) -> Result<(SocketAddr, Plan)> {
        let rest = self.url.strip_prefix("http://").or_else(|| self.url.strip_prefix("ws://"));
        let rest = rest.context("the URL begins with http:// or ws://")?;
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let server = host.to_socket_addrs()?.next().context("the host has an address")?;
        let plan = Plan {
            transport: self.transport,
            host: host.to_owned(),
            path: format!("/{path}"),
            channel: self.channel.clone(),
        };
        Ok((server, plan))
    }
}

impl FloorArgs {
    fn serve(self) -> Result<()> {
        let source = if let Some(bootstrap) = self.bootstrap {
            let topic = self.topic.context("a topic")?;
            let partitions = self.partitions.context("the number of its partitions")?;
            floor::Source::Kafka { bootstrap, topic, partitions }
        } else {
            let (rate, keys) = (self.rate.context("a rate")?, self.keys.context("the number of keys")?);
            let records = self.records.context("the number of records")?;
            floor::Source::Made(Schedule { start: 0, rate, keys, records })
        };
        floor::serve(self.listen, source)
    }
}
