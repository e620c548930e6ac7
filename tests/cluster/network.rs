//! Slow, narrow, silent and broken networks between the gateway and all brokers, or one of them.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::numbers::{Outcome, PARTITIONS, Progress, is_typed, stream};
use crate::support::bayeux::{BOTH, Client, Transport};
use crate::support::cluster::Cluster;
use crate::support::gateway::{Gateway, IMPATIENT, Setup, keyed};
use crate::support::toxiproxy::Toxic;
use crate::support::unique;

/// How long a stream may take to go on after a network is well again, or under one that is bad but works.
const SOON: Duration = Duration::from_secs(15);
/// The time-outs of [`IMPATIENT`].
const PUBLISH: Duration = Duration::from_secs(3);
const SUBSCRIBE: Duration = Duration::from_secs(2);
/// How much later than its time-out an error may come: librdkafka looks once a second, and the machine is busy.
const GRACE: Duration = Duration::from_millis(2500);

/// Heals the proxy, whatever became of the test.
struct Healing<'c>(&'c Cluster);

impl Drop for Healing<'_> {
    fn drop(&mut self) {
        self.0.proxy().heal();
    }
}

/// A stream through the proxy while `meanwhile` happens, after which the network is well again.
fn through_the_proxy(
    cluster: &Cluster,
    stem: &str,
    settings: &str,
    meanwhile: impl FnOnce(&Gateway, &str, &Progress),
) -> Outcome {
    let topic = unique(stem);
    cluster.kafka().create_topic(&topic, PARTITIONS);
    cluster.wait_until_replicated(&topic);
    let gateway = Gateway::with(&Setup { kafka: cluster.proxied(), routes: &keyed(&topic), settings });
    stream(&gateway, cluster.kafka(), &topic, |progress| {
        let healing = Healing(cluster);
        progress.goes_on(SOON);
        meanwhile(&gateway, &topic, progress);
        drop(healing);
        progress.goes_on(SOON);
    })
}

#[test]
fn half_a_second_each_way_delays_and_loses_nothing() {
    let cluster = Cluster::shared();
    let outcome = through_the_proxy(&cluster, "late", "", |_, _, progress| {
        cluster.proxy().spoil_all(Toxic::Latency(Duration::from_millis(500)));
        progress.goes_on(SOON);
    });
    assert_eq!(outcome.failed, Vec::<String>::new(), "publishes are only late");
    assert!(outcome.longest_gap < Duration::from_secs(5), "{:?}", outcome.longest_gap);
}

#[test]
fn a_network_narrower_than_the_stream_delays_and_loses_nothing() {
    let cluster = Cluster::shared();
    let outcome = through_the_proxy(&cluster, "narrow", "", |_, _, progress| {
        cluster.proxy().spoil_all(Toxic::Bandwidth(10));
        progress.goes_on(SOON);
        progress.goes_on(SOON);
    });
    assert_eq!(outcome.failed, Vec::<String>::new(), "publishes are only late");
}

#[test]
fn connections_that_are_reset_again_and_again_lose_nothing() {
    let cluster = Cluster::shared();
    let outcome = through_the_proxy(&cluster, "reset", "", |gateway, _, progress| {
        let broken = || gateway.log().contains("Disconnected");
        assert!(!broken(), "all was well before");
        for _ in 0..3 {
            cluster.proxy().spoil_all(Toxic::Reset);
            cluster.proxy().heal();
            progress.goes_on(SOON);
        }
        assert!(broken(), "connections broke");
    });
    assert_eq!(outcome.failed, Vec::<String>::new(), "publishes are sent again by the producer");
}

#[test]
fn while_connections_hang_errors_come_in_time_and_nothing_is_lost() {
    let cluster = Cluster::shared();
    let outcome = through_the_proxy(&cluster, "silent", IMPATIENT, |gateway, topic, _| {
        cluster.proxy().spoil_all(Toxic::Silence);
        for transport in BOTH {
            let mut client = Client::open(gateway.addr(), transport);
            let channel = format!("/{topic}/new");
            let asked = Instant::now();
            let reply = client.publish(&channel, &json!(0));
            assert!(asked.elapsed() < PUBLISH + GRACE, "{:?}: {reply}", asked.elapsed());
            assert_eq!(reply["successful"], false, "{reply}");
            assert!(is_typed(reply["error"].as_str().unwrap()), "{reply}");
            let asked = Instant::now();
            let reply = client.subscribe(&channel);
            assert!(asked.elapsed() < SUBSCRIBE + GRACE, "{:?}: {reply}", asked.elapsed());
            let error = reply["error"].as_str().expect("the subscribe fails");
            assert!(error.starts_with(&format!("504:{channel}:kafka_unavailable")), "{reply}");
            assert!(gateway.ready(), "a network does not take the gateway out of service");
        }
    });
    assert!(outcome.failed.iter().all(|error| is_typed(error)), "{:?}", outcome.failed);
}

#[test]
fn one_broker_out_of_reach_holds_up_only_what_it_leads() {
    let cluster = Cluster::shared();
    let outcome = through_the_proxy(&cluster, "partly", "publish: { timeout: 3s }", |gateway, topic, _| {
        let led = cluster.led(topic);
        let silent = led[0].leader;
        let other = led.iter().position(|led| led.leader != silent).expect("others lead, too");
        cluster.proxy().spoil(usize::try_from(silent - 1).unwrap(), Toxic::Silence);
        let mut client = Client::open(gateway.addr(), Transport::WebSocket);
        for _ in 0..5 {
            let channel = format!("/{topic}/p{other}");
            let reply = client.subscribe(&channel);
            assert_eq!(reply["successful"], true, "{reply}");
            for _ in 0..20 {
                client.expect_event();
            }
            assert_eq!(client.unsubscribe(&channel)["successful"], true);
        }
    });
    assert!(outcome.failed.iter().all(|error| is_typed(error)), "{:?}", outcome.failed);
}
