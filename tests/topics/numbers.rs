//! Records that carry a number, written by a plain producer and counted at the clients.

use std::collections::HashMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use crate::support::bayeux::{BOTH, Client};
use crate::support::gateway::Gateway;
use crate::support::records::Writer;

/// How long nothing may come before a test believes that nothing will.
pub const QUIET: Duration = Duration::from_millis(500);
/// How long a record may take: Halley looks for what is new every five seconds.
const LIMIT: Duration = Duration::from_secs(40);

/// A route that puts every record of `topic` on `/n/{key}`.
pub fn route(topic: &str) -> String {
    format!("routes: [{{ name: n, channel: '/n/{{key}}', topic: {topic}, key: '{{key}}' }}]")
}

/// The same, where the producers place keys as the Java client does.
pub fn narrow_route(topic: &str) -> String {
    format!(
        "routes: [{{ name: n, channel: '/n/{{key}}', topic: {topic}, key: '{{key}}', partitioner: murmur2, publish: {{}} }}]"
    )
}

/// A client of each transport, subscribed to `channel`.
pub fn clients(gateway: &Gateway, channel: &str) -> Vec<Client> {
    BOTH.map(|transport| Client::subscribed(gateway.addr(), transport, channel)).into()
}

/// Writes the `numbers` under one key, and waits until Kafka has them.
pub fn put(writer: &Writer, topic: &str, key: &str, numbers: Range<u64>) {
    for n in numbers {
        writer.send(topic, Some(key.as_bytes()), Some(n.to_string().as_bytes()));
    }
    writer.flush();
}

/// The next `count` events of a client: the numbers of each channel in the order they came.
pub fn take(client: &mut Client, count: usize) -> HashMap<String, Vec<u64>> {
    let until = Instant::now() + LIMIT;
    let mut taken: HashMap<String, Vec<u64>> = HashMap::new();
    for n in 0..count {
        let event = client.event(until.saturating_duration_since(Instant::now())).unwrap_or_else(|error| {
            panic!("{:?}: {error} after {n} of {count} records: {taken:?}", client.transport)
        });
        let number = event["data"].as_u64().expect("a number");
        taken.entry(event["channel"].as_str().expect("a channel").to_owned()).or_default().push(number);
    }
    taken
}

/// Panics unless exactly the `numbers` come next, in order, all on `channel`.
pub fn expect(client: &mut Client, channel: &str, numbers: Range<u64>) {
    let taken = take(client, usize::try_from(numbers.end - numbers.start).expect("few numbers"));
    assert_eq!(taken, HashMap::from([(channel.to_owned(), numbers.collect())]), "{:?}", client.transport);
}

/// [`expect`] of every client, and nothing after it.
pub fn expect_all(clients: &mut [Client], channel: &str, numbers: Range<u64>) {
    for client in &mut *clients {
        expect(client, channel, numbers.clone());
    }
    for client in clients {
        client.expect_silence(QUIET);
    }
}
