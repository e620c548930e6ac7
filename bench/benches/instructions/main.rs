//! Instructions that the hot paths take, counted by valgrind: the same on a busy machine as on an idle one.
//!
//! `make instructions` runs this. It counts each [operation](operations) in a process of its own that does it so many times, and in one
//! that does it once, and takes the difference; then it compares with the counts kept in `counts.txt` beside this file, and fails if
//! one has grown by more than a twentieth. `--accept` keeps the new counts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod operations;
mod population;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail, ensure};

use operations::OPERATIONS;

/// How often an operation is done to be counted.
const TIMES: u64 = 200;
/// Growth that fails: other compilers and processors differ by less.
const TOLERANCE: f64 = 0.05;

fn main() -> Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => compare(false),
        ["--accept"] => compare(true),
        ["once", name] => run(name, 1),
        ["often", name] => run(name, 1 + TIMES),
        _ => bail!("instructions [--accept]"),
    }
}

/// Does an operation; this is what is counted.
fn run(name: &str, times: u64) -> Result<ExitCode> {
    let operation =
        OPERATIONS.iter().find(|operation| operation.name == name).context("no such operation")?;
    let mut work = (operation.prepare)();
    for _ in 0..times {
        work();
    }
    Ok(ExitCode::SUCCESS)
}

fn compare(accept: bool) -> Result<ExitCode> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/instructions/counts.txt");
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    let kept = parse(&kept)?;
    let mut counts = String::new();
    let mut grown = Vec::new();
    println!("{:<52} {:>12} {:>12} {:>8}", "instructions for", "now", "kept", "ratio");
    for operation in OPERATIONS {
        let often = count(operation.name, "often")?;
        let once = count(operation.name, "once")?;
        let now = often.saturating_sub(once) / TIMES / operation.parts;
        ensure!(now > 0, "{}: nothing was counted", operation.name);
        writeln!(counts, "{now} {}", operation.name)?;
        let Some(before) = kept.get(operation.name) else {
            println!("{:<52} {now:>12} {:>12} {:>8}", operation.name, "-", "-");
            grown.push(operation.name);
            continue;
        };
        #[allow(clippy::cast_precision_loss)] // Counts are far below 2^52.
        let ratio = now as f64 / *before as f64;
        println!("{:<52} {now:>12} {before:>12} {ratio:>8.2}", operation.name);
        if ratio > 1.0 + TOLERANCE {
            grown.push(operation.name);
        }
    }
    if accept {
        std::fs::write(&file, counts).with_context(|| file.display().to_string())?;
    } else if !grown.is_empty() {
        eprintln!(
            "new, or more than {}% above what is kept: {}\nwith --accept the counts of this run are kept",
            TOLERANCE * 100.0,
            grown.join("; ")
        );
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// `count name` in each line.
fn parse(text: &str) -> Result<BTreeMap<&str, u64>> {
    text.lines()
        .map(|line| {
            let (count, name) = line.split_once(' ').context("a line without a name")?;
            Ok((name, count.parse().with_context(|| format!("no count: {line}"))?))
        })
        .collect()
}

/// All instructions of a process that does an operation.
fn count(name: &str, how: &str) -> Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args([how, name])
        .output()
        .context("valgrind is not there: run `scripts/need valgrind`")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{name}: {said}");
    let collected = said.lines().find_map(|line| line.split_once("Collected : ")).context("no count")?;
    Ok(collected.1.trim().parse()?)
}
