//! Producers that place keys otherwise than the route says.

use super::numbers::{QUIET, clients, narrow_route};
use crate::support::gateway::Gateway;
use crate::support::kafka::Kafka;
use crate::support::records::Writer;
use crate::support::{eventually, unique};

/// murmur2, as the Java client has it, puts `a` and `c` on these of four partitions.
const PARTITION_OF_A: i32 = 0;
const PARTITION_OF_C: i32 = 2;

#[test]
fn a_key_out_of_place_is_found_out_and_then_all_partitions_are_read() {
    let kafka = Kafka::shared();
    let topic = unique("foreign");
    kafka.create_topic(&topic, 4);
    let gateway = Gateway::start(kafka, &narrow_route(&topic));
    let writer = Writer::new(kafka);
    let write = |partition, key: &str, n: u64| {
        writer.send_record(
            &topic,
            Some(partition),
            Some(key.as_bytes()),
            Some(n.to_string().as_bytes()),
            &[],
        );
        writer.flush();
    };
    let mut clients = clients(&gateway, "/n/a");
    write(PARTITION_OF_A, "a", 0);
    for client in &mut clients {
        super::numbers::expect(client, "/n/a", 0..1);
    }
    let (partitions, misplaced) = ("halley_partitions", "halley_records_misplaced_total");
    assert!(gateway.metric(partitions, &[]) < 1.5, "one key is read from one partition");

    // Nobody looks at other partitions, so this one is missed: nothing tells that it is there.
    write((PARTITION_OF_A + 1) % 4, "a", 1);
    for client in &mut clients {
        client.expect_silence(QUIET);
    }
    assert!(gateway.metric(misplaced, &[]) < 0.5, "{}", gateway.metrics());

    // A record of another key where it does not belong, among those that are read: that is seen.
    write(PARTITION_OF_A, "c", 2);
    eventually(std::time::Duration::from_secs(20), "all partitions are read", || {
        gateway.metric(partitions, &[]) > 3.5
    });
    assert!((gateway.metric(misplaced, &[]) - 1.0).abs() < 0.1, "{}", gateway.metrics());

    for n in 3..103 {
        write(i32::try_from(n % 4).expect("small"), "a", n);
    }
    write(PARTITION_OF_C, "c", 103);
    for client in &mut clients {
        let mut numbers: Vec<u64> = Vec::new();
        while numbers.iter().filter(|n| **n >= 3).count() < 100 {
            let (channel, number) = client.expect_event();
            assert_eq!(channel, "/n/a");
            numbers.push(number.as_u64().expect("a number"));
        }
        client.expect_silence(QUIET);
        numbers.sort_unstable();
        // What was missed may come after all, once.
        if numbers[0] == 1 {
            numbers.remove(0);
        }
        assert!(numbers.iter().copied().eq(3..103), "{:?}: {numbers:?}", client.transport);
    }
    assert!(gateway.metric(misplaced, &[]) > 70.0, "every one is counted: {}", gateway.metrics());
    let log = gateway.log();
    let lines = log.lines().filter(|line| line.contains(&topic) && line.contains("on another partition"));
    assert_eq!(lines.count(), 1, "the log tells it once:\n{log}");
}
