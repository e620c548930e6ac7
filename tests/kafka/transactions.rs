//! Records of transactions: none before the commit, none of an aborted one, and none lost that was open at the subscribe.

use std::time::Duration;

use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::json;

use crate::support::bayeux::{BOTH, Client};
use crate::support::gateway::Gateway;
use crate::support::kafka::Kafka;
use crate::support::unique;

const LIMIT: Duration = Duration::from_secs(20);
const QUIET: Duration = Duration::from_millis(500);

#[test]
fn what_is_committed_comes_and_what_is_aborted_does_not() {
    let kafka = Kafka::shared();
    let topic = unique("transactions");
    kafka.create_topic(&topic, 1);
    let routes = format!("routes: [{{ name: t, channel: '/t/{{k}}', topic: {topic}, key: '{{k}}' }}]");
    let gateway = Gateway::start(kafka, &routes);
    let producer: BaseProducer = kafka.config().set("transactional.id", &topic).create().expect("a producer");
    let write = |value: &str| {
        producer.send(BaseRecord::to(&topic).key("k").payload(value)).expect("room in the queue");
        producer.flush(LIMIT).expect("Kafka takes the record");
    };
    producer.init_transactions(LIMIT).expect("a transactional producer");

    producer.begin_transaction().unwrap();
    write("1");
    let mut client = Client::subscribed(gateway.addr(), BOTH[0], "/t/*");
    write("2");
    client.expect_silence(QUIET);
    producer.commit_transaction(LIMIT).unwrap();
    assert_eq!(client.expect_event().1, json!(1), "was open at the subscribe");
    assert_eq!(client.expect_event().1, json!(2));

    producer.begin_transaction().unwrap();
    write("3");
    producer.abort_transaction(LIMIT).unwrap();
    producer.begin_transaction().unwrap();
    write("4");
    producer.commit_transaction(LIMIT).unwrap();
    assert_eq!(client.expect_event().1, json!(4));

    // Behind the markers of transactions nothing old comes again.
    let mut late = Client::subscribed(gateway.addr(), BOTH[1], "/t/*");
    late.expect_silence(QUIET);
}
