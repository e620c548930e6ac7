//! Clients that acknowledge, on networks that break: each sees every event once and in order, whatever is lost on the way.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::rig::*;
use crate::hub::{HttpId, Input, Settings, SocketKey};

const CLIENTS: usize = 2;

#[derive(Clone, Debug)]
enum Action {
    /// A record is written; a lazy one, perhaps.
    Record(bool),
    /// A client that waits for nothing sends its next connect: by HTTP, or on its socket or a new one; with a subscribe, perhaps.
    Connect(usize, Via, bool),
    /// A response is read.
    Arrive(usize),
    /// The request is lost, or its response is, and the client notices.
    Lose(usize),
    /// The client loses patience with a response that may be there already; its page is loaded again, perhaps with its socket
    /// open for a while.
    Abandon(usize),
    /// What became of a response that nobody waits for any more.
    Settle(prop::sample::Index, bool),
    /// A client's socket takes so many more bytes; as many as there are; or breaks.
    Narrow(usize, usize),
    Widen(usize),
    Break(usize),
    /// An abandoned socket is gone at last.
    Bury(prop::sample::Index),
    /// Kafka answers the subscribes.
    Grant,
    Wait(u64),
}

#[derive(Clone, Copy, Debug)]
enum Via {
    Http,
    Socket,
}

#[derive(Default)]
struct Client {
    id: String,
    /// The last batch that it has.
    batch: i64,
    /// The connect that it waits for: by HTTP, or on its socket.
    http: Option<HttpId>,
    on_socket: bool,
    socket: Option<SocketKey>,
    seen: Vec<i64>,
}

struct World {
    rig: Rig,
    clients: Vec<Client>,
    abandoned: Vec<HttpId>,
    graveyard: Vec<SocketKey>,
    written: i64,
    subscribed: usize,
}

impl World {
    fn new() -> Self {
        let day = Duration::from_hours(24);
        let mut rig = Rig::with(Settings {
            max_interval: day,
            queue_bytes: 1 << 20,
            max_subscriptions: 1000,
            ..settings()
        });
        let clients = (0..CLIENTS).map(|_| {
            let id = rig.acker();
            rig.subscribed(&id, "/a");
            Client { id, batch: 1, ..Client::default() }
        });
        let clients = clients.collect();
        rig.takes = false;
        Self { rig, clients, abandoned: Vec::new(), graveyard: Vec::new(), written: 0, subscribed: 0 }
    }

    fn act(&mut self, action: &Action) {
        match action {
            Action::Record(lazy) => {
                let record = [("/a", 0, self.written)];
                self.written += 1;
                if *lazy {
                    self.rig.lazily(Duration::from_secs(1), &record);
                } else {
                    self.rig.records(&record);
                }
            }
            Action::Connect(client, via, subscribes) => self.connect(*client, *via, *subscribes),
            Action::Arrive(client) => self.arrive(*client),
            Action::Lose(client) => {
                if let Some(http) = self.clients[*client].http.take() {
                    self.rig.response(http);
                    self.rig.tell(Input::Lost(http));
                }
            }
            Action::Abandon(client) => {
                let client = &mut self.clients[*client];
                self.abandoned.extend(client.http.take());
                self.graveyard.extend(client.socket.take());
                client.on_socket = false;
            }
            Action::Settle(which, arrived) => {
                if !self.abandoned.is_empty() {
                    let http = self.abandoned.remove(which.index(self.abandoned.len()));
                    let answered = self.rig.response(http).is_some();
                    let input = if *arrived && answered { Input::Taken(http) } else { Input::Lost(http) };
                    self.rig.tell(input);
                }
            }
            Action::Narrow(client, room) => {
                if let Some(socket) = self.clients[*client].socket {
                    self.rig.narrow(socket, Some(*room));
                }
            }
            Action::Widen(client) => {
                if let Some(socket) = self.clients[*client].socket {
                    self.rig.narrow(socket, None);
                }
            }
            Action::Break(client) => {
                self.look();
                self.clients[*client].on_socket = false;
                if let Some(socket) = self.clients[*client].socket.take() {
                    self.lose(socket);
                }
            }
            Action::Bury(which) => {
                if !self.graveyard.is_empty() {
                    let socket = self.graveyard.remove(which.index(self.graveyard.len()));
                    self.lose(socket);
                }
            }
            Action::Grant => self.rig.grant(),
            Action::Wait(ms) => self.rig.after(*ms),
        }
        self.look();
    }

    fn lose(&mut self, socket: SocketKey) {
        self.rig.closed.retain(|closed| closed.socket != socket);
        self.rig.lose(socket);
    }

    fn connect(&mut self, client: usize, via: Via, subscribes: bool) {
        if self.clients[client].http.is_some() || self.clients[client].on_socket {
            return;
        }
        let Client { id, batch, .. } = &self.clients[client];
        let mut request = connect_ack(id, *batch);
        if subscribes {
            self.subscribed += 1;
            let other = subscribe(id, &json!(format!("/other/{}", self.subscribed)));
            request = together(&[request, other]);
        }
        match via {
            Via::Http => self.clients[client].http = Some(self.rig.post(&request)),
            Via::Socket => {
                let socket = *self.clients[client].socket.get_or_insert_with(|| self.rig.open());
                self.clients[client].on_socket = true;
                self.rig.send(socket, &request);
            }
        }
    }

    fn arrive(&mut self, client: usize) {
        let Some(http) = self.clients[client].http else { return };
        if let Some(body) = self.rig.response(http) {
            self.clients[client].http = None;
            self.read(client, &body);
            self.rig.tell(Input::Taken(http));
        }
    }

    /// What came by the sockets that are listened to.
    fn look(&mut self) {
        for client in 0..CLIENTS {
            let Some(socket) = self.clients[client].socket else { continue };
            for frame in self.rig.frames(socket) {
                self.read(client, &frame);
            }
        }
    }

    fn read(&mut self, client: usize, messages: &[Value]) {
        let state = &mut self.clients[client];
        for message in messages {
            if let Some(number) = message.get("data") {
                assert_eq!(*number, json!(state.seen.len()), "out of order, lost or twice");
                state.seen.push(number.as_i64().unwrap());
            }
            if message["channel"] == "/meta/connect" {
                state.on_socket = false;
                if let Some(ext) = message.get("ext") {
                    state.batch = ext["ack"].as_i64().unwrap();
                }
            }
        }
    }

    /// The network is good from now on.
    fn check(mut self) {
        self.rig.grant();
        for client in 0..CLIENTS {
            self.act(&Action::Break(client));
            self.act(&Action::Lose(client));
        }
        while !self.abandoned.is_empty() {
            let http = self.abandoned.remove(0);
            self.rig.response(http);
            self.rig.tell(Input::Lost(http));
        }
        while let Some(socket) = self.graveyard.pop() {
            self.lose(socket);
        }
        for client in 0..CLIENTS {
            // The last one acknowledges the last but one, which brings what is left.
            for _ in 0..2 {
                self.rig.after(1_500);
                self.connect(client, Via::Http, true);
                self.rig.grant();
                self.arrive(client);
            }
            assert_eq!(self.clients[client].seen.len(), usize::try_from(self.written).unwrap(), "lost");
        }
        assert_eq!(self.rig.shard.queue_bytes(), 0);
        self.rig.end();
    }
}

fn action() -> impl Strategy<Value = Action> {
    let client = 0..CLIENTS;
    let via = || prop_oneof![3 => Just(Via::Http), 2 => Just(Via::Socket)];
    let index = any::<prop::sample::Index>;
    prop_oneof![
        6 => prop::bool::weighted(0.2).prop_map(Action::Record),
        8 => (client.clone(), via(), prop::bool::weighted(0.2)).prop_map(|(c, via, s)| Action::Connect(c, via, s)),
        6 => client.clone().prop_map(Action::Arrive),
        2 => client.clone().prop_map(Action::Lose),
        2 => client.clone().prop_map(Action::Abandon),
        2 => (index(), any::<bool>()).prop_map(|(which, arrived)| Action::Settle(which, arrived)),
        2 => (client.clone(), 0usize..200).prop_map(|(c, room)| Action::Narrow(c, room)),
        1 => client.clone().prop_map(Action::Widen),
        2 => client.prop_map(Action::Break),
        1 => index().prop_map(Action::Bury),
        2 => Just(Action::Grant),
        1 => prop_oneof![Just(10u64), Just(1_000), Just(31_000)].prop_map(Action::Wait),
    ]
}

proptest! {
    #[test]
    fn a_client_that_acknowledges_sees_every_event_once_and_in_order(
        actions in prop::collection::vec(action(), 1..150),
    ) {
        let mut world = World::new();
        for action in &actions {
            world.act(action);
        }
        world.check();
    }
}
