//! Three brokers, which lead and follow each other. Each can be reached directly, and by a proxy that spoils the network.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use serde_json::json;

use super::eventually;
use super::kafka::{Kafka, Node, free_port};
use super::toxiproxy::Toxiproxy;

/// How many brokers there are; their ids are 1, 2 and 3.
pub const BROKERS: i32 = 3;

/// The cluster. Topics have three replicas, and want two in sync.
pub struct Cluster {
    clients: Kafka,
    /// The nodes, by id. Whatever happens to them, clients see the cluster.
    nodes: RefCell<BTreeMap<i32, Kafka>>,
    proxied: String,
    proxy: Toxiproxy,
}

/// A partition as its cluster sees it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Led {
    pub leader: i32,
    pub in_sync: usize,
}

// === impl Cluster ===

impl Cluster {
    /// The cluster that the tests of one binary share, for one of them at a time: all are run one after another.
    pub fn shared() -> MutexGuard<'static, Self> {
        static SHARED: OnceLock<Mutex<Cluster>> = OnceLock::new();
        SHARED.get_or_init(|| Mutex::new(Self::start())).lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start() -> Self {
        let ports: Vec<[u16; 4]> =
            (0..BROKERS).map(|_| [free_port(), free_port(), free_port(), free_port()]).collect();
        let listed = |at: usize| {
            ports.iter().map(|ports| format!("127.0.0.1:{}", ports[at])).collect::<Vec<_>>().join(",")
        };
        let voters: Vec<String> = (1..=BROKERS)
            .zip(&ports)
            .map(|(id, [_, controller, ..])| format!("{id}@127.0.0.1:{controller}"))
            .collect();
        let (voters, bootstrap, proxied) = (voters.join(","), listed(0), listed(3));
        let nodes: RefCell<BTreeMap<i32, Kafka>> = std::thread::scope(|scope| {
            let formatting: Vec<_> = (1..=BROKERS)
                .zip(&ports)
                .map(|(id, [port, controller_port, inner, outer])| {
                    let properties = format!(
                        "node.id={id}\n\
                         listeners=PLAINTEXT://127.0.0.1:{port},PROXIED://127.0.0.1:{inner},CONTROLLER://127.0.0.1:{controller_port}\n\
                         advertised.listeners=PLAINTEXT://127.0.0.1:{port},PROXIED://127.0.0.1:{outer}\n\
                         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
                         inter.broker.listener.name=PLAINTEXT\n\
                         controller.quorum.bootstrap.servers=\n\
                         controller.quorum.voters={voters}\n\
                         {FAILOVER}"
                    );
                    let bootstrap = Some(bootstrap.clone());
                    scope.spawn(move || {
                        Kafka::node(&Node {
                            port: *port,
                            controller_port: *controller_port,
                            properties: &properties,
                            format: &[],
                            bootstrap,
                            replication: BROKERS,
                        })
                    })
                })
                .collect();
            let made = formatting.into_iter().map(|node| node.join().expect("a node is made"));
            RefCell::new((1..=BROKERS).zip(made).collect())
        });
        let behind: Vec<_> = ports.iter().map(|[_, _, inner, outer]| (*outer, *inner)).collect();
        let clients = Kafka::of_cluster(bootstrap, BROKERS);
        let cluster = Self { clients, nodes, proxied, proxy: Toxiproxy::start(&behind) };
        cluster.nodes.borrow_mut().values_mut().for_each(Kafka::launch_only);
        let probe: BaseConsumer = cluster.clients.config().create().expect("a client");
        eventually(Duration::from_mins(1), "all brokers are there", || {
            let metadata = probe.fetch_metadata(None, Duration::from_secs(1));
            metadata.is_ok_and(|metadata| metadata.brokers().len() == ports.len())
        });
        cluster
    }

    /// What plain clients and tools are told: all brokers.
    pub fn kafka(&self) -> &Kafka {
        &self.clients
    }

    /// `bootstrap.servers` of those who go through the proxy: they get to know no other address.
    pub fn proxied(&self) -> String {
        self.proxied.clone()
    }

    /// The proxy. Its broker of index n has the id n + 1.
    pub fn proxy(&self) -> &Toxiproxy {
        &self.proxy
    }

    fn with_node<T>(&self, id: i32, what: impl FnOnce(&mut Kafka) -> T) -> T {
        what(self.nodes.borrow_mut().get_mut(&id).expect("a broker has this id"))
    }

    /// SIGKILL to a broker.
    pub fn kill(&self, id: i32) {
        self.with_node(id, Kafka::kill);
    }

    /// SIGSTOP to a broker.
    pub fn freeze(&self, id: i32) {
        self.with_node(id, |node| node.freeze());
    }

    /// SIGCONT to a broker.
    pub fn thaw(&self, id: i32) {
        self.with_node(id, |node| node.thaw());
    }

    /// Starts a broker that was killed, and waits until all of `topic` is replicated to it.
    pub fn launch(&self, id: i32, topic: &str) {
        self.with_node(id, Kafka::launch_only);
        self.wait_until_replicated(topic);
    }

    /// Waits until every replica of `topic` is in sync.
    pub fn wait_until_replicated(&self, topic: &str) {
        eventually(Duration::from_mins(1), "all replicas are in sync", || {
            self.led(topic).iter().all(|led| led.leader >= 0 && led.in_sync == self.nodes.borrow().len())
        });
    }

    /// Who leads the partitions of `topic`.
    pub fn led(&self, topic: &str) -> Vec<Led> {
        let probe: BaseConsumer = self.kafka().config().create().expect("a client");
        let metadata = probe.fetch_metadata(Some(topic), Duration::from_secs(20)).expect("Kafka answers");
        let partitions = metadata.topics().first().expect("the topic").partitions();
        partitions.iter().map(|p| Led { leader: p.leader(), in_sync: p.isr().len() }).collect()
    }

    /// Puts the replicas of `topic` on these brokers, a list for each partition, and has the first of each lead.
    pub fn reassign(&self, topic: &str, replicas: &[Vec<i32>]) {
        let (kafka, file) = (self.kafka(), self.kafka().dir().join("reassign.json"));
        let partitions: Vec<_> = replicas
            .iter()
            .enumerate()
            .map(|(p, replicas)| json!({ "topic": topic, "partition": p, "replicas": replicas }))
            .collect();
        std::fs::write(&file, json!({ "version": 1, "partitions": partitions }).to_string())
            .expect("a plan is written");
        let (bootstrap, file) = (kafka.bootstrap(), file.to_str().expect("UTF-8").to_owned());
        let at = ["--bootstrap-server", &bootstrap];
        let plan = ["--reassignment-json-file", &file, "--execute"];
        kafka.tool("org.apache.kafka.tools.reassign.ReassignPartitionsCommand", &[&at[..], &plan].concat());
        let settled = |led: &[Led]| led.iter().zip(replicas).all(|(led, wanted)| led.in_sync == wanted.len());
        eventually(Duration::from_mins(1), "the replicas are where they should be", || {
            settled(&self.led(topic))
        });
        let elect = ["--election-type", "preferred", "--all-topic-partitions"];
        kafka.tool("org.apache.kafka.tools.LeaderElectionCommand", &[&at[..], &elect].concat());
        eventually(Duration::from_mins(1), "the first of the replicas leads", || {
            self.led(topic).iter().zip(replicas).all(|(led, wanted)| Some(&led.leader) == wanted.first())
        });
    }
}

/// A broker that is killed is missed within seconds.
const FAILOVER: &str = "\
default.replication.factor=3
min.insync.replicas=2
offsets.topic.replication.factor=3
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
replica.lag.time.max.ms=3000
controller.quorum.fetch.timeout.ms=1000
controller.quorum.election.timeout.ms=500
replica.fetch.wait.max.ms=100
replica.fetch.backoff.ms=100
";
