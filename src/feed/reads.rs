//! What routes read, as [`interest`](super::interest) asks for it.

use std::sync::Arc;

use super::interest;
use crate::route::{Coverage, FixedKey, Reads, TopicMatcher};

/// What a subscription reads by one route.
pub(super) struct RouteReads {
    literals: Vec<Arc<str>>,
    template: Option<TopicMatcher>,
    key: Option<FixedKey>,
}

/// What `coverages` read of Kafka.
pub(super) fn reads_of(coverages: Vec<Coverage>) -> Vec<RouteReads> {
    let of = |coverage: Coverage| match coverage.reads {
        Reads::Local => None,
        Reads::Topics { literal, template, key } => Some(RouteReads { literals: literal, template, key }),
    };
    coverages.into_iter().filter_map(of).collect()
}

/// All of one topic.
pub(super) fn all_of(topic: Arc<str>) -> RouteReads {
    RouteReads { literals: vec![topic], template: None, key: None }
}

// === impl RouteReads ===

impl interest::Reads for RouteReads {
    fn literals(&self) -> &[Arc<str>] {
        &self.literals
    }

    fn is_template(&self) -> bool {
        self.template.is_some()
    }

    fn covers(&self, topic: &str) -> bool {
        self.literals.iter().any(|name| **name == *topic)
            || self.template.as_ref().is_some_and(|template| template.matches(topic))
    }

    fn partition(&self, count: i32) -> Option<i32> {
        self.key.as_ref().map(|key| key.partition(count))
    }
}
