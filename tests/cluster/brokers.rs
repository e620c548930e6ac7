//! Brokers die, hang and hand over what they lead.

use std::time::Duration;

use crate::numbers::{PARTITIONS, is_typed, stream};
use crate::support::cluster::{BROKERS, Cluster};
use crate::support::gateway::{Gateway, keyed};
use crate::support::unique;

/// How long a stream may take to go on after a broker is gone: until the cluster notices, and then the clients.
const FAILOVER: Duration = Duration::from_secs(20);

/// How long it may take if the broker is not gone but hangs: until the cluster notices, and librdkafka gives up what it asked for
/// (`socket.timeout.ms`), most of it at the same time.
const HANGING: Duration = Duration::from_secs(25);

#[test]
fn a_broker_is_killed_and_comes_back_and_no_record_is_lost_or_doubled() {
    let cluster = Cluster::shared();
    let topic = unique("killed");
    cluster.kafka().create_topic(&topic, PARTITIONS);
    cluster.wait_until_replicated(&topic);
    let gateway = Gateway::start(cluster.kafka(), &keyed(&topic));
    let victim = cluster.led(&topic)[0].leader;
    let outcome = stream(&gateway, cluster.kafka(), &topic, |progress| {
        progress.goes_on(FAILOVER);
        cluster.kill(victim);
        progress.goes_on(FAILOVER);
        cluster.launch(victim, &topic);
        progress.goes_on(FAILOVER);
    });
    assert!(outcome.longest_gap < FAILOVER, "reading went on after {:?}", outcome.longest_gap);
}

#[test]
fn leaders_move_in_the_middle_and_no_record_is_lost_or_doubled() {
    let cluster = Cluster::shared();
    let topic = unique("moved");
    cluster.kafka().create_topic(&topic, PARTITIONS);
    let gateway = Gateway::start(cluster.kafka(), &keyed(&topic));
    let on = |turn: i32| -> Vec<Vec<i32>> {
        let broker = |n: i32| n.rem_euclid(BROKERS) + 1;
        (0..PARTITIONS).map(|p| vec![broker(p + turn), broker(p + turn + 1)]).collect()
    };
    let outcome = stream(&gateway, cluster.kafka(), &topic, |progress| {
        for turn in 0..BROKERS {
            progress.goes_on(FAILOVER);
            // Each partition leaves one of the brokers altogether.
            cluster.reassign(&topic, &on(turn));
        }
        progress.goes_on(FAILOVER);
    });
    assert_eq!(outcome.failed, Vec::<String>::new(), "publishes wait for the new leader");
    assert!(outcome.longest_gap < Duration::from_secs(5), "reading went on after {:?}", outcome.longest_gap);
}

#[test]
fn a_broker_that_hangs_is_left_for_the_new_leader() {
    let cluster = Cluster::shared();
    let topic = unique("hung");
    cluster.kafka().create_topic(&topic, PARTITIONS);
    cluster.wait_until_replicated(&topic);
    let gateway = Gateway::start(cluster.kafka(), &keyed(&topic));
    let victim = cluster.led(&topic)[0].leader;
    let outcome = stream(&gateway, cluster.kafka(), &topic, |progress| {
        progress.goes_on(FAILOVER);
        // Its connections stay, and nothing comes over them. The cluster gives its partitions to others.
        cluster.freeze(victim);
        progress.goes_on(HANGING);
        cluster.thaw(victim);
        cluster.wait_until_replicated(&topic);
        progress.goes_on(FAILOVER);
    });
    assert!(outcome.failed.iter().all(|error| is_typed(error)), "{:?}", outcome.failed);
    assert!(outcome.longest_gap < HANGING, "reading went on after {:?}", outcome.longest_gap);
}
