//! librdkafka's log lines among Halley's. librdkafka leaves credentials out of them and suppresses repetitions itself.

use tracing::{debug, error, info, warn};

/// Passes one line on; `level` is that of syslog.
pub(super) fn line(level: i32, facility: &str, line: &str) {
    match (level, facility) {
        // Each client says of the properties of the other kinds of client that it will not use them.
        (_, "CONFWARN") => debug!(target: "librdkafka", facility, "{line}"),
        // A lost connection is retried for ever.
        (..=4, "FAIL" | "ERROR") | (4, _) => warn!(target: "librdkafka", facility, "{line}"),
        (..=3, _) => error!(target: "librdkafka", facility, "{line}"),
        (5..=6, _) => info!(target: "librdkafka", facility, "{line}"),
        _ => debug!(target: "librdkafka", facility, "{line}"),
    }
}
