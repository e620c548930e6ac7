//! Log lines about what may happen ten thousand times a second.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lets one event through in a period and counts the others: a `static` beside each log line that data from outside
/// can cause.
///
/// ```
/// use std::time::{Duration, Instant};
/// use halley::telemetry::Every;
///
/// static BAD_RECORD: Every = Every::new(Duration::from_secs(10));
/// if let Some(suppressed) = BAD_RECORD.due(Instant::now()) {
///     tracing::warn!(suppressed, "a record cannot be read");
/// }
/// ```
#[derive(Debug)]
pub struct Every {
    period: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    last: Option<Instant>,
    suppressed: u64,
}

// === impl Every ===

impl Every {
    /// At most one in `period`.
    pub const fn new(period: Duration) -> Self {
        Self { period, state: Mutex::new(State { last: None, suppressed: 0 }) }
    }

    /// Whether what happens at `now` is to be logged, and how many were not since the last one that was.
    pub fn due(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.last.is_some_and(|last| now.saturating_duration_since(last) < self.period) {
            state.suppressed += 1;
            return None;
        }
        state.last = Some(now);
        Some(std::mem::take(&mut state.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_a_period_and_the_count_of_the_others() {
        let every = Every::new(Duration::from_secs(10));
        let start = Instant::now();
        let at = |seconds| every.due(start + Duration::from_secs(seconds));
        assert_eq!(
            [at(0), at(0), at(9), at(10), at(11), at(40), at(60)],
            [Some(0), None, None, Some(2), None, Some(1), Some(0)]
        );
    }
}
