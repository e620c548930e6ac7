//! Calls the first brokers again for a client that lost all.
//!
//! librdkafka forgets brokers that the cluster does not name. A cluster whose brokers are all fenced for a moment, as a single
//! one is just after its start, names none, and then it may happen that a client has nobody left to call, for good (librdkafka
//! issue 5301).

use std::time::{Duration, Instant};

use super::ffi::{Client, Event};

/// How long librdkafka is given to get by itself what it has lost.
const FIRST: Duration = Duration::from_secs(1);
/// Brokers that are added are remembered by the client, so it is not done too often while Kafka is away.
const LONGEST: Duration = Duration::from_secs(10);

/// Polls a client, and gives it its bootstrap brokers again a little after it told that all its brokers are down.
#[derive(Default)]
pub(super) struct Revival {
    /// When to do it.
    due: Option<Instant>,
    /// When it was done last, and how long was waited before.
    last: Option<(Instant, Duration)>,
}

// === impl Revival ===

impl Revival {
    /// As [`Client::poll`].
    pub(super) fn poll<'c>(&mut self, client: &'c Client, timeout: Duration) -> Option<Event<'c>> {
        let event = match self.due {
            None => client.poll(timeout),
            Some(due) => {
                let now = Instant::now();
                if self.is_due(now) {
                    client.call_bootstrap();
                }
                client.poll(timeout.min(due.saturating_duration_since(now)))
            }
        };
        if event.as_ref().is_some_and(Event::tells_all_down) {
            self.all_down(Instant::now());
        }
        event
    }

    fn all_down(&mut self, now: Instant) {
        let pause = match self.last {
            Some((at, pause)) if now < at + 2 * LONGEST => (2 * pause).min(LONGEST),
            _ => FIRST,
        };
        if self.due.is_none() {
            self.due = Some(now + pause);
            self.last = Some((now + pause, pause));
        }
    }

    fn is_due(&mut self, now: Instant) -> bool {
        self.due.take_if(|due| *due <= now).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_are_added_once_after_each_loss_and_less_often_the_longer_it_lasts() {
        let begin = Instant::now();
        let mut revival = Revival::default();
        let mut done = Vec::new();
        for second in 0..60 {
            let now = begin + Duration::from_secs(second);
            if revival.is_due(now) {
                done.push(second);
            }
            revival.all_down(now);
        }
        assert_eq!(done, [1, 3, 7, 15, 25, 35, 45, 55]);
        assert!(!revival.is_due(begin + Duration::from_secs(64)));
        assert!(revival.is_due(begin + Duration::from_secs(65)), "once more after the last loss");
        assert!(!revival.is_due(begin + Duration::from_secs(66)), "and then no more");
        let later = begin + Duration::from_mins(5);
        revival.all_down(later);
        assert!(revival.is_due(later + FIRST), "a new outage begins anew");
    }
}
