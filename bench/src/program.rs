//! The whole of it: every load against the gateway and both floors, in turn; then idle clients.
#![allow(clippy::print_stdout)]

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::client::Transport;
use crate::measure::{self, Load, Outcome};
use crate::stage::{Kind, Stage};
use crate::writer::Writer;
use crate::{idle, report};

const CLIENTS: usize = 1000;
const GROUPS: u32 = 100;
const IDLE_SOCKETS: usize = 10_000;
const PARKED_POLLS: usize = 5_000;
const HOLD: Duration = Duration::from_secs(15);
/// Files that a process has open besides its sockets, generously.
const OTHER_FILES: u64 = 200;

/// What is run.
#[derive(Clone, Debug)]
pub struct Program {
    /// Keys and records a second, and how often each.
    loads: Vec<(u32, u64, usize)>,
    warm_up: Duration,
    measured: Duration,
}

// === impl Program ===

impl Program {
    /// About a quarter of an hour.
    pub fn full() -> Self {
        let mut loads = vec![(1, 25, 5), (1, 50, 5)];
        loads.extend([100, 200, 400, 800].map(|rate| (1, rate, 2)));
        loads.extend([4_000, 8_000, 12_000].map(|rate| (GROUPS, rate, 2)));
        loads.extend([10_000, 20_000, 40_000].map(|rate| (keyed(), rate, 2)));
        Self { loads, warm_up: Duration::from_secs(2), measured: Duration::from_secs(6) }
    }

    /// About three minutes.
    pub fn quick() -> Self {
        let loads = vec![(1, 25, 1), (1, 50, 1), (1, 400, 1), (GROUPS, 12_000, 1), (keyed(), 20_000, 1)];
        Self { loads, warm_up: Duration::from_secs(1), measured: Duration::from_secs(5) }
    }

    /// One load.
    pub fn only(keys: u32, rate: u64, pairs: usize, measured: Duration) -> Self {
        Self { loads: vec![(keys, rate, pairs)], warm_up: Duration::from_secs(2), measured }
    }

    /// Runs it against `kinds`, and prints what comes of it.
    pub fn run(&self, stage: &mut Stage, kinds: &[Kind]) -> Result<()> {
        report::head();
        let mut ratios = Vec::new();
        for &(keys, rate, pairs) in &self.loads {
            let Self { warm_up, measured, .. } = *self;
            let load = Load { clients: CLIENTS, keys, rate, warm_up, measured };
            let name = report::name(&load);
            let mut rounds = Vec::new();
            for _ in 0..pairs {
                let mut round = Vec::new();
                for &kind in kinds {
                    let outcome = one(stage, kind, &load)?;
                    report::row(&name, kind.name(), &outcome);
                    round.push((kind, outcome));
                }
                rounds.push(round);
            }
            for floor in [Kind::Floor, Kind::KafkaFloor] {
                let of_rounds = rounds.iter().filter_map(|round| ratio(round, floor)).collect();
                ratios.push((name.clone(), floor.name(), of_rounds));
            }
        }
        println!("\nCPU of the gateway for a delivery, as a multiple of a floor's in the same round:");
        for (name, floor, mut of_rounds) in ratios {
            let of_rounds: &mut Vec<f64> = &mut of_rounds;
            report::ratios(&name, floor, of_rounds);
        }
        Ok(())
    }
}

/// What `run` is preceded by and what it ends with.
pub fn idle_clients(stage: &mut Stage, open_files: u64) -> Result<()> {
    println!();
    for (transport, wanted, name) in [
        (Transport::Websocket, IDLE_SOCKETS, "idle subscribed WebSockets"),
        (Transport::LongPolling, PARKED_POLLS, "parked polls"),
    ] {
        let clients = wanted.min(usize::try_from(open_files.saturating_sub(OTHER_FILES))?);
        let topic = stage.topic(1);
        let none = Load { clients, keys: 1, rate: 1, warm_up: Duration::ZERO, measured: Duration::ZERO };
        let server = stage.start(Kind::Gateway, &topic, &none.schedule(0))?;
        let outcome = idle::run(clients, HOLD, server.addr, Some(server.pid()), server.plan(transport))?;
        report::idle(name, &outcome);
        stage.delete(&topic);
    }
    Ok(())
}

/// A key for each client.
fn keyed() -> u32 {
    u32::try_from(CLIENTS).unwrap_or(u32::MAX)
}

fn one(stage: &mut Stage, kind: Kind, load: &Load) -> Result<Outcome> {
    let topic = stage.topic(if load.keys == 1 { 1 } else { 4 });
    let server = stage.start(kind, &topic, &load.schedule(0))?;
    let plan = server.plan(Transport::Websocket);
    let writer = Writer::new(&stage.kafka.config(), &topic.name, load.rate)?;
    let outcome = measure::run(load, server.addr, Some(server.pid()), plan, |schedule, swarm| {
        if kind == Kind::Floor {
            swarm.say(&format!(r#"[{{"channel":"/start","data":{}}}]"#, schedule.start))?;
            return Ok(None);
        }
        Ok(Some(writer.write(schedule)))
    })?;
    let log = server.log();
    if !log.is_empty() && (outcome.lost > 0 || outcome.gone > 0) {
        let lines: Vec<&str> = log.lines().rev().take(5).collect();
        eprintln!("the last of the server's log, newest first:\n{}", lines.join("\n"));
    }
    drop(server);
    stage.delete(&topic);
    Ok(outcome)
}

/// CPU for a delivery of the gateway over that of `floor`; of rounds only that count.
fn ratio(round: &[(Kind, Outcome)], floor: Kind) -> Option<f64> {
    let micros = |wanted: Kind| {
        let (_, outcome) = round.iter().find(|(kind, _)| *kind == wanted)?;
        outcome.server.filter(|_| !outcome.is_void()).map(|usage| usage.micros)
    };
    Some(micros(Kind::Gateway)? / micros(floor)?)
}

/// How long something took, for the reader's patience.
pub fn timed<T>(act: impl FnOnce() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    let result = act()?;
    println!("\n{:.0} s", start.elapsed().as_secs_f64());
    Ok(result)
}
