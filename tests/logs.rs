//! What the log looks like on standard error.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::process::{Command, Stdio};

use halley::config::{self, LoadOptions};
use halley::telemetry::logs;

/// Of this program run again: the settings of its log.
const LOG: &str = "TEST_LOG";

/// Runs the other test of this file as a process of its own.
fn logged(settings: &str) -> Vec<String> {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "logs_and_ends", "--nocapture"])
        .env(LOG, settings)
        .stdout(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stderr).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn logs_and_ends() {
    let Ok(settings) = std::env::var(LOG) else { return };
    let options = LoadOptions { config: None, sets: vec![format!("log={settings}")], env: [] };
    logs::init(&config::load(options).unwrap().log).unwrap();
    tracing::info!(port = 8080, "listening");
    tracing::debug!("details");
    tracing::debug!(target: "halley::kafka::reader", "reading");
    assert!(logs::init(&config::Log::default()).is_err());
}

#[test]
fn lines_are_text_without_colours_when_nobody_looks() {
    let lines = logged("{level: info}");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains(" INFO logs: listening port=8080"), "{lines:?}");
}

#[test]
fn lines_are_objects_with_json() {
    let lines = logged("{format: json}");
    let line: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(
        (&line["level"], &line["message"], &line["port"]),
        (&"INFO".into(), &"listening".into(), &8080.into())
    );
}

#[test]
fn parts_have_their_own_level() {
    let lines = logged("{level: 'warn,halley::kafka=debug'}");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("DEBUG halley::kafka::reader: reading"), "{lines:?}");
}
