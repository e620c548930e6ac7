//! One run: clients of one server, records at one rate, what came of it.

use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Result, anyhow};

use crate::client::Plan;
use crate::swarm::Swarm;
use crate::writer::Schedule;
use crate::{clock, machine};

/// What is asked of a server.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub clients: usize,
    /// Client n listens to key n modulo this.
    pub keys: u32,
    /// Records a second.
    pub rate: u64,
    /// Not counted, but for what is lost and doubled.
    pub warm_up: Duration,
    pub measured: Duration,
}

/// What was measured.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Deliveries a second that were due.
    pub offered: f64,
    /// Deliveries a second that were made.
    pub deliveries: f64,
    /// Of the server, if its process is known.
    pub server: Option<Usage>,
    /// From due to received: p50, p99, p99.9, in microseconds.
    pub latency: [u64; 3],
    pub lost: u64,
    pub doubled: u64,
    /// Out of order, of a wrong key or content.
    pub wrong: u64,
    /// Clients that the server has closed, and why the first of them.
    pub gone: usize,
    pub reason: Option<String>,
    /// Share of a core that the clients and the writer took.
    pub generator: f64,
}

#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// CPU time for a delivery, in microseconds.
    pub micros: f64,
    /// Share of a core.
    pub share: f64,
    /// Resident memory at the end, in bytes.
    pub resident: u64,
}

/// A generator that took more of its core than this has measured itself.
const GENERATOR: f64 = 0.9;
/// How long after the last record deliveries are waited for, and how long when none comes.
const GRACE: Duration = Duration::from_secs(15);
const SILENCE: Duration = Duration::from_secs(2);

/// CPU times and deliveries at an instant.
struct Mark {
    at: u64,
    server: Option<Duration>,
    generator: Duration,
    deliveries: u64,
}

// === impl Load ===

impl Load {
    pub fn schedule(&self, start: u64) -> Schedule {
        let seconds = (self.warm_up + self.measured).as_secs_f64();
        #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let records = (self.rate as f64 * seconds) as u64;
        Schedule { start, rate: self.rate, keys: self.keys, records }
    }

    /// Deliveries that `records` records bring.
    #[allow(clippy::cast_precision_loss)]
    fn deliveries(&self, records: u64) -> f64 {
        records as f64 * self.clients as f64 / f64::from(self.keys)
    }
}

// === impl Outcome ===

impl Outcome {
    pub fn is_void(&self) -> bool {
        self.generator > GENERATOR
    }
}

/// Runs `load` against a server; `begin` starts the records.
pub fn run(
    load: &Load,
    server: SocketAddr,
    pid: Option<u32>,
    plan: Plan,
    begin: impl FnOnce(Schedule, &mut Swarm) -> Result<Option<JoinHandle<Result<()>>>>,
) -> Result<Outcome> {
    let mut swarm = Swarm::new(server, plan)?;
    swarm.connect(load.clients, load.keys)?;
    let start = clock::now() + clock::nanos(Duration::from_millis(500));
    let schedule = load.schedule(start);
    let from = start + clock::nanos(load.warm_up);
    let to = from + clock::nanos(load.measured);
    swarm.tally.measured = from..to;
    let writer = begin(schedule, &mut swarm)?;

    swarm.receive(from, |_| false)?;
    let first = mark(&swarm, pid)?;
    swarm.receive(to, |_| false)?;
    let last = mark(&swarm, pid)?;
    let resident = pid.map(machine::resident).transpose()?;
    await_rest(&mut swarm, load.deliveries(schedule.records))?;
    if let Some(writer) = writer {
        writer.join().map_err(|_| anyhow!("the writer's thread died"))??;
    }

    let tally = &swarm.tally;
    let wall = Duration::from_nanos(last.at - first.at).as_secs_f64();
    #[allow(clippy::cast_precision_loss)]
    let made = (last.deliveries - first.deliveries) as f64;
    let server = match (first.server, last.server, resident) {
        (Some(before), Some(after), Some(resident)) => {
            let cpu = after.saturating_sub(before).as_secs_f64();
            Some(Usage { micros: cpu * 1e6 / made, share: cpu / wall, resident })
        }
        _ => None,
    };
    Ok(Outcome {
        offered: load.deliveries(load.rate),
        deliveries: made / wall,
        server,
        latency: [0.5, 0.99, 0.999].map(|quantile| tally.latency.quantile(quantile)),
        lost: swarm.lost(schedule.records, load.keys),
        doubled: tally.doubled,
        wrong: tally.wrong + tally.late,
        gone: swarm.gone,
        reason: swarm.reason.clone(),
        generator: last.generator.saturating_sub(first.generator).as_secs_f64() / wall,
    })
}

fn mark(swarm: &Swarm, pid: Option<u32>) -> Result<Mark> {
    Ok(Mark {
        at: clock::now(),
        server: pid.map(machine::cpu).transpose()?,
        generator: machine::cpu(std::process::id())?,
        deliveries: swarm.tally.deliveries,
    })
}

/// Receives until everything has come, nothing comes any more, or patience is over.
fn await_rest(swarm: &mut Swarm, expected: f64) -> Result<()> {
    let end = clock::now() + clock::nanos(GRACE);
    #[allow(clippy::cast_precision_loss)]
    let complete = |swarm: &Swarm| swarm.tally.deliveries as f64 >= expected;
    while clock::now() < end && !complete(swarm) {
        let before = swarm.tally.deliveries;
        let silence = clock::now() + clock::nanos(SILENCE);
        swarm.receive(silence, |swarm| swarm.tally.deliveries > before)?;
        if swarm.tally.deliveries == before {
            break;
        }
    }
    // What comes after the last is doubled.
    swarm.receive(clock::now() + clock::nanos(Duration::from_millis(200)), |_| false)
}
