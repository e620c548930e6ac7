//! One number of a metric.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that its owner changes and a scrape reads. It orders nothing else.
#[derive(Debug, Default)]
pub struct Cell(AtomicU64);

// === impl Cell ===

impl Cell {
    /// One more.
    pub fn inc(&self) {
        self.add(1);
    }

    /// `n` more.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// `n` less, for what can go down.
    pub fn sub(&self, n: u64) {
        self.0.fetch_sub(n, Ordering::Relaxed);
    }

    /// Exactly `n`: for what is counted elsewhere.
    pub fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    /// Its value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
