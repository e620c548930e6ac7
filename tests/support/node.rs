//! Scripts of `tests/clients/` in Node: one line of JSON each way per command and event.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::process;

/// A running script.
pub struct Node {
    child: Child,
    stdin: ChildStdin,
    events: mpsc::Receiver<Value>,
    /// Events that came while others were waited for.
    passed: Vec<Value>,
}

// === impl Node ===

impl Node {
    /// Starts `tests/clients/SCRIPT` with arguments.
    pub fn start(script: &str, args: &[&str]) -> Self {
        let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
        assert!(clients.join("node_modules").exists(), "npm clients are missing: run `scripts/need clients`");
        let mut command = process::command("node");
        command.arg(clients.join(script)).args(args).current_dir(clients);
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
                    Err(_) => eprintln!("node: {line}"),
                }
            }
        });
        Self { child, stdin, events, passed: Vec::new() }
    }

    /// Sends one command.
    pub fn tell(&mut self, command: &Value) {
        writeln!(self.stdin, "{command}").expect("the script reads");
    }

    /// The next event whose `event` is `kind` and that `matches`; others are kept for later.
    pub fn expect(&mut self, kind: &str, mut matches: impl FnMut(&Value) -> bool) -> Value {
        let mut good = |event: &Value| event["event"] == kind && matches(event);
        if let Some(found) = self.passed.iter().position(&mut good) {
            return self.passed.remove(found);
        }
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let event = self.events.recv_timeout(left).unwrap_or_else(|_| {
                panic!("the script does not say {kind:?}; it said {:?}", self.passed);
            });
            assert_ne!(event["event"], "failed", "{event}");
            if good(&event) {
                return event;
            }
            self.passed.push(event);
        }
    }

    /// Panics if such an event has come.
    pub fn never(&mut self, kind: &str, mut matches: impl FnMut(&Value) -> bool) {
        self.passed.extend(self.events.try_iter());
        let found = self.passed.iter().find(|event| event["event"] == kind && matches(event));
        assert!(found.is_none(), "{found:?}");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
