//! Random interleavings against a naive model: who subscribed when, and what was in the log by then.

use std::collections::HashSet;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::rig::*;
use crate::bayeux::Channel;
use crate::hub::{HttpId, Input, Settings, SocketKey, SubscribeTicket};

const CHANNELS: [&str; 5] = ["/a", "/b", "/a/x", "/a/y", "/a/x/z"];
const PATTERNS: [&str; 7] = ["/a", "/a/x", "/a/*", "/a/**", "/b", "/*", "/**"];
const CLIENTS: usize = 3;
const PARTITIONS: usize = 2;

#[derive(Clone, Debug)]
enum Action {
    /// A record is written to a partition.
    Append(usize, usize),
    /// The reader hands on that many more records of a partition.
    Deliver(usize, usize),
    Subscribe(usize, usize),
    Unsubscribe(usize, usize),
    /// Kafka answers one of the subscribes: with the ends of when it was asked, or of now.
    Answer(prop::sample::Index, bool),
    Refuse(prop::sample::Index),
    /// A client polls, even if its poll before is not over.
    Poll(usize),
    /// A response is read by its client, or lost.
    Taken(prop::sample::Index),
    Lost(prop::sample::Index),
    /// A client opens another socket and connects there; or sends a connect on the socket that it opened first.
    Socket(usize),
    Connect(usize),
    /// A socket takes so many more bytes; as many as there are; or breaks.
    Narrow(prop::sample::Index, usize),
    Widen(prop::sample::Index),
    Break(prop::sample::Index),
    /// A client disconnects, or is forgotten, and begins anew.
    Restart(usize, bool),
    Publish(usize),
    Produced,
    Wait(u64),
}

/// A subscription as the model knows it.
struct Sub {
    pattern: &'static str,
    ticket: SubscribeTicket,
    /// The ends of the partitions when it was asked for.
    asked: [usize; PARTITIONS],
    start: Option<[usize; PARTITIONS]>,
    alive: bool,
}

/// A record that matched something when it was delivered.
struct Expected {
    partition: usize,
    offset: usize,
    /// Which of the client's subscriptions matched.
    by: Vec<usize>,
    /// Whether one of them was sure to want it then.
    sure: bool,
}

#[derive(Default)]
struct Client {
    id: String,
    sockets: Vec<SocketKey>,
    subs: Vec<Sub>,
    expected: Vec<Expected>,
    received: Vec<(usize, usize)>,
}

struct World {
    rig: Rig,
    clients: Vec<Client>,
    /// Channels of the records of each partition.
    log: [Vec<&'static str>; PARTITIONS],
    delivered: [usize; PARTITIONS],
    known: HashSet<SubscribeTicket>,
    /// Connects under way, and whose they are.
    polls: Vec<(usize, HttpId)>,
    /// Responses to them that are neither taken nor lost.
    open: Vec<(usize, HttpId, Vec<Value>)>,
    others: Vec<HttpId>,
}

impl World {
    fn new() -> Self {
        let day = Duration::from_hours(24);
        let rig = Rig::with(Settings { max_interval: day, queue_bytes: 1 << 20, ..settings() });
        let mut world = Self {
            rig,
            clients: Vec::new(),
            log: [Vec::new(), Vec::new()],
            delivered: [0; PARTITIONS],
            known: HashSet::new(),
            polls: Vec::new(),
            open: Vec::new(),
            others: Vec::new(),
        };
        for _ in 0..CLIENTS {
            let id = world.rig.poller();
            world.clients.push(Client { id, ..Client::default() });
        }
        world.rig.takes = false;
        world
    }

    fn ends(&self) -> [usize; PARTITIONS] {
        [self.log[0].len(), self.log[1].len()]
    }

    fn act(&mut self, action: &Action) {
        match action {
            Action::Append(partition, channel) => self.log[*partition].push(CHANNELS[*channel]),
            Action::Deliver(partition, count) => self.deliver(*partition, *count),
            Action::Subscribe(client, pattern) => {
                let request = subscribe(&self.clients[*client].id, &json!(PATTERNS[*pattern]));
                self.post(&request);
            }
            Action::Unsubscribe(client, pattern) => {
                // Otherwise it would wait for its turn.
                if self.clients[*client].subs.iter().all(|sub| !sub.alive || sub.start.is_some()) {
                    let request = unsubscribe(&self.clients[*client].id, &json!(PATTERNS[*pattern]));
                    self.post(&request);
                    for sub in &mut self.clients[*client].subs {
                        sub.alive &= sub.pattern != PATTERNS[*pattern];
                    }
                }
            }
            Action::Answer(which, late) => self.answer(which.index(self.rig.asked.len().max(1)), Some(*late)),
            Action::Refuse(which) => self.answer(which.index(self.rig.asked.len().max(1)), None),
            Action::Poll(client) => {
                let http = self.rig.post(&connect(&self.clients[*client].id));
                self.polls.push((*client, http));
            }
            Action::Taken(which) => {
                if let Some((client, http, body)) = pick(&mut self.open, *which) {
                    self.read(client, &body);
                    self.rig.tell(Input::Taken(http));
                }
            }
            Action::Lost(which) => {
                if let Some((_, http)) = pick(&mut self.polls, *which) {
                    self.rig.tell(Input::Lost(http));
                } else if let Some((_, http, _)) = pick(&mut self.open, *which) {
                    self.rig.tell(Input::Lost(http));
                }
            }
            Action::Socket(client) => {
                let socket = self.rig.open();
                self.clients[*client].sockets.push(socket);
                self.rig.send(socket, &connect(&self.clients[*client].id));
            }
            Action::Connect(client) => {
                if let Some(socket) = self.clients[*client].sockets.first().copied() {
                    self.rig.send(socket, &connect(&self.clients[*client].id));
                }
            }
            Action::Narrow(which, room) => {
                if let Some((_, socket)) = self.socket(*which) {
                    self.rig.narrow(socket, Some(*room));
                }
            }
            Action::Widen(which) => {
                if let Some((_, socket)) = self.socket(*which) {
                    self.rig.narrow(socket, None);
                }
            }
            Action::Break(which) => {
                if let Some((client, socket)) = self.socket(*which) {
                    self.break_socket(client, socket);
                }
            }
            Action::Restart(client, polite) => self.restart(*client, *polite),
            Action::Publish(client) => {
                let request = publish(&self.clients[*client].id, "p", "/a", &json!(1));
                self.post(&request);
            }
            Action::Produced => {
                if !self.rig.produced.is_empty() {
                    self.rig.produce(Ok(()));
                }
            }
            Action::Wait(ms) => self.rig.after(*ms),
        }
        self.look();
    }

    fn post(&mut self, request: &Value) {
        let http = self.rig.post(request);
        self.others.push(http);
    }

    fn socket(&self, which: prop::sample::Index) -> Option<(usize, SocketKey)> {
        let all: Vec<_> = (0..CLIENTS)
            .flat_map(|client| self.clients[client].sockets.iter().map(move |socket| (client, *socket)))
            .collect();
        (!all.is_empty()).then(|| all[which.index(all.len())])
    }

    fn break_socket(&mut self, client: usize, socket: SocketKey) {
        self.clients[client].sockets.retain(|it| *it != socket);
        self.rig.closed.retain(|it| it.socket != socket);
        self.rig.lose(socket);
    }

    /// What the shard asked for and answered meanwhile.
    fn look(&mut self) {
        let ends = self.ends();
        for (ticket, name) in &self.rig.asked {
            // One whose session is gone already is nobody's.
            let Some(asked) = self.rig.shard.subscriptions.get(*ticket) else { continue };
            if self.known.insert(*ticket) {
                let id = &self.rig.shard.sessions.get(asked.session).unwrap().client_id;
                let Some(client) = self.clients.iter_mut().find(|client| *client.id == **id) else {
                    continue;
                };
                let pattern = PATTERNS.into_iter().find(|it| *it == name.as_str()).unwrap();
                client.subs.push(Sub { pattern, ticket: *ticket, asked: ends, start: None, alive: true });
            }
        }
        for (client, http) in std::mem::take(&mut self.polls) {
            match self.rig.response(http) {
                Some(body) => {
                    assert!(!body.is_empty());
                    self.open.push((client, http, body));
                }
                None => self.polls.push((client, http)),
            }
        }
        for http in std::mem::take(&mut self.others) {
            match self.rig.response(http) {
                Some(body) => {
                    assert!(events(&body).is_empty());
                    self.rig.tell(Input::Taken(http));
                }
                None => self.others.push(http),
            }
        }
        for client in 0..CLIENTS {
            for socket in self.clients[client].sockets.clone() {
                let messages = self.rig.received(socket);
                self.read(client, &messages);
            }
        }
    }

    fn read(&mut self, client: usize, messages: &[Value]) {
        for number in numbers(messages) {
            let number = usize::try_from(number).unwrap();
            self.clients[client].received.push((number / 1_000_000, number % 1_000_000));
        }
    }

    fn deliver(&mut self, partition: usize, count: usize) {
        let from = self.delivered[partition];
        let to = (from + count).min(self.log[partition].len());
        self.delivered[partition] = to;
        let mut values = Vec::new();
        for offset in from..to {
            let name = self.log[partition][offset];
            let channel = Channel::parse(name).unwrap();
            for client in &mut self.clients {
                let matching = |sub: &Sub| sub.alive && pattern(sub.pattern).matches(&channel);
                let by: Vec<_> =
                    (0..client.subs.len()).filter(|index| matching(&client.subs[*index])).collect();
                let asks = client.subs.iter().any(|sub| sub.alive && sub.start.is_none());
                let wants =
                    |index: &usize| client.subs[*index].start.is_some_and(|start| start[partition] <= offset);
                let sure = !asks && by.iter().any(wants);
                client.expected.push(Expected { partition, offset, by, sure });
            }
            values.push((name, offset, (partition * 1_000_000 + offset).to_string()));
        }
        let records: Vec<_> = values
            .iter()
            .map(|(name, offset, value)| {
                (*name, i32::try_from(partition).unwrap(), i64::try_from(*offset).unwrap(), value.as_str())
            })
            .collect();
        self.rig.values(&records);
    }

    fn answer(&mut self, chosen: usize, late: Option<bool>) {
        if self.rig.asked.is_empty() {
            return;
        }
        self.rig.asked.swap(0, chosen);
        let ticket = self.rig.asked[0].0;
        let ends = self.ends();
        let sub = self.clients.iter_mut().flat_map(|it| &mut it.subs).find(|sub| sub.ticket == ticket);
        let Some(late) = late else {
            if let Some(sub) = sub {
                sub.alive = false;
            }
            return self.rig.deny();
        };
        let start = sub.as_ref().filter(|_| !late).map_or(ends, |sub| sub.asked);
        if let Some(sub) = sub {
            sub.start = Some(start);
        }
        let starts: Vec<_> =
            (0..).zip(start).map(|(partition, next)| (partition, i64::try_from(next).unwrap())).collect();
        self.rig.grant_from(&starts);
    }

    fn restart(&mut self, client: usize, polite: bool) {
        let before = std::mem::take(&mut self.clients[client]);
        if polite {
            self.post(&disconnect(&before.id));
        }
        for socket in before.sockets {
            self.rig.closed.retain(|it| it.socket != socket);
            self.rig.lose(socket);
        }
        for (_, http) in self.polls.extract_if(.., |(whose, _)| *whose == client) {
            // Their answers are of no interest.
            self.others.push(http);
        }
        for (_, http, _) in self.open.extract_if(.., |(whose, ..)| *whose == client) {
            self.rig.tell(Input::Lost(http));
        }
        for http in std::mem::take(&mut self.others) {
            let body = self.rig.response(http);
            let input = if body.is_some() { Input::Taken(http) } else { Input::Lost(http) };
            self.rig.tell(input);
        }
        self.rig.takes = true;
        self.clients[client].id = self.rig.poller();
        self.rig.takes = false;
    }

    /// Lets everything arrive, and compares.
    fn check(mut self) {
        while !self.rig.asked.is_empty() {
            self.answer(0, Some(true));
            self.look();
        }
        for partition in 0..PARTITIONS {
            self.deliver(partition, usize::MAX / 2);
            self.look();
        }
        for client in 0..CLIENTS {
            for socket in self.clients[client].sockets.clone() {
                self.break_socket(client, socket);
                self.look();
            }
        }
        // Two responses at most are under way for a session: one in doubt, one that waits for that.
        while let Some((client, http, body)) = self.open.pop() {
            self.read(client, &body);
            self.rig.tell(Input::Taken(http));
            self.look();
        }
        self.rig.takes = true;
        for client in 0..CLIENTS {
            loop {
                let body = self.rig.call(&connect_for(&self.clients[client].id.clone(), 0));
                let more = body.len() > 1;
                self.read(client, &body);
                if !more {
                    break;
                }
                self.rig.after(1_000);
            }
            self.look();
        }
        for client in &self.clients {
            compare(client);
        }
        self.rig.end();
    }
}

fn pick<T>(all: &mut Vec<T>, which: prop::sample::Index) -> Option<T> {
    (!all.is_empty()).then(|| all.remove(which.index(all.len())))
}

fn compare(client: &Client) {
    for partition in 0..PARTITIONS {
        let of = client.received.iter().filter(|(it, _)| *it == partition).map(|(_, offset)| *offset);
        let offsets: Vec<_> = of.collect();
        assert!(offsets.is_sorted_by(|a, b| a < b), "out of order, or twice: {offsets:?}");
    }
    let received: HashSet<_> = client.received.iter().copied().collect();
    for Expected { partition, offset, by, sure } in &client.expected {
        let subs = || by.iter().map(|index| &client.subs[*index]);
        let wants = |sub: &Sub| sub.start.is_some_and(|start| start[*partition] <= *offset);
        let got = received.contains(&(*partition, *offset));
        let place = format!("{partition}/{offset}");
        assert!(got || !sure, "{place} is missing");
        assert!(got || !subs().any(|sub| sub.alive && wants(sub)), "{place} is missing");
        assert!(!got || subs().any(wants), "{place} is not for this client");
    }
}

fn action() -> impl Strategy<Value = Action> {
    let client = 0..CLIENTS;
    let index = any::<prop::sample::Index>;
    prop_oneof![
        6 => (0..PARTITIONS, 0..CHANNELS.len()).prop_map(|(p, c)| Action::Append(p, c)),
        6 => (0..PARTITIONS, 1usize..4).prop_map(|(p, n)| Action::Deliver(p, n)),
        4 => (client.clone(), 0..PATTERNS.len()).prop_map(|(s, p)| Action::Subscribe(s, p)),
        1 => (client.clone(), 0..PATTERNS.len()).prop_map(|(s, p)| Action::Unsubscribe(s, p)),
        3 => (index(), any::<bool>()).prop_map(|(which, late)| Action::Answer(which, late)),
        1 => index().prop_map(Action::Refuse),
        3 => client.clone().prop_map(Action::Poll),
        3 => index().prop_map(Action::Taken),
        1 => index().prop_map(Action::Lost),
        2 => client.clone().prop_map(Action::Socket),
        1 => client.clone().prop_map(Action::Connect),
        2 => (index(), 0usize..120).prop_map(|(which, room)| Action::Narrow(which, room)),
        1 => index().prop_map(Action::Widen),
        1 => index().prop_map(Action::Break),
        1 => (client.clone(), any::<bool>()).prop_map(|(s, polite)| Action::Restart(s, polite)),
        1 => client.prop_map(Action::Publish),
        1 => Just(Action::Produced),
        1 => prop_oneof![Just(10u64), Just(31_000)].prop_map(Action::Wait),
    ]
}

proptest! {
    /// Every record reaches each session that should have it, once and in order, whatever breaks; and nothing is left over.
    #[test]
    fn sessions_get_what_they_subscribed_to(actions in prop::collection::vec(action(), 1..120)) {
        let mut world = World::new();
        for action in &actions {
            world.act(action);
        }
        world.check();
    }
}
