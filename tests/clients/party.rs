//! A client that takes part in the scenario, and what became of each step.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::{Client, Step};
use crate::support::driver::Driver;

/// How long a step may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// What is said: letters of two, three and four bytes, and what JSON has to escape.
pub const TEXT: &str = "Grüße, 世界 🚀 \"quoted\" \\ ¡Olé!";

pub struct Party {
    pub client: Client,
    pub version: String,
    /// `None` when it can't even begin.
    pub driver: Option<Driver>,
    results: BTreeMap<Step, Result<(), String>>,
}

// === impl Party ===

impl Party {
    pub fn new(client: Client, url: &str) -> Self {
        let driver = (client.start)(url, client.transport);
        Self { client, version: String::new(), driver: Some(driver), results: BTreeMap::new() }
    }

    /// Keeps what became of a step.
    pub fn note(&mut self, step: Step, result: Result<(), String>) {
        if let Err(why) = &result {
            eprintln!("{}: {step}: {why}", self.client);
        }
        self.results.insert(step, result);
    }

    fn driver(&mut self) -> Result<&mut Driver, String> {
        self.driver.as_mut().ok_or_else(|| "it did not come this far".to_owned())
    }

    pub fn tell(&mut self, command: &Value) {
        if let Some(driver) = &mut self.driver {
            driver.tell(command);
        }
    }

    /// Waits for an event, and for that to be good news where it is news of success.
    pub fn wait(
        &mut self,
        kind: &str,
        end: Instant,
        matches: impl FnMut(&Value) -> bool,
    ) -> Result<Value, String> {
        let event = self.driver()?.wait(kind, end, matches)?;
        if event["successful"] == false { Err(event.to_string()) } else { Ok(event) }
    }

    /// An event with these contents.
    pub fn hear(&mut self, end: Instant, channel: &str, data: &Value) -> Result<(), String> {
        self.wait("message", end, |event| event["channel"] == channel && event["data"] == *data).map(drop)
    }

    pub fn greet(&mut self, end: Instant) -> Result<(), String> {
        let ready = self.driver()?.wait("ready", end, |_| true)?;
        ready["version"]
            .as_str()
            .ok_or("a driver says which version it drives")?
            .clone_into(&mut self.version);
        // It may be refused at first, and told to try another transport.
        let reply = self.driver()?.wait("handshake", end, |reply| reply["successful"] == true)?;
        if self.client.extensions == "ack" && reply["ext"]["ack"] != true {
            return Err(format!("events are not acknowledged: {reply}"));
        }
        Ok(())
    }

    pub fn subscribe(&mut self, channel: &str, end: Instant) -> Result<(), String> {
        self.tell(&json!({ "do": "subscribe", "channel": channel }));
        self.wait("subscribe", end, |_| true).map(drop)
    }

    /// Another driver in the place of this one, with a session and a subscription: so one step does not spoil those after it.
    pub fn renew(&mut self, url: &str, channel: &str) {
        let end = Instant::now() + PATIENCE;
        self.driver = Some((self.client.start)(url, self.client.transport));
        if self.greet(end).and_then(|()| self.subscribe(channel, end)).is_err() {
            self.driver = None;
        }
    }

    /// Whether a step was taken and worked.
    pub fn took(&self, step: Step) -> bool {
        self.results.get(&step).is_some_and(Result::is_ok)
    }

    /// What is not as it is known to be.
    pub fn surprises(&self) -> Vec<String> {
        let mut surprises = Vec::new();
        for step in Step::ALL {
            let result = self.results.get(&step);
            let surprise = match (result, self.client.known(step)) {
                (Some(Err(why)), None) => why.clone(),
                (Some(Ok(())), Some(fault)) if fault.always => {
                    format!("works; this known fault is gone: {}", fault.what)
                }
                (None, _) if self.client.takes(step) => "was not tried".to_owned(),
                _ => continue,
            };
            surprises.push(format!("{}: {step}: {surprise}", self.client));
        }
        surprises
    }
}
