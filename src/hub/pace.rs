//! Pacing of clients that ask again and again (some hot-loop on errors, or on `advice.timeout: 0`).

use std::time::{Duration, Instant};

/// Quick answers in one window before answers are delayed.
const BURST: u32 = 8;
const WINDOW: Duration = Duration::from_secs(1);
/// How long a reply is delayed then.
pub(super) const DELAY: Duration = Duration::from_millis(500);

/// Counts quick answers in windows of a second.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    since: Option<Instant>,
    count: u32,
}

impl Pace {
    /// Another quick answer at `now`: how long to delay it, if at all.
    pub(super) fn delay(&mut self, now: Instant) -> Option<Duration> {
        if self.since.is_none_or(|since| now >= since + WINDOW) {
            (self.since, self.count) = (Some(now), 0);
        }
        self.count = self.count.saturating_add(1);
        (self.count > BURST).then_some(DELAY)
    }

    /// Whether the window is over at `now`, and with it all that is known.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.since.is_none_or(|since| now >= since + WINDOW)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_a_loop_is_slowed() {
        let start = Instant::now();
        let mut pace = Pace::default();
        for _ in 0..BURST {
            assert_eq!(pace.delay(start), None);
        }
        assert_eq!(pace.delay(start), Some(DELAY));
        assert!(!pace.is_over(start));
        assert_eq!(pace.delay(start + WINDOW), None);
    }
}
