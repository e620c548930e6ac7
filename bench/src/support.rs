//! What the black-box tests start Kafka and other processes with.

#[path = "../../tests/support/kafka.rs"]
pub mod kafka;
#[path = "../../tests/support/process.rs"]
pub mod process;

use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Where downloads are kept, as in the Makefile.
pub fn cache() -> PathBuf {
    std::env::var_os("HALLEY_CACHE").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache/halley"),
        PathBuf::from,
    )
}

/// Waits until `what` is so; panics with `why` when `limit` is over.
pub fn eventually(limit: Duration, why: &str, mut what: impl FnMut() -> bool) {
    let end = Instant::now() + limit;
    while !what() {
        assert!(Instant::now() < end, "not within {limit:?}: {why}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
