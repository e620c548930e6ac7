//! How often a session may do something.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

/// So many in a second, and as many at once after a pause: a token bucket that holds one second's tokens, kept as the time when it
/// will be full again (the generic cell rate algorithm).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bucket {
    full: Instant,
}

impl Bucket {
    /// A full one.
    pub(super) fn new(now: Instant) -> Self {
        Self { full: now }
    }

    /// Takes a token, if there is one.
    pub(super) fn take(&mut self, per_second: NonZeroU32, now: Instant) -> bool {
        let token = Duration::from_secs(1) / per_second.get();
        let full = self.full.max(now) + token;
        let room = full <= now + token * per_second.get();
        if room {
            self.full = full;
        }
        room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holds_so_many_and_what_was_not_used_does_not_grow() {
        for rate in [1, 3, 7, 1_000_000] {
            let rate = NonZeroU32::new(rate).unwrap();
            let token = Duration::from_secs(1) / rate.get();
            let start = Instant::now();
            let mut bucket = Bucket::new(start);
            let mut burst = |now| (0..rate.get() + 3).filter(|_| bucket.take(rate, now)).count();
            let all = rate.get() as usize;
            assert_eq!(burst(start), all);
            assert_eq!(burst(start + token), 1);
            assert_eq!(burst(start + token), 0, "who is refused is not punished");
            assert_eq!(burst(start + Duration::from_mins(1)), all);
        }
    }
}
