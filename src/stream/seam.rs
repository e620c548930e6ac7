//! Where a subscription begins in each partition.

use super::{Positions, Source};

/// What to do with a record that a subscription matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admit {
    /// Deliver it.
    Send,
    /// It is before the subscription's start.
    Skip,
    /// Not yet known: the starting positions are being asked for.
    Later,
}

/// The seam between what was in a partition before a subscription and what it receives.
#[derive(Debug, Default)]
pub enum Seam {
    /// The positions are being asked for.
    #[default]
    Asking,
    /// Everything from these offsets on, and all of the partitions that are not named.
    From(Positions),
}

impl Seam {
    /// Whether a record is for the subscription.
    ///
    /// Records of a partition come in ascending order, so a start that was reached is forgotten.
    pub fn admit(&mut self, source: Option<&Source>) -> Admit {
        match (self, source) {
            (Self::Asking, Some(_)) => Admit::Later,
            // An event of a local route has no position: who is subscribed gets it.
            (_, None) => Admit::Send,
            (Self::From(starts), Some(source)) => {
                if starts.is_empty() {
                    return Admit::Send;
                }
                match starts.get(&source.topic, source.partition) {
                    Some(start) if source.offset < start => Admit::Skip,
                    Some(_) => {
                        starts.remove(&source.topic, source.partition);
                        Admit::Send
                    }
                    None => Admit::Send,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::Topic;
    use std::sync::Arc;

    #[test]
    fn a_subscription_begins_at_its_positions() {
        let topic = Arc::new(Topic::new("t".into(), 1));
        let at = |partition, offset| Source { topic: topic.clone(), partition, offset };
        let mut seam = Seam::default();
        assert_eq!(seam.admit(Some(&at(0, 7))), Admit::Later);
        assert_eq!(seam.admit(None), Admit::Send);
        let mut starts = Positions::default();
        starts.set(topic.clone(), 0, 7);
        seam = Seam::From(starts);
        assert_eq!(seam.admit(Some(&at(0, 6))), Admit::Skip);
        assert_eq!(seam.admit(Some(&at(0, 9))), Admit::Send);
        assert_eq!(seam.admit(Some(&at(1, 0))), Admit::Send);
        assert!(matches!(seam, Seam::From(starts) if starts.is_empty()));
    }
}
