//! The cases of the Autobahn test suite for WebSockets (RFC 6455, RFC 7692), run by kosoku against an echo on the gateway's own server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../support/mod.rs"]
mod support;

mod echo;

use std::time::Duration;

use serde_json::Value;

use crate::echo::Echo;
use crate::support::cache;
use crate::support::process::{self, Process};

/// Families of cases that are not `OK`, and why. A window smaller than 32 KiB would need frames of its own: such an offer is declined.
const ALLOWED: &[(&str, &str)] = &[("13.3.", "UNIMPLEMENTED"), ("13.5.", "UNIMPLEMENTED")];

/// Runs the cases that the patterns name. Panics unless all went as they should; how many there were.
fn run(patterns: &[&str], limit: Duration) -> usize {
    let kosoku = cache().join("kosoku/bin/kosoku");
    assert!(kosoku.exists(), "kosoku is missing: run `scripts/need kosoku`");
    let echo = Echo::start();
    let reports = tempfile::tempdir().unwrap();
    let mut command = process::command(kosoku);
    command.arg(echo.address().to_string()).args(["-p", "4", "-o"]).arg(reports.path());
    for pattern in patterns {
        command.args(["-i", pattern]);
    }
    Process::start("kosoku", command).wait(limit);
    let read = |file: &str| -> Value {
        let text = std::fs::read(reports.path().join(file)).expect("kosoku has reported");
        serde_json::from_slice(&text).unwrap()
    };
    let index = read("index.json");
    let cases = index.as_object().and_then(|agents| agents.values().next()).expect("one server was tested");
    let cases = cases.as_object().expect("cases by their names");
    let mut wrong = Vec::new();
    for (case, result) in cases {
        let found =
            [result["behavior"].as_str(), result["behaviorClose"].as_str()].map(Option::unwrap_or_default);
        if !found.iter().all(|found| matches!(*found, "OK" | "INFORMATIONAL"))
            && !ALLOWED.iter().any(|(family, how)| case.starts_with(family) && found == [*how, "OK"])
        {
            let report = read(result["reportfile"].as_str().expect("a report"));
            wrong.push(format!("{case}: {found:?}: {} {}", report["result"], report["resultClose"]));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    cases.len()
}

/// RFC 6455 whole, and some of compression.
#[test]
fn the_protocol() {
    let cases = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*", "12.1.1", "12.1.2", "13.1.1"];
    assert_eq!(run(&cases, Duration::from_mins(2)), 250);
}

/// Everything, the largest messages and all of compression included.
#[test]
#[ignore = "takes minutes: make soak"]
fn every_case() {
    assert!(run(&["*"], Duration::from_mins(20)) > 250);
}
