//! What every client is put through, all of a group side by side with the same gateways.

use std::time::{Duration, Instant};

use serde_json::json;

use super::client::{Client, Step};
use super::party::{PATIENCE, Party, TEXT};
use super::table;
use crate::support::front::Front;
use crate::support::gateway::{Gateway, Setup, keyed};
use crate::support::kafka::Kafka;
use crate::support::records::{Writer, read_all};
use crate::support::{eventually, unique};

/// Clients may begin slowly.
const PATIENT: &str = "origins: [\"*\"]";
/// Sessions end soon.
const HASTY: &str = "origins: [\"*\"]\nbayeux: { timeout: 2s, max_interval: 2s }\ndrain: 8s";
/// No WebSocket.
const POLLING: &str = "origins: [\"*\"]\nbayeux: { transports: [long-polling] }";

/// How long clients with a known fault are watched after all others.
const DOUBTFUL: Duration = Duration::from_secs(2);

struct Group {
    parties: Vec<Party>,
    topic: String,
    writer: Writer,
    probes: u64,
}

/// Runs all steps with all clients, and compares with the table of `section` in `docs/clients.md`.
pub fn run(section: &str, clients: Vec<Client>) {
    let kafka = Kafka::shared();
    let topic = unique(section);
    kafka.create_topic(&topic, 2);
    let routes = keyed(&topic);
    let gateway = |settings| Gateway::with(&Setup { kafka: kafka.bootstrap(), routes: &routes, settings });

    let first = gateway(PATIENT);
    let front = Front::of(first.addr());
    let parties = clients.into_iter().map(|client| Party::new(client, &front.url())).collect();
    let mut group = Group { parties, topic, writer: Writer::new(kafka), probes: 0 };
    group.meet();
    group.talk(kafka);
    let sockets = group.parties.iter().filter(|party| party.client.transport == "websocket").count();
    let used = is(&first, "halley_websockets", sockets);

    front.down();
    drop(first);
    let mut second = gateway(HASTY);
    front.switch(second.addr());
    group.recover(Step::Restart, &front);

    front.hold(true);
    eventually(PATIENCE, "every session expires", || is(&second, "halley_sessions", 0));
    front.hold(false);
    group.recover(Step::Expiry, &front);

    let third = gateway(PATIENT);
    front.switch(third.addr());
    second.terminate();
    assert!(second.wait(Duration::from_secs(10)).success(), "it drains within its time");
    group.recover(Step::Drain, &front);

    group.leave();
    if group.all_left() {
        eventually(PATIENCE, "no session is left behind", || is(&third, "halley_sessions", 0));
    }
    group.fall_back(&gateway(POLLING));

    let mut surprises: Vec<_> = group.parties.iter().flat_map(Party::surprises).collect();
    if !used {
        surprises.push(format!("not {sockets} clients used a WebSocket"));
    }
    assert!(surprises.is_empty(), "\n{}\n", surprises.join("\n"));
    table::compare(section, &group.parties);
}

/// Whether a metric that counts whole things has this value.
fn is(gateway: &Gateway, metric: &str, value: usize) -> bool {
    let value = f64::from(u32::try_from(value).expect("few"));
    (gateway.metric(metric, &[]) - value).abs() < 0.1
}

// === impl Group ===

impl Group {
    /// The channel of one of them.
    fn channel(&self, name: impl std::fmt::Display) -> String {
        format!("/{}/{name}", self.topic)
    }

    /// Takes a step with all, first those that are thought to succeed.
    fn step(&mut self, step: Step, mut take: impl FnMut(usize, &mut Party, Instant) -> Result<(), String>) {
        let mut end = Instant::now() + PATIENCE;
        for doubtful in [false, true] {
            if doubtful {
                end = end.min(Instant::now() + DOUBTFUL);
            }
            for (n, party) in self.parties.iter_mut().enumerate() {
                if party.client.takes(step) && party.client.known(step).is_some() == doubtful {
                    let result = take(n, party, end);
                    party.note(step, result);
                }
            }
        }
    }

    /// Without a subscription nothing else can be seen.
    fn send_away_who_did_not(&mut self, step: Step) {
        for party in self.parties.iter_mut().filter(|party| !party.took(step)) {
            party.driver = None;
        }
    }

    fn meet(&mut self) {
        let all = self.channel('*');
        self.step(Step::Handshake, |_, party, end| party.greet(end));
        self.send_away_who_did_not(Step::Handshake);
        for party in &mut self.parties {
            party.tell(&json!({ "do": "subscribe", "channel": all }));
        }
        self.step(Step::Subscribe, |_, party, end| party.wait("subscribe", end, |_| true).map(drop));
        self.send_away_who_did_not(Step::Subscribe);
    }

    /// Everybody says something, and hears everybody and a producer that is no client.
    fn talk(&mut self, kafka: &Kafka) {
        let channels: Vec<_> = (0..self.parties.len()).map(|n| self.channel(n)).collect();
        let said = |n: usize| json!({ "from": n, "text": TEXT });
        for (n, party) in self.parties.iter_mut().enumerate().filter(|(_, it)| it.client.takes(Step::Publish))
        {
            party.tell(&json!({ "do": "publish", "channel": channels[n], "data": said(n) }));
        }
        self.step(Step::Publish, |n, party, end| {
            party.wait("publish", end, |_| true)?;
            party.hear(end, &channels[n], &said(n))
        });
        let speaks: Vec<_> = self.parties.iter().map(|party| party.took(Step::Publish)).collect();
        let producer = (self.channel("producer"), json!({ "text": TEXT, "price": 12.5 }));
        self.writer.put(&self.topic, "producer", &producer.1.to_string());
        self.step(Step::Receive, |n, party, end| {
            for other in (0..channels.len()).filter(|other| *other != n && speaks[*other]) {
                party.hear(end, &channels[other], &said(other))?;
            }
            party.hear(end, &producer.0, &producer.1)?;
            let again = party.driver.as_mut().map(|driver| driver.take("message")).unwrap_or_default();
            if again.is_empty() { Ok(()) } else { Err(format!("more than once: {again:?}")) }
        });
        let records = read_all(kafka, &self.topic);
        for (n, party) in self.parties.iter_mut().enumerate().filter(|(n, _)| speaks[*n]) {
            let of: Vec<_> = records.iter().filter(|record| record.key_text() == n.to_string()).collect();
            let good = of.len() == 1
                && serde_json::from_str::<serde_json::Value>(of[0].value_text()).ok() == Some(said(n));
            if !good && party.took(Step::Publish) {
                party.note(Step::Publish, Err(format!("in Kafka: {of:?}")));
            }
        }
    }

    /// Records are written until everybody has heard one of them. Who does not is started anew.
    fn recover(&mut self, step: Step, front: &Front) {
        const PACE: Duration = Duration::from_millis(100);
        let all = self.channel('*');
        let first = self.probes;
        let mut end = Instant::now() + PATIENCE;
        let mut doubtful = false;
        let mut pending: Vec<_> = self.parties.iter_mut().filter(|party| party.client.takes(step)).collect();
        while !pending.is_empty() && Instant::now() < end {
            let probe = json!({ "probe": self.probes }).to_string();
            self.writer.send(&self.topic, Some(b"probe"), Some(probe.as_bytes()));
            self.probes += 1;
            std::thread::sleep(PACE);
            pending.retain_mut(|party| {
                let heard = party.driver.as_mut().map(|driver| driver.take("message")).unwrap_or_default();
                let back = heard.iter().any(|event| event["data"]["probe"].as_u64() >= Some(first));
                if back {
                    party.note(step, Ok(()));
                }
                !back
            });
            if !doubtful && pending.iter().all(|party| party.client.known(step).is_some()) {
                doubtful = true;
                end = end.min(Instant::now() + DOUBTFUL);
            }
        }
        for party in pending {
            let said = party.driver.as_mut().map(|driver| driver.take("failed"));
            party.note(step, Err(format!("it gets no event any more; {said:?}")));
            party.renew(&front.url(), &all);
        }
    }

    /// Whether nobody was started anew at the last gateway, nor stayed there.
    fn all_left(&self) -> bool {
        self.parties.iter().all(|party| party.took(Step::Drain) && party.took(Step::Disconnect))
    }

    fn leave(&mut self) {
        for party in &mut self.parties {
            party.tell(&json!({ "do": "disconnect" }));
        }
        self.step(Step::Disconnect, |_, party, end| party.wait("disconnect", end, |_| true).map(drop));
        for party in &mut self.parties {
            party.driver = None;
        }
    }

    /// Those that know both transports find out that there is no WebSocket.
    fn fall_back(&mut self, gateway: &Gateway) {
        for party in self.parties.iter_mut().filter(|party| party.client.takes(Step::Fallback)) {
            party.driver = Some((party.client.start)(&gateway.url(), "any"));
        }
        let (channel, data) = (self.channel("fallback"), json!({ "text": TEXT }));
        self.step(Step::Fallback, |n, party, end| {
            let channel = format!("{channel}{n}");
            party.greet(end)?;
            party.subscribe(&channel, end)?;
            party.tell(&json!({ "do": "publish", "channel": channel, "data": data }));
            party.wait("publish", end, |_| true)?;
            party.hear(end, &channel, &data)?;
            party.tell(&json!({ "do": "disconnect" }));
            party.wait("disconnect", end, |_| true).map(drop)
        });
        // They were let in, and nobody connected where it could not.
        assert!(is(gateway, "halley_messages_refused_total", 0));
    }
}
