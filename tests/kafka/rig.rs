//! The rig itself, without the gateway.

use crate::support::kafka::Kafka;
use crate::support::records::{Writer, read_all};

#[test]
fn what_a_plain_producer_wrote_is_there_after_a_sigkill() {
    let mut kafka = Kafka::start();
    kafka.create_topic("survives", 3);
    let writer = Writer::new(&kafka);
    writer.send_record("survives", Some(2), Some("schlüssel".as_bytes()), Some(b"1"), &[("user", "zoë")]);
    writer.send_record("survives", Some(2), None, None, &[]);
    writer.flush();
    kafka.kill();
    writer.send_record("survives", Some(0), Some(b"k"), Some(b"written while away"), &[]);
    kafka.launch();
    writer.flush();
    let seen = read_all(&kafka, "survives");
    assert_eq!(seen.iter().map(|s| (s.partition, s.offset)).collect::<Vec<_>>(), [(0, 0), (2, 0), (2, 1)]);
    assert_eq!(seen[0].value_text(), "written while away");
    assert_eq!((seen[1].key_text(), seen[1].header("user")), ("schlüssel", Some("zoë")));
    assert_eq!((&seen[2].key, &seen[2].value), (&None, &None));
}
