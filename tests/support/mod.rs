//! The rig of the black-box tests: real Kafka, the gateway's own binary, clients that share no code with it.
//!
//! Every test target takes what it needs, so what one of them leaves out is not dead.
#![allow(dead_code)]

pub mod bayeux;
pub mod certificates;
pub mod cluster;
pub mod driver;
pub mod front;
pub mod gateway;
pub mod http;
pub mod kafka;
pub mod process;
pub mod records;
pub mod scan;
pub mod toxiproxy;
pub mod ws;

use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Where downloads are kept and pictures left, as in the Makefile.
pub fn cache() -> PathBuf {
    std::env::var_os("HALLEY_CACHE").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache/halley"),
        PathBuf::from,
    )
}

/// Waits until `what` is so, asking every millisecond; panics with `why` when `limit` is over.
pub fn eventually(limit: Duration, why: &str, mut what: impl FnMut() -> bool) {
    let end = Instant::now() + limit;
    while !what() {
        assert!(Instant::now() < end, "not within {limit:?}: {why}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A name that no other test of this run uses: topics and channels of a shared Kafka are told apart by it.
pub fn unique(stem: &str) -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{stem}{}", NEXT.fetch_add(1, Ordering::Relaxed))
}
