//! Programs that drive a client of somebody else's: one line of JSON each way per command and event.
//!
//! Commands are `{"do": …}`, events `{"event": …}`. What a driver of a Bayeux client understands and says is in `tests/clients/party.rs`.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::process;

/// A running driver.
pub struct Driver {
    child: Child,
    stdin: ChildStdin,
    events: mpsc::Receiver<Value>,
    /// Events that came while others were waited for.
    passed: Vec<Value>,
}

/// Where the drivers and the clients of npm are.
pub fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

// === impl Driver ===

impl Driver {
    /// Starts `tests/clients/SCRIPT` in Node.
    pub fn node(script: &str, args: &[&str]) -> Self {
        let clients = clients();
        assert!(clients.join("node_modules").exists(), "npm clients are missing: run `scripts/need clients`");
        let mut command = process::command("node");
        command.arg(clients.join(script)).args(args).current_dir(clients);
        Self::start(command)
    }

    /// Starts a [`process::command`] that reads commands and says events. What it says besides is shown when the test fails.
    pub fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = process::spawn(command);
        let stdin = child.stdin.take().expect("a pipe");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let (sender, events) = mpsc::channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                match serde_json::from_str(&line) {
                    Ok(event) => {
                        if sender.send(event).is_err() {
                            break;
                        }
                    }
                    Err(_) => eprintln!("driver: {line}"),
                }
            }
        });
        Self { child, stdin, events, passed: Vec::new() }
    }

    /// Sends one command. One that is gone reads nothing; what is waited for next then says so.
    pub fn tell(&mut self, command: &Value) {
        let _ = writeln!(self.stdin, "{command}");
    }

    /// The next event whose `event` is `kind` and that `matches`; others are kept for later.
    pub fn expect(&mut self, kind: &str, matches: impl FnMut(&Value) -> bool) -> Value {
        let end = Instant::now() + Duration::from_secs(30);
        self.wait(kind, end, matches).unwrap_or_else(|why| panic!("{why}"))
    }

    /// The same until `end`, and why not: it was not said, or a `failed` was.
    pub fn wait(
        &mut self,
        kind: &str,
        end: Instant,
        mut matches: impl FnMut(&Value) -> bool,
    ) -> Result<Value, String> {
        let mut good = |event: &Value| event["event"] == kind && matches(event);
        if let Some(found) = self.passed.iter().position(&mut good) {
            return Ok(self.passed.remove(found));
        }
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let event = self
                .events
                .recv_timeout(left)
                .map_err(|_| format!("the driver does not say {kind:?}; it said {:?}", self.passed))?;
            if event["event"] == "failed" {
                return Err(event.to_string());
            }
            if good(&event) {
                return Ok(event);
            }
            self.passed.push(event);
        }
    }

    /// Everything of this kind that was said and not taken yet.
    pub fn take(&mut self, kind: &str) -> Vec<Value> {
        self.passed.extend(self.events.try_iter());
        let (taken, rest) = self.passed.drain(..).partition(|event| event["event"] == kind);
        self.passed = rest;
        taken
    }

    /// Panics if such an event has come.
    pub fn never(&mut self, kind: &str, mut matches: impl FnMut(&Value) -> bool) {
        self.passed.extend(self.events.try_iter());
        let found = self.passed.iter().find(|event| event["event"] == kind && matches(event));
        assert!(found.is_none(), "{found:?}");
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
