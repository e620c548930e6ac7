//! What clients cost that only wait.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;

use crate::client::Plan;
use crate::swarm::Swarm;
use crate::{clock, machine};

/// What was measured of idle clients.
#[derive(Clone, Copy, Debug)]
pub struct Idle {
    pub clients: usize,
    /// Clients connected a second: connection, upgrade, handshake, subscription, first connect.
    pub arrivals: f64,
    /// Resident memory of the server for each, in bytes, if its process is known.
    pub resident: Option<f64>,
    /// Clients that the server has closed.
    pub gone: usize,
}

/// Connects clients, of which each thousandth listens to the same key, and looks at the server's memory after `hold`.
#[allow(clippy::cast_precision_loss)]
pub fn run(clients: usize, hold: Duration, server: SocketAddr, pid: Option<u32>, plan: Plan) -> Result<Idle> {
    const KEYS: u32 = 1000;
    let before = pid.map(machine::resident).transpose()?;
    let mut swarm = Swarm::new(server, plan)?;
    let took = swarm.connect(clients, KEYS)?;
    swarm.receive(clock::now() + clock::nanos(hold), |_| false)?;
    let after = pid.map(machine::resident).transpose()?;
    let resident =
        before.zip(after).map(|(before, after)| after.saturating_sub(before) as f64 / clients as f64);
    Ok(Idle { clients, arrivals: clients as f64 / took.as_secs_f64(), resident, gone: swarm.gone })
}
