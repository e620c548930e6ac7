//! The tables.
#![allow(clippy::print_stdout)]

use std::fmt::Write as _;

use crate::idle::Idle;
use crate::measure::{Load, Outcome};

/// The head of the table of [`row`]s.
pub fn head() {
    println!(
        "{:<22} {:<12} {:>9} {:>9} {:>8} {:>6} {:>8} {:>8} {:>8} {:>6} {:>7} {:>5} {:>7} {:>5}",
        "run",
        "server",
        "due/s",
        "made/s",
        "µs each",
        "core",
        "p50 ms",
        "p99 ms",
        "p99.9",
        "lost",
        "doubled",
        "wrong",
        "MiB",
        "gen"
    );
}

/// One run.
pub fn row(run: &str, server: &str, outcome: &Outcome) {
    let usage = outcome.server.as_ref();
    let number =
        |value: Option<f64>, digits: usize| value.map_or("-".into(), |value| format!("{value:.digits$}"));
    println!(
        "{run:<22} {server:<12} {:>9.0} {:>9.0} {:>8} {:>6} {:>8} {:>8} {:>8} {:>6} {:>7} {:>5} {:>7} {:>5}{}",
        outcome.offered,
        outcome.deliveries,
        number(usage.map(|usage| usage.micros), 2),
        usage.map_or("-".into(), |usage| percent(usage.share)),
        millis(outcome.latency[0]),
        millis(outcome.latency[1]),
        millis(outcome.latency[2]),
        outcome.lost,
        outcome.doubled,
        outcome.wrong,
        number(usage.map(|usage| mebibytes(usage.resident)), 1),
        percent(outcome.generator),
        remarks(outcome),
    );
}

fn remarks(outcome: &Outcome) -> String {
    let mut remarks = String::new();
    if outcome.is_void() {
        remarks.push_str("  VOID: the generator took more than 90 % of its core");
    }
    if outcome.gone > 0 {
        let reason = outcome.reason.as_deref().unwrap_or_default();
        let _ = write!(remarks, "  {} clients were disconnected: {reason}", outcome.gone);
    }
    remarks
}

/// What idle clients cost.
pub fn idle(name: &str, idle: &Idle) {
    let resident =
        idle.resident.map_or(String::new(), |bytes| format!(", {:.2} KB resident each", bytes / 1000.0));
    let gone = if idle.gone > 0 { format!(", {} DISCONNECTED", idle.gone) } else { String::new() };
    println!("{} {name}: {:.0} connected a second{resident}{gone}", idle.clients, idle.arrivals);
}

/// CPU of the gateway for a delivery, over that of a floor in the same round: median, least and greatest.
pub fn ratios(run: &str, floor: &str, ratios: &mut [f64]) {
    ratios.sort_by(f64::total_cmp);
    let middle = |place: usize| ratios.get(place);
    if let (Some(least), Some(below), Some(above), Some(greatest)) =
        (ratios.first(), middle((ratios.len().max(1) - 1) / 2), middle(ratios.len() / 2), ratios.last())
    {
        let median = f64::midpoint(*below, *above);
        println!(
            "{run:<22} gateway / {floor:<12} {median:.2}  ({least:.2} … {greatest:.2}, {} pairs)",
            ratios.len()
        );
    }
}

/// How a load is called.
pub fn name(load: &Load) -> String {
    let kind = match load.keys {
        1 => "broadcast",
        keys if (keys as usize) < load.clients => "grouped",
        _ => "keyed",
    };
    format!("{kind} {} msg/s", load.rate)
}

fn percent(share: f64) -> String {
    format!("{:.0}%", share * 100.0)
}

#[allow(clippy::cast_precision_loss)]
fn millis(micros: u64) -> String {
    format!("{:.1}", micros as f64 / 1000.0)
}

#[allow(clippy::cast_precision_loss)]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / 1_048_576.0
}
